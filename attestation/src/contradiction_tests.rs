//! Honest and forked appliances before a judge.

use redoubt_shared::LedgerId;

use super::*;
use crate::binding::{Binding, Head, NonceInput, Purpose};
use crate::encode::{Digest32, b64u};
use crate::entropy::SystemEntropy;
use crate::sign::{Ed25519Signer, HybridSigner};
use crate::testkit::Bench;

/// One boot: its keys, its term, the head it found.
struct Booted {
    bench: Bench,
    kept: KeptDocument,
}

/// Boots of one appliance.
struct Yard {
    bench: Option<Bench>,
    trust: Trust,
}

impl Yard {
    fn new() -> Self {
        let bench = Bench::new();
        let trust = Trust {
            genesis: bench.genesis.clone(),
            before: vec![],
            minimum_counter: 1,
            allow_debug: false,
        };
        Self {
            bench: Some(bench),
            trust,
        }
    }

    /// Boots with fresh keys, runs, and powers off before the next one.
    fn boot<T>(
        &mut self,
        term: u64,
        found: Option<(u64, u8)>,
        run: impl FnOnce(&Booted) -> T,
    ) -> T {
        let mut bench = self.bench.take().unwrap();
        bench.checkpoints = Ed25519Signer::generate(&SystemEntropy).unwrap();
        bench.boot = HybridSigner::generate(&SystemEntropy).unwrap();
        let binding = Binding {
            term: Some(term),
            head: found.map(|(size, root)| Head {
                size,
                root: Digest32([root; 32]),
            }),
            ..bench.binding(Purpose::Serve)
        };
        let (document, preimage) = bench.attest(&binding, NonceInput::NoSession);
        let booted = Booted {
            bench,
            kept: KeptDocument {
                document,
                preimage,
                client_nonce: None,
                exporter: None,
            },
        };
        let result = run(&booted);
        self.bench = Some(booted.bench);
        result
    }

    /// A boot that signs one head.
    fn signs(
        &mut self,
        term: u64,
        found: Option<(u64, u8)>,
        (ledger, size, root): (LedgerId, u64, u8),
    ) -> (String, KeptDocument) {
        self.boot(term, found, |boot| {
            (note(boot, ledger, size, root), boot.kept.clone())
        })
    }

    fn find(&self, sides: &[&(String, KeptDocument)]) -> Option<Rule> {
        let notes: Vec<String> = sides.iter().map(|side| side.0.clone()).collect();
        let documents: Vec<KeptDocument> = sides.iter().map(|side| side.1.clone()).collect();
        let proof = find(&notes, &documents, &self.trust)?;
        // Whatever is found holds before another judge, who gets the file alone.
        let file = serde_json::to_vec(&proof).unwrap();
        let read: Proof = serde_json::from_slice(&file).unwrap();
        assert_eq!(read, proof);
        check(&read, &self.trust).unwrap();
        Some(proof.rule)
    }
}

fn note(boot: &Booted, ledger: LedgerId, size: u64, root: u8) -> String {
    boot.bench.note(&Checkpoint {
        ledger,
        size,
        root: [root; 32],
    })
}

fn own() -> LedgerId {
    Bench::appliance()
}

fn tenant() -> LedgerId {
    Bench::ledger()
}

#[test]
fn one_size_with_two_roots_is_proven_whoever_signed_them() {
    let mut yard = Yard::new();
    let a = yard.signs(1, None, (tenant(), 7, 1));
    let b = yard.signs(2, Some((9, 9)), (tenant(), 7, 2));
    assert_eq!(yard.find(&[&a, &b]), Some(Rule::TwoRoots));
    let both = yard.boot(3, Some((20, 9)), |boot| {
        let notes = [note(boot, own(), 30, 1), note(boot, own(), 30, 2)];
        notes.map(|note| (note, boot.kept.clone()))
    });
    assert_eq!(yard.find(&[&both[0], &both[1]]), Some(Rule::TwoRoots));
}

#[test]
fn two_boots_that_went_on_in_one_term_are_proven() {
    for (ledger, sizes) in [(own(), (6, 9)), (tenant(), (3, 4))] {
        let mut yard = Yard::new();
        let a = yard.signs(2, Some((5, 1)), (ledger, sizes.0, 1));
        let b = yard.signs(2, Some((5, 1)), (ledger, sizes.1, 2));
        assert_eq!(yard.find(&[&a, &b]), Some(Rule::TwoBootsInOneTerm));
    }
}

#[test]
fn a_later_term_that_lacks_a_signed_head_is_proven() {
    for (size, root, found) in [(8, 1, (7, 1)), (8, 1, (8, 2))] {
        let mut yard = Yard::new();
        let a = yard.signs(2, Some((5, 1)), (own(), size, root));
        let b = yard.signs(3, Some(found), (tenant(), 1, 1));
        assert_eq!(yard.find(&[&a, &b]), Some(Rule::Rewound));
        assert_eq!(yard.find(&[&b, &a]), Some(Rule::Rewound));
    }
}

#[test]
fn honest_histories_with_crashes_contradict_nothing() {
    let mut yard = Yard::new();
    // It found five entries and signed no more than that head; again in the same
    // term with new keys, as if the term had never been written; went on; was restarted.
    let asked = yard.signs(2, Some((5, 1)), (own(), 5, 1));
    let went_on = yard.boot(2, Some((5, 1)), |boot| {
        [
            note(boot, own(), 5, 1),
            note(boot, own(), 6, 2),
            note(boot, own(), 9, 3),
            note(boot, tenant(), 4, 4),
        ]
        .map(|note| (note, boot.kept.clone()))
    });
    let next = yard.boot(3, Some((9, 3)), |boot| {
        [
            note(boot, own(), 9, 3),
            note(boot, own(), 10, 5),
            note(boot, tenant(), 4, 4),
        ]
        .map(|note| (note, boot.kept.clone()))
    });
    let all: Vec<_> = [&asked].into_iter().chain(&went_on).chain(&next).collect();
    assert_eq!(yard.find(&all), None);
}

#[test]
fn a_proof_is_refused_when_anything_in_it_is_not_genuine() {
    let mut yard = Yard::new();
    let a = yard.signs(1, None, (tenant(), 7, 1));
    let b = yard.signs(2, Some((9, 9)), (tenant(), 7, 2));
    let notes = [a.0.clone(), b.0.clone()];
    let documents = [a.1.clone(), b.1.clone()];
    let proof = find(&notes, &documents, &yard.trust).unwrap();
    let refused = |change: &dyn Fn(&mut Proof)| {
        let mut bent = proof.clone();
        change(&mut bent);
        check(&bent, &yard.trust).unwrap_err().code()
    };
    // An innocent appliance framed with the notes of another key, or with none.
    assert_eq!(
        refused(&|p| p.sides.0.checkpoint = Some(b.0.clone())),
        "checkpoint"
    );
    assert_eq!(
        refused(&|p| p.sides.0.checkpoint = None),
        "no_contradiction"
    );
    assert_eq!(
        refused(&|p| p.sides.1 = p.sides.0.clone()),
        "no_contradiction"
    );
    assert_eq!(refused(&|p| p.rule = Rule::Rewound), "no_contradiction");
    assert_eq!(
        refused(&|p| p.rule = Rule::TwoBootsInOneTerm),
        "no_contradiction"
    );
    let text = |p: &mut Proof| {
        let note = p.sides.0.checkpoint.as_mut().unwrap();
        *note = note.replacen("\n7\n", "\n8\n", 1);
    };
    assert_eq!(refused(&text), "checkpoint");
    assert_eq!(
        refused(&|p| *p.sides.0.document.document.last_mut().unwrap() ^= 1),
        "bad_signature"
    );
    let foreign = Yard::new();
    assert_eq!(
        check(&proof, &foreign.trust).unwrap_err().code(),
        "root_not_pinned"
    );
    assert!(find(&notes, &documents, &foreign.trust).is_none());
    // A note of a ledger that the document does not bind.
    let mut stray = Yard::new();
    let other = LedgerId::from_bytes([0x77; 16]);
    let c = stray.signs(1, None, (other, 7, 1));
    let d = stray.signs(2, None, (other, 7, 2));
    assert_eq!(stray.find(&[&c, &d]), None);
}

#[test]
fn a_document_of_a_session_counts_with_its_nonce_and_exporter_only() {
    let mut yard = Yard::new();
    let (kept, note) = yard.boot(1, None, |boot| {
        let nonce = NonceInput::Session {
            client_nonce: b"12345678",
            exporter: &[7; 32],
        };
        let (document, preimage) = boot
            .bench
            .attest(&boot.bench.binding(Purpose::Serve), nonce);
        let kept = KeptDocument {
            document,
            preimage,
            client_nonce: Some(b64u(b"12345678")),
            exporter: Some(b64u(&[7; 32])),
        };
        (kept, note(boot, tenant(), 1, 1))
    });
    let boot = yard.trust.boot(&kept).unwrap();
    assert_eq!(boot.open(&note).unwrap().checkpoint.size, 1);
    for (nonce, exporter) in [
        (None, None),
        (Some(b64u(b"12345679")), kept.exporter.clone()),
        (kept.client_nonce.clone(), Some(b64u(&[8; 32]))),
        (kept.client_nonce.clone(), None),
    ] {
        let other = KeptDocument {
            client_nonce: nonce,
            exporter,
            ..kept.clone()
        };
        assert_eq!(yard.trust.boot(&other).unwrap_err().code(), "wrong_nonce");
    }
}
