use redoubt_shared::LedgerId;

use super::*;
use crate::attester::{Attester, EmulatedAttester};
use crate::genesis::Genesis;
use crate::sign::Es256Signer;
use crate::testkit::{Bench, officers, signed as signed_by};

const GIVER: Digest32 = Digest32([8; 32]);
const NONCE: [u8; 16] = [1; 16];
const EXPORTER: [u8; 32] = [2; 32];

/// An appliance of two of three officers, and a recipient that waits.
struct Desk {
    bench: Bench,
    now_ms: u64,
}

impl Desk {
    fn new() -> Self {
        Self::of(officers(3))
    }

    fn of(officers: Vec<(String, Es256Signer)>) -> Self {
        let mut bench = Bench::new();
        let mut manifest = crate::testkit::manifest(&bench.root.0, &officers);
        manifest.threshold = 2;
        let by: Vec<_> = officers.iter().collect();
        bench.genesis = Genesis::verify(&signed_by(&manifest, &by)).unwrap();
        bench.officers = officers;
        let now_ms = bench.attester.now_ms().unwrap();
        Self { bench, now_ms }
    }

    fn recipient(&self, change: impl FnOnce(&mut Binding)) -> RecipientEvidence {
        self.attested(&self.bench.attester, change)
    }

    fn attested(
        &self,
        attester: &EmulatedAttester,
        change: impl FnOnce(&mut Binding),
    ) -> RecipientEvidence {
        let mut binding = self.bench.binding(Purpose::Handover);
        binding.term = None;
        change(&mut binding);
        let preimage = binding.to_preimage();
        let nonce = NonceInput::Session {
            client_nonce: &NONCE,
            exporter: &EXPORTER,
        };
        let request = crate::attester::AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(crate::binding::user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        };
        RecipientEvidence {
            document: attester.attest(&request).unwrap(),
            preimage,
            client_nonce: NONCE.to_vec(),
            exporter: EXPORTER,
        }
    }

    fn order(&self) -> HandoverOrder {
        let genesis = &self.bench.genesis;
        HandoverOrder {
            kind: HandoverOrderType::V1,
            order: Digest32([5; 32]),
            appliance: Bench::appliance(),
            genesis: genesis.digest,
            counter: genesis.manifest.counter,
            config: Digest32([1; 32]),
            giver: GIVER,
            term: 4,
            recipient: boot_key(&self.bench.binding(Purpose::Handover).boot_keys),
            not_after_ms: self.now_ms + 60_000,
            evidence: self.recipient(|_| {}),
        }
    }

    fn giver(&self) -> Giver<'_> {
        Giver {
            genesis: &self.bench.genesis,
            appliance: Bench::appliance(),
            boot: GIVER,
            term: 4,
            now_ms: self.now_ms,
        }
    }

    fn signed(&self, order: &HandoverOrder, count: usize) -> Vec<u8> {
        let by: Vec<_> = self.bench.officers.iter().take(count).collect();
        signed_by(order, &by)
    }

    /// The code under which the giver refuses, `obeyed` if it does not.
    fn outcome(&self, order: &HandoverOrder) -> String {
        self.outcome_of(&self.signed(order, 2), &self.giver())
    }

    fn outcome_of(&self, bytes: &[u8], giver: &Giver<'_>) -> String {
        match HandoverOrder::check(bytes, giver, |_| false) {
            Ok(_) => "obeyed".to_owned(),
            Err(OrderRefusal::Recipient(refusal)) => refusal.code().to_owned(),
            Err(refusal) => refusal.code().to_owned(),
        }
    }
}

#[test]
fn an_order_that_k_officers_signed_is_obeyed() {
    let desk = Desk::new();
    let order = desk.order();
    let accepted = HandoverOrder::check(&desk.signed(&order, 2), &desk.giver(), |id| {
        assert_eq!(*id, order.order);
        false
    });
    let accepted = accepted.unwrap();
    assert_eq!(accepted.recipient.boot_keys.unseal_xwing, vec![7; 1216]);
    assert_eq!(
        desk.outcome_of(&desk.signed(&order, 3), &desk.giver()),
        "obeyed"
    );
}

#[test]
fn an_order_that_fewer_or_others_signed_is_refused() {
    let desk = Desk::new();
    let order = desk.order();
    for count in 0..2 {
        let bytes = desk.signed(&order, count);
        assert_eq!(desk.outcome_of(&bytes, &desk.giver()), "order_not_signed");
    }
    let stranger = Desk::new();
    let bytes = signed_by(
        &order,
        &[&stranger.bench.officers[0], &stranger.bench.officers[1]],
    );
    assert_eq!(desk.outcome_of(&bytes, &desk.giver()), "order_not_signed");
    // Signed, then changed.
    let mut file: serde_json::Value = serde_json::from_slice(&desk.signed(&order, 2)).unwrap();
    let changed = HandoverOrder { term: 5, ..order };
    file["payload"] = crate::encode::b64u(&serde_json::to_vec(&changed).unwrap()).into();
    let bytes = serde_json::to_vec(&file).unwrap();
    assert_eq!(desk.outcome_of(&bytes, &desk.giver()), "order_not_signed");
    // Signed by enough, but no order.
    let by: Vec<_> = desk.bench.officers.iter().collect();
    let bytes = signed_by(&serde_json::json!({"type": "redoubt/config/v1"}), &by);
    assert_eq!(desk.outcome_of(&bytes, &desk.giver()), "order_malformed");
}

#[test]
fn each_thing_an_order_names_counts() {
    let desk = Desk::new();
    type Change = fn(&mut HandoverOrder);
    let cases: [(&str, Change); 9] = [
        ("order_other_manifest", |order| {
            order.genesis = Digest32([0; 32])
        }),
        ("order_other_manifest", |order| order.counter -= 1),
        ("order_other_ledger", |order| {
            order.appliance = LedgerId::from_bytes([0; 16])
        }),
        ("order_other_giver", |order| order.giver = Digest32([0; 32])),
        ("order_other_giver", |order| order.term -= 1),
        ("order_other_recipient", |order| {
            order.recipient = Digest32([0; 32])
        }),
        ("order_other_config", |order| {
            order.config = Digest32([0; 32])
        }),
        ("order_expired", |order| order.not_after_ms -= 60_001),
        ("order_too_long", |order| order.not_after_ms += ORDER_MAX_MS),
    ];
    for (code, change) in cases {
        let mut order = desk.order();
        change(&mut order);
        assert_eq!(desk.outcome(&order), code);
    }
    let spent = HandoverOrder::check(&desk.signed(&desk.order(), 2), &desk.giver(), |_| true);
    assert_eq!(spent.unwrap_err().code(), "order_spent");
}

#[test]
fn an_order_under_the_manifest_before_is_refused() {
    let before = Desk::new();
    let order = before.order();
    // The same officers, then others, under a later manifest.
    let others = officers(3).into_iter();
    let others = others
        .map(|(id, key)| (format!("later-{id}"), key))
        .collect();
    for (mut now, stay) in [(Desk::new(), true), (Desk::of(others), false)] {
        let mut manifest = now.bench.genesis.manifest.clone();
        manifest.counter += 1;
        let by = match stay {
            true => &before.bench.officers,
            false => &now.bench.officers,
        };
        if stay {
            manifest.officers = before.bench.genesis.manifest.officers.clone();
        }
        let by: Vec<_> = by.iter().collect();
        now.bench.genesis = Genesis::verify(&signed_by(&manifest, &by)).unwrap();
        let bytes = before.signed(&order, 2);
        assert_eq!(now.outcome_of(&bytes, &now.giver()), "order_other_manifest");
    }
}

#[test]
fn the_recipient_is_judged_by_its_evidence() {
    let desk = Desk::new();
    let refused = |evidence| {
        let order = HandoverOrder {
            evidence,
            ..desk.order()
        };
        desk.outcome(&order)
    };
    // The same image, another boot than the order names.
    let third = desk.recipient(|binding| binding.boot_keys.unseal_xwing = vec![6; 1216]);
    assert_eq!(refused(third), "order_other_recipient");
    let purpose = desk.recipient(|binding| binding.purpose = Purpose::Unseal);
    assert_eq!(refused(purpose), "wrong_purpose");
    let genesis = desk.recipient(|binding| binding.genesis = Digest32([0; 32]));
    assert_eq!(refused(genesis), "other_genesis");
    let config = desk.recipient(|binding| binding.config = Digest32([0; 32]));
    assert_eq!(refused(config), "order_other_config");
    let ledger = desk.recipient(|binding| binding.ledgers.truncate(1));
    assert_eq!(refused(ledger), "order_other_ledger");
    let mut nonce = desk.recipient(|_| {});
    nonce.client_nonce[0] ^= 1;
    assert_eq!(refused(nonce), "wrong_nonce");
    // An image that the manifest does not name.
    let (root, key) = &desk.bench.root;
    let other = EmulatedAttester::dangerous_new(root, key, b"another program", 0).unwrap();
    assert_eq!(
        refused(desk.attested(&other, |_| {})),
        "measurement_not_allowed"
    );
    let early = EmulatedAttester::dangerous_new(
        root,
        key,
        crate::testkit::PROGRAM,
        -(ORDER_MAX_MS as i64) - 60_000,
    );
    let early = desk.attested(&early.unwrap(), |_| {});
    assert_eq!(refused(early), "too_old");
    // To itself.
    let order = HandoverOrder {
        giver: boot_key(&desk.bench.binding(Purpose::Handover).boot_keys),
        ..desk.order()
    };
    let giver = Giver {
        boot: order.giver,
        ..desk.giver()
    };
    let bytes = desk.signed(&order, 2);
    assert_eq!(desk.outcome_of(&bytes, &giver), "order_other_recipient");
}
