//! What was claimed under a manifest before the pinned one.

use super::super::*;
use super::court::Court;
use super::fresh::anchor;
use crate::attester::{EmulatedAttester, measure};
use crate::genesis::{ClientPolicy, Genesis, MeasuredRole, SignedFile, VerifiedGenesis};
use crate::ledger::Receipt;
use crate::sign::Es256Signer;
use crate::testkit::{Bench, signed};

const NEXT_PROGRAM: &[u8] = b"the next image's program";

/// An appliance before and after its officers withdrew the image it began with.
pub(crate) struct Line {
    pub(crate) before: Court,
    pub(crate) after: Court,
}

/// The same appliance under another image and manifest.
fn upgraded(old: &Bench, change: impl FnOnce(&mut Genesis)) -> Bench {
    let mut manifest = old.genesis.manifest.clone();
    manifest.counter += 1;
    manifest.previous = Some(old.genesis.digest);
    let enclave = |m: &&mut crate::genesis::Measurement| m.role == MeasuredRole::Enclave;
    let allowed = manifest.measurements.iter_mut().find(enclave).unwrap();
    allowed.pcrs = measure(NEXT_PROGRAM).to_hex();
    allowed.pcrs.retain(|index, _| *index < 3);
    change(&mut manifest);
    let file = signed(&manifest, &[&old.officers[0]]);
    let (pem, key) = &old.root;
    Bench {
        root: old.root.clone(),
        officers: vec![],
        genesis: old.genesis.successor(&file).unwrap(),
        attester: EmulatedAttester::dangerous_new(pem, key, NEXT_PROGRAM, 0).unwrap(),
        ..Bench::new()
    }
}

impl Line {
    pub(crate) fn new() -> Self {
        let before = Court::new();
        let after = Court::of(upgraded(&before.bench, |_| {}));
        Self { before, after }
    }

    /// A claim of before under a head of now, as the appliance of now hands it out.
    pub(crate) fn again(&self) -> Receipt {
        let mut receipt = self.after.receipt(&self.before.common().to_string());
        let then = self.before.receipt("{}").evidence;
        receipt.evidence.splice(0..0, then);
        receipt
    }

    /// Each case, and what becomes of it under the policy of now, with the line.
    pub(crate) fn cases(&self) -> Vec<(&'static str, Receipt)> {
        let again = self.again();
        let anchored = |by: &Court| {
            let anchor = Some(anchor(by, &again, |_| vec![]));
            Receipt {
                anchor,
                ..again.clone()
            }
        };
        // The image of before, whoever runs it now, signs a head of its own.
        let by_before = self.before.receipt(&self.before.common().to_string());
        let mut other_way = self.before.receipt(&self.after.common().to_string());
        other_way.evidence.extend(again.evidence[1..].to_vec());
        let by_after = self.after.receipt(&self.after.common().to_string());
        // The image of now under the manifest of before, which does not allow it.
        let mut mixed = self.again();
        let mut binding = self.after.bench.binding(crate::binding::Purpose::Serve);
        binding.genesis = self.before.bench.genesis.digest;
        binding.genesis_counter -= 1;
        let nonce = crate::binding::NonceInput::NoSession;
        let (document, preimage) = self.after.bench.attest(&binding, nonce);
        mixed.evidence[0].document = crate::encode::b64u(&document);
        mixed.evidence[0].preimage = crate::encode::b64u(&preimage);
        let mut no_preimage = again.clone();
        no_preimage.evidence[0].preimage = crate::encode::b64u(b"{}");
        vec![
            ("accepted", again.clone()),
            ("accepted", by_after),
            ("accepted", anchored(&self.after)),
            ("head_before", anchored(&self.before)),
            ("head_before", by_before),
            ("head_before", other_way),
            ("measurement_not_allowed", mixed),
            ("measurement_not_allowed", no_preimage),
        ]
    }
}

fn code(receipt: &Receipt, policy: &ClientPolicy) -> &'static str {
    let trust = Trust::from_policy(&policy.to_json()).unwrap();
    verify_receipt(receipt, &trust).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

#[test]
fn a_claim_of_before_holds_under_a_head_of_now_and_no_head_of_before_does() {
    let line = Line::new();
    let (old, new) = (&line.before.bench.genesis, &line.after.bench.genesis);
    let policy = ClientPolicy::pin_after(new, std::slice::from_ref(old));
    for (at, (expected, receipt)) in line.cases().iter().enumerate() {
        assert_eq!(code(receipt, &policy), *expected, "case {at}");
    }
    // Who does not know the line, or stayed with the manifest of before.
    let again = line.again();
    assert_eq!(
        code(&again, &ClientPolicy::pin(new)),
        "measurement_not_allowed"
    );
    assert_eq!(
        code(&again, &ClientPolicy::pin(old)),
        "measurement_not_allowed"
    );
    let kept = line.before.receipt(&line.before.common().to_string());
    assert_eq!(code(&kept, &ClientPolicy::pin(old)), "accepted");
}

#[test]
fn no_live_document_counts_under_a_manifest_of_before() {
    let line = Line::new();
    let (old, new) = (&line.before.bench.genesis, &line.after.bench.genesis);
    let policy = ClientPolicy::pin_after(new, std::slice::from_ref(old));
    let trust = Trust::from_policy(&policy.to_json()).unwrap();
    let kept = KeptDocument::try_from(&line.again().evidence[0]).unwrap();
    assert!(trust.is_before(&kept));
    assert!(trust.boot(&kept).is_err());
    let now = KeptDocument::try_from(&line.again().evidence[1]).unwrap();
    assert!(!trust.is_before(&now));
    trust.boot(&now).unwrap();
}

/// Policies whose line is none, and one of three that is.
pub(crate) fn lines() -> (ClientPolicy, Vec<ClientPolicy>) {
    let first = Bench::new();
    let following = |old: &Bench| {
        let mut manifest = old.genesis.manifest.clone();
        manifest.counter += 1;
        manifest.previous = Some(old.genesis.digest);
        let file = signed(&manifest, &[&first.officers[0]]);
        let genesis = old.genesis.successor(&file).unwrap();
        Bench {
            genesis,
            ..Bench::new()
        }
    };
    let second = following(&first);
    let third = following(&second);
    let stranger = Bench::new();
    let all = |before: &[&Bench]| {
        let before: Vec<VerifiedGenesis> = before.iter().map(|one| one.genesis.clone()).collect();
        ClientPolicy::pin_after(&third.genesis, &before)
    };
    let mut unsigned = all(&[&second, &first]);
    unsigned.before[1] = SignedFile::unsigned(&unsigned.before[1].payload().unwrap());
    let many = vec![&second; 65];
    let bad = vec![
        all(&[&first]),
        all(&[&first, &second]),
        all(&[&second, &second]),
        all(&[&second, &stranger]),
        all(&[&stranger]),
        all(&[&third]),
        all(&many),
        unsigned,
        // By those of before: nobody, and one twice.
        taken_over(&first, &[]),
        taken_over(&first, &[&first.officers[0], &first.officers[0]]),
    ];
    (all(&[&second, &first]), bad)
}

/// A manifest of somebody else's alone, that names the one before it and that these of
/// before signed.
fn taken_over(old: &Bench, signers: &[&(String, Es256Signer)]) -> ClientPolicy {
    let taker = &crate::testkit::officers(2)[1];
    let mut manifest = old.genesis.manifest.clone();
    manifest.counter += 1;
    manifest.previous = Some(old.genesis.digest);
    manifest.officers[0].id = taker.0.clone();
    manifest.officers[0].key = taker.1.jwk().clone();
    let file = signed(&manifest, &[&[taker], signers].concat());
    let genesis = Genesis::verify(&file).unwrap();
    ClientPolicy::pin_after(&genesis, std::slice::from_ref(&old.genesis))
}

#[test]
fn a_line_holds_only_where_each_manifest_is_succeeded_by_the_next() {
    let (good, bad) = lines();
    let (_, pinned) = ClientPolicy::verify(&good.to_json()).unwrap();
    let line = good.line(&pinned).unwrap();
    let counters: Vec<u64> = line.iter().map(|one| one.manifest.counter).collect();
    assert_eq!(counters, [4, 3]);
    for (at, policy) in bad.iter().enumerate() {
        assert!(
            ClientPolicy::verify(&policy.to_json()).is_err(),
            "case {at}"
        );
    }
    let (first, one) = (Bench::new(), |by: &Bench| {
        taken_over(by, &[&by.officers[0]])
    });
    ClientPolicy::verify(&one(&first).to_json()).unwrap();
    // A policy without a line is written as it always was.
    let alone = ClientPolicy::pin(&Bench::new().genesis).to_json();
    assert!(!String::from_utf8(alone).unwrap().contains("before"));
}

#[test]
fn a_claim_says_what_its_own_manifest_asked_of_freshness() {
    use crate::genesis::{WitnessMode, WitnessPolicy};
    let watched = super::fresh::Watched::new(WitnessMode::Lease);
    let old = &watched.court.bench;
    let after = upgraded(old, |manifest| {
        manifest.witness_policy = Some(WitnessPolicy {
            k: 3,
            f: 0,
            mode: WitnessMode::Strict,
            lease_ms: 2000,
        });
    });
    let policy = ClientPolicy::pin_after(&after.genesis, std::slice::from_ref(&old.genesis));
    let after = super::fresh::Watched {
        court: Court::of(after),
        keys: watched.keys,
    };
    let again = |mode: &str, ms: u64, by: &[usize]| {
        let mut claims = watched.court.common();
        claims["freshness"] = mode.into();
        claims["unwitnessed_ms"] = ms.into();
        let mut receipt = after.claiming(&claims, by);
        let then = watched.court.receipt("{}").evidence;
        receipt.evidence.splice(0..0, then);
        code(&receipt, &policy)
    };
    assert_eq!(again("lease", 2000, &[0, 1, 2]), "accepted");
    assert_eq!(again("strict", 0, &[0, 1, 2]), "freshness");
    // The head is of now: as many as the manifest of now asks for.
    assert_eq!(again("lease", 2000, &[0, 1]), "not_cosigned");
}
