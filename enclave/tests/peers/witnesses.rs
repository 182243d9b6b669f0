//! Terms, leases and cosignatures.

use std::time::{Duration, Instant};

use redoubt_attestation::binding::Purpose;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::ledger::checkpoint::NoteAlgorithms;
use redoubt_attestation::ledger::cosigned_by;
use redoubt_enclave::peers::{PeerError, Peers};
use redoubt_shared::LedgerId;

use crate::bench::{Bench, Boot, LEASE_MS, appliance, tree};

fn status<T: std::fmt::Debug>(result: Result<T, PeerError>) -> (u16, String) {
    match result {
        Err(PeerError::Refused { status, text, .. }) => (status, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_grow_are_cosigned_by_every_witness() {
    let bench = Bench::new(2).await;
    let (boot, tree) = (Boot::new(1), tree(9, 0));
    let mut note = boot.note(&tree, 5);
    for witness in bench.client().witnesses() {
        let introduced = witness.introduce(&bench.evidence(&boot)).await.unwrap();
        assert_eq!((introduced.head, introduced.wait), (None, Duration::ZERO));
        for (old, new) in [(0, 3), (3, 3), (3, 5)] {
            let proof = tree.consistency(old, new).unwrap();
            let lines = witness
                .cosign(old, &proof, &boot.note(&tree, new))
                .await
                .unwrap();
            if new == 5 {
                lines.iter().for_each(|line| note.push_str(line));
            }
        }
        let again = witness.introduce(&bench.evidence(&boot)).await.unwrap();
        let head = again.head.unwrap();
        assert_eq!((head.size, head.root.0), (5, tree.root_at(5).unwrap()));
    }
    let witnesses = &bench.genesis.manifest.witnesses;
    let by = cosigned_by(&note, witnesses, NoteAlgorithms::NATIVE).unwrap();
    let names: Vec<_> = by.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["w0.example", "w1.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_ledger_or_key_gets_nothing() {
    let bench = Bench::new(1).await;
    let (boot, tree) = (Boot::new(1), tree(4, 0));
    let witness = &bench.client().witnesses()[0];
    let (code, text) = status(witness.cosign(0, &[], &boot.note(&tree, 2)).await);
    assert_eq!(code, 404);
    assert!(text.contains(&appliance().to_string()), "{text}");
    witness.introduce(&bench.evidence(&boot)).await.unwrap();
    let stranger = Boot::new(1);
    let (code, _) = status(witness.cosign(0, &[], &stranger.note(&tree, 2)).await);
    assert_eq!(code, 403);
    witness.cosign(0, &[], &boot.note(&tree, 2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_is_not_this_appliances_introduces_nothing() {
    let bench = Bench::new(1).await;
    let boot = Boot::new(1);
    let witness = &bench.client().witnesses()[0];
    let good = bench.binding(&boot, Purpose::Serve);
    let mut cases = vec![
        ("another program", bench.evidence_of_another_program(&boot)),
        (
            "another purpose",
            bench.evidence_for(&bench.binding(&boot, Purpose::Kms)),
        ),
    ];
    let mut other = good.clone();
    other.genesis = Digest32([8; 32]);
    cases.push(("another genesis", bench.evidence_for(&other)));
    let mut none = good.clone();
    none.term = None;
    cases.push(("no term", bench.evidence_for(&none)));
    let mut ledgers = good.clone();
    ledgers.ledgers[0].tenant = None;
    cases.push(("two appliance ledgers", bench.evidence_for(&ledgers)));
    let mut bent = bench.evidence(&boot);
    bent.preimage = {
        let mut binding = good;
        binding.ledgers[1].ledger = LedgerId::from_bytes([1; 16]);
        binding.to_preimage()
    };
    cases.push(("another preimage", bent));
    for (what, evidence) in cases {
        let (code, text) = status(witness.introduce(&evidence).await);
        assert_eq!(code, 403, "{what}: {text}");
    }
    let (code, _) = status(witness.cosign(0, &[], &boot.note(&tree(2, 0), 1)).await);
    assert_eq!(code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_copy_and_a_fork_are_refused() {
    let bench = Bench::new(1).await;
    let (boot, ours, theirs) = (Boot::new(1), tree(9, 0), tree(9, 1));
    let witness = &bench.client().witnesses()[0];
    witness.introduce(&bench.evidence(&boot)).await.unwrap();
    witness.cosign(0, &[], &boot.note(&ours, 6)).await.unwrap();
    let proof = ours.consistency(2, 4).unwrap();
    assert_eq!(
        witness.cosign(2, &proof, &boot.note(&ours, 4)).await,
        Err(PeerError::Conflict { size: 6 })
    );
    let (code, _) = status(witness.cosign(6, &[], &boot.note(&theirs, 6)).await);
    assert_eq!(code, 409);
    let proof = theirs.consistency(6, 8).unwrap();
    let (code, _) = status(witness.cosign(6, &proof, &boot.note(&theirs, 8)).await);
    assert_eq!(code, 422);
    let (code, _) = status(witness.cosign(6, &[], &boot.note(&ours, 5)).await);
    assert_eq!(code, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_whose_answer_was_lost_is_cosigned_again() {
    let bench = Bench::new(1).await;
    let (boot, ours, theirs) = (Boot::new(1), tree(9, 0), tree(9, 1));
    let witness = &bench.client().witnesses()[0];
    witness.introduce(&bench.evidence(&boot)).await.unwrap();
    witness.cosign(0, &[], &boot.note(&ours, 3)).await.unwrap();
    let proof = ours.consistency(3, 6).unwrap();
    for _ in 0..2 {
        let note = boot.note(&ours, 6);
        witness.cosign(3, &proof, &note).await.unwrap();
    }
    // Not so another head of that size.
    let proof = theirs.consistency(3, 6).unwrap();
    let (code, _) = status(witness.cosign(3, &proof, &boot.note(&theirs, 6)).await);
    assert_eq!(code, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_term_supersedes_and_waits_for_the_lease() {
    let bench = Bench::new(1).await;
    let (old, new, tree) = (Boot::new(1), Boot::new(2), tree(9, 0));
    let witness = &bench.client().witnesses()[0];
    witness.introduce(&bench.evidence(&old)).await.unwrap();
    // An enclave counts its lease from before it asked.
    let asked = Instant::now();
    witness.cosign(0, &[], &old.note(&tree, 3)).await.unwrap();
    let introduced = witness.introduce(&bench.evidence(&new)).await.unwrap();
    assert!(introduced.wait > Duration::ZERO && introduced.wait <= Duration::from_millis(LEASE_MS));
    let proof = tree.consistency(3, 4).unwrap();
    let (code, text) = status(witness.cosign(3, &proof, &old.note(&tree, 4)).await);
    assert_eq!(code, 403);
    assert!(text.contains("superseded by term 2"), "{text}");
    let (code, text) = status(witness.introduce(&bench.evidence(&old)).await);
    assert_eq!((code, text.as_str()), (403, "superseded by term 2"));
    let note = new.note(&tree, 4);
    match witness.cosign(3, &proof, &note).await {
        Err(PeerError::Wait(wait)) => tokio::time::sleep(wait).await,
        other => panic!("{other:?}"),
    }
    witness.cosign(3, &proof, &note).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(LEASE_MS));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_term_has_one_boot() {
    let bench = Bench::new(1).await;
    let witness = &bench.client().witnesses()[0];
    witness
        .introduce(&bench.evidence(&Boot::new(7)))
        .await
        .unwrap();
    let (code, text) = status(witness.introduce(&bench.evidence(&Boot::new(7))).await);
    assert_eq!(code, 403);
    assert!(text.contains("another key"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_witness_remembers_heads_and_terms_and_waits_a_whole_lease() {
    let mut bench = Bench::new(1).await;
    let (old, new, tree) = (Boot::new(1), Boot::new(2), tree(9, 0));
    let witness = bench.client().witnesses().remove(0);
    witness.introduce(&bench.evidence(&old)).await.unwrap();
    witness.cosign(0, &[], &old.note(&tree, 3)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(LEASE_MS)).await;
    bench.stop(0).await;
    assert!(matches!(
        witness.cosign(3, &[], &old.note(&tree, 3)).await,
        Err(PeerError::Unreachable { .. })
    ));
    bench.start(0).await;
    // The same link makes a new connection by itself.
    let introduced = witness.introduce(&bench.evidence(&new)).await.unwrap();
    assert_eq!(introduced.head.unwrap().size, 3);
    assert!(!introduced.wait.is_zero());
    let proof = tree.consistency(3, 4).unwrap();
    tokio::time::sleep(introduced.wait).await;
    witness
        .cosign(3, &proof, &new.note(&tree, 4))
        .await
        .unwrap();
    let (code, _) = status(witness.introduce(&bench.evidence(&old)).await);
    assert_eq!(code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_another_tls_key_is_not_talked_to() {
    let bench = Bench::new(2).await;
    bench.misroute(0, 1);
    let witness = &bench.client().witnesses()[0];
    match witness.introduce(&bench.evidence(&Boot::new(1))).await {
        Err(PeerError::Unreachable { detail, .. }) => {
            assert!(detail.contains("the genesis manifest pins"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_or_with_a_silent_host_peers_are_unreachable() {
    let bench = Bench::new(1).await;
    let evidence = bench.evidence(&Boot::new(1));
    let nowhere = Peers::new(None, &bench.genesis.manifest);
    let unreachable = nowhere.witnesses()[0].introduce(&evidence).await;
    assert!(matches!(unreachable, Err(PeerError::Unreachable { .. })));
    // A host that accepts and says nothing.
    let dir = tempfile::tempdir().unwrap();
    let endpoint = redoubt_shared::Endpoint::Unix(dir.path().join("silent"));
    let mut listener = endpoint.listen().await.unwrap();
    let held = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok(stream) = listener.accept().await {
            streams.push(stream);
        }
    });
    let limits = redoubt_enclave::peers::PeerLimits {
        connect: Duration::from_millis(100),
        ..Default::default()
    };
    let silent = Peers::with_limits(Some(endpoint), &bench.genesis.manifest, limits);
    let begun = Instant::now();
    let unreachable = silent.witnesses()[0].introduce(&evidence).await;
    assert!(matches!(unreachable, Err(PeerError::Unreachable { .. })));
    assert!(begun.elapsed() < Duration::from_secs(5));
    held.abort();
}
