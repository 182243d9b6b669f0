//! The committer under witnesses.

use super::*;

/// A witness in memory: cosigns what grows, unless told otherwise.
#[derive(Default)]
struct FakeWitness {
    size: Mutex<u64>,
    asked: std::sync::atomic::AtomicU64,
    mood: Mutex<Option<CosignError>>,
}

impl Cosigner for FakeWitness {
    fn name(&self) -> &str {
        "w"
    }
    fn cosign(&self, old: u64, _: Vec<[u8; 32]>, note: String) -> Cosigning {
        self.asked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answer = match self.mood.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => {
                let mut size = self.size.lock().unwrap();
                if *size == old {
                    *size = note.lines().nth(1).unwrap().parse().unwrap();
                    Ok(vec!["line\n".to_owned()])
                } else {
                    Err(CosignError::Size(*size))
                }
            }
        };
        Box::pin(async move { answer })
    }
}

fn witnessed(witnesses: &[Arc<FakeWitness>], quorum: usize, strict: bool) -> Settings {
    let freshness = Freshness {
        strict,
        quorum,
        lease: std::time::Duration::from_millis(400),
    };
    let members = witnesses
        .iter()
        .map(|witness| witness.clone() as Arc<dyn Cosigner>)
        .collect();
    let witnessing = Witnessing::new(freshness, members);
    Settings {
        witnessing,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_strict_answer_waits_for_a_quorum_and_its_anchor_carries_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let witnesses = [0; 3].map(|_| Arc::new(FakeWitness::default()));
    let settings = witnessed(&witnesses, 2, true);
    let boot = boot_with(store.serve(dir.path()).await, settings).await;
    *witnesses[2].mood.lock().unwrap() = Some(CosignError::Passing("down".into()));
    let outcome = boot.decide(facial("customer-1", 1)).await;
    let entry = outcome.claim.unwrap().entry;
    let anchor = entry.anchor.clone().unwrap();
    let proof = boot.ledgers.prove(anchor.clone()).await.unwrap();
    assert!(proof.tree_size > anchor.header.index && proof.note.ends_with("line\nline\n"));
    *witnesses[1].mood.lock().unwrap() = Some(CosignError::Passing("down".into()));
    let id = tenant();
    let alone = boot.ledgers.decide(&id, facial("customer-2", 2));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(600), alone).await;
    assert!(waited.is_err(), "one of three is no quorum");
    assert!(boot.halted.lock().unwrap().is_none());
    *witnesses[1].mood.lock().unwrap() = None;
    boot.decide(facial("customer-3", 3)).await;
}

#[tokio::test]
async fn a_lease_is_renewed_without_traffic_and_reads_end_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let witness = [Arc::new(FakeWitness::default())];
    let boot = boot_with(store.serve(dir.path()).await, witnessed(&witness, 1, false)).await;
    users(&boot).await;
    let asked = |w: &FakeWitness| w.asked.load(std::sync::atomic::Ordering::Relaxed);
    let before = asked(&witness[0]);
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert!(asked(&witness[0]) >= before + 2);
    *witness[0].mood.lock().unwrap() = Some(CosignError::Passing("down".into()));
    tokio::time::sleep(std::time::Duration::from_millis(450)).await;
    let look = tokio::time::timeout(std::time::Duration::from_millis(300), users(&boot)).await;
    assert!(look.is_err(), "no lease, no reading");
}

#[tokio::test]
async fn nothing_is_handed_over_without_a_lease_or_behind_a_later_term() {
    let down = CosignError::Passing("down".into());
    let later = CosignError::Refused("superseded by term 9".into());
    for (mood, halts) in [(down, false), (later, true)] {
        let dir = tempfile::tempdir().unwrap();
        let store = FakeStore::default();
        let witness = [Arc::new(FakeWitness::default())];
        let boot = boot_with(store.serve(dir.path()).await, witnessed(&witness, 1, false)).await;
        *witness[0].mood.lock().unwrap() = Some(mood);
        tokio::time::sleep(std::time::Duration::from_millis(450)).await;
        let refused = boot.ledgers.hand_over(super::handover::order(1)).await;
        assert_eq!(super::handover::envelopes(&store), 0);
        assert_eq!(boot.halted.lock().unwrap().is_some(), halts);
        if halts {
            assert!(matches!(refused, Err(CommitError::Halted)), "{refused:?}");
        } else {
            assert!(matches!(refused, Err(CommitError::NotFresh)), "{refused:?}");
            *witness[0].mood.lock().unwrap() = None;
            let handed = boot.ledgers.hand_over(super::handover::order(1)).await;
            assert!(handed.is_ok(), "{handed:?}");
        }
    }
}

#[tokio::test]
async fn a_witness_that_refuses_stops_a_copy_only_when_no_quorum_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let witnesses = [0; 3].map(|_| Arc::new(FakeWitness::default()));
    let boot = boot_with(
        store.serve(dir.path()).await,
        witnessed(&witnesses, 2, true),
    )
    .await;
    *witnesses[0].mood.lock().unwrap() = Some(CosignError::Size(1 << 40));
    for nth in 1..5 {
        boot.decide(facial("customer-1", nth)).await;
    }
    *witnesses[1].mood.lock().unwrap() = Some(CosignError::Refused("superseded by term 9".into()));
    assert!(
        boot.ledgers
            .decide(&tenant(), facial("customer-1", 9))
            .await
            .is_err()
    );
    let halted = boot.halted.lock().unwrap().clone().unwrap();
    assert!(halted.contains("superseded by term 9"), "{halted}");
}
