//! A manifest that succeeds another, as peers see it.

use redoubt_attestation::binding::Purpose;
use redoubt_attestation::genesis::{Genesis, SignedFile};
use redoubt_enclave::peers::{PeerError, TermEvidence};

use crate::bench::{Bench, Boot, officer, officer_entry, sign, tree};

fn evidence(bench: &Bench, boot: &Boot, next: &Genesis, file: &[u8]) -> TermEvidence {
    let signed = SignedFile::parse(file).unwrap();
    let mut binding = bench.binding(boot, Purpose::Serve);
    binding.genesis = signed.digest().unwrap();
    binding.genesis_counter = next.counter;
    TermEvidence {
        config: None,
        genesis: vec![signed],
        ..bench.evidence_for(&binding)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_is_pinned_for_good_once_the_officers_before_signed_it() {
    let mut bench = Bench::new(1).await;
    let (boot, tree) = (Boot::new(1), tree(9, 0));
    let witness = bench.client().witnesses().remove(0);
    witness.introduce(&bench.evidence(&boot)).await.unwrap();
    witness.cosign(0, &[], &boot.note(&tree, 2)).await.unwrap();

    let newcomer = officer("officer-2");
    let mut next = bench.genesis.manifest.clone();
    next.previous = Some(bench.genesis.digest);
    next.counter = 2;
    next.officers = vec![officer_entry(&newcomer)];
    // The new officers alone cannot take the appliance over.
    let usurped = evidence(&bench, &boot, &next, &sign(&next, &[&newcomer]));
    assert!(matches!(
        witness.introduce(&usurped).await,
        Err(PeerError::Refused { status: 403, .. })
    ));
    let file = sign(&next, &[&bench.officers[0], &newcomer]);
    let good = evidence(&bench, &boot, &next, &file);
    let introduced = witness.introduce(&good).await.unwrap();
    assert_eq!(introduced.head.unwrap().size, 2);
    // The same boot goes on under the new manifest.
    let proof = tree.consistency(2, 3).unwrap();
    witness
        .cosign(2, &proof, &boot.note(&tree, 3))
        .await
        .unwrap();
    // Evidence under the old one is out of force, also after a restart that is
    // still given the old policy.
    let old = bench.evidence(&Boot::new(2));
    for _ in 0..2 {
        assert!(matches!(
            witness.introduce(&old).await,
            Err(PeerError::Refused { status: 403, .. })
        ));
        bench.stop(0).await;
        bench.start(0).await;
    }
    // Offering the known manifest again is harmless.
    witness.introduce(&good).await.unwrap();
}
