use super::*;
use proptest::prelude::*;
use redoubt_attestation::ledger::merkle::{Tree, leaf_hash};

const LEASE: u64 = 2000;

fn key(n: u8) -> OkpEd25519Jwk {
    OkpEd25519Jwk::from_bytes([n; 32])
}

fn ledger() -> LedgerId {
    LedgerId::from_bytes([4; 16])
}

fn tree(leaves: u64, salt: u8) -> Tree {
    Tree::from_leaves((0..leaves).map(|i| leaf_hash(&[salt, i as u8])))
}

fn checkpoint(tree: &Tree, size: u64) -> Checkpoint {
    Checkpoint {
        ledger: ledger(),
        size,
        root: tree.root_at(size).unwrap(),
    }
}

fn log(term: u64, n: u8) -> Log {
    Log::restored(Log::first(ledger(), term, key(n)))
}

/// Asks for a head of `tree` and, if it is cosigned, takes the record over.
fn grow(log: &mut Log, tree: &Tree, old: u64, new: u64, now: u64) -> Result<(), LogRefusal> {
    let proof = tree.consistency(old, new).unwrap();
    let growth = Growth {
        checkpoint: &checkpoint(tree, new),
        old_size: old,
        proof: &proof,
    };
    let record = log.cosign(growth, LEASE, now)?;
    log.cosigned(record, now);
    Ok(())
}

fn introduce(log: &mut Log, term: u64, n: u8) -> Result<(), LogRefusal> {
    let record = log.introduce(term, &key(n))?;
    log.introduced(record);
    Ok(())
}

#[test]
fn heads_that_grow_are_cosigned_and_the_same_head_again() {
    let (mut log, tree) = (log(1, 1), tree(9, 0));
    for (old, new) in [(0, 3), (3, 3), (3, 4), (4, 9), (9, 9)] {
        grow(&mut log, &tree, old, new, 5).unwrap();
        assert_eq!(log.record().head.unwrap().size, new);
    }
}

#[test]
fn an_older_term_is_superseded() {
    let mut log = log(1, 1);
    introduce(&mut log, 5, 2).unwrap();
    assert_eq!(
        introduce(&mut log, 4, 3),
        Err(LogRefusal::Superseded { term: 5 })
    );
    assert_eq!(
        introduce(&mut log, 1, 1),
        Err(LogRefusal::Superseded { term: 5 })
    );
    // The same key may not go back to its older term either.
    assert_eq!(
        introduce(&mut log, 3, 2),
        Err(LogRefusal::Superseded { term: 5 })
    );
}

#[test]
fn one_term_has_one_key() {
    let mut log = log(2, 1);
    introduce(&mut log, 2, 1).unwrap();
    assert_eq!(
        introduce(&mut log, 2, 9),
        Err(LogRefusal::OtherKey { term: 2 })
    );
    assert_eq!(log.record().key, key(1));
}

#[test]
fn a_new_term_waits_for_the_lease_of_the_one_before() {
    let (mut log, tree) = (log(1, 1), tree(4, 0));
    grow(&mut log, &tree, 0, 2, 10_000).unwrap();
    introduce(&mut log, 2, 2).unwrap();
    assert_eq!(log.wait_ms(10_500), 1_500);
    assert_eq!(
        grow(&mut log, &tree, 2, 3, 11_999),
        Err(LogRefusal::Wait { wait_ms: 1 })
    );
    grow(&mut log, &tree, 2, 3, 12_000).unwrap();
    assert_eq!(log.wait_ms(12_000), 0);
}

#[test]
fn a_third_term_waits_for_whoever_got_the_last_cosignature() {
    let (mut log, tree) = (log(1, 1), tree(4, 0));
    grow(&mut log, &tree, 0, 2, 10_000).unwrap();
    introduce(&mut log, 2, 2).unwrap();
    introduce(&mut log, 3, 3).unwrap();
    assert_eq!(log.wait_ms(10_001), 1_999);
    grow(&mut log, &tree, 2, 3, 12_000).unwrap();
    introduce(&mut log, 4, 4).unwrap();
    assert_eq!(log.wait_ms(12_500), 1_500);
}

#[test]
fn the_first_term_of_all_waits_for_nobody() {
    let (mut log, tree) = (log(1, 1), tree(4, 0));
    introduce(&mut log, 2, 2).unwrap();
    assert_eq!(log.wait_ms(0), 0);
    grow(&mut log, &tree, 0, 1, 0).unwrap();
}

#[test]
fn a_restarted_witness_makes_a_new_term_wait_a_whole_lease() {
    let (mut before, tree) = (log(1, 1), tree(4, 0));
    grow(&mut before, &tree, 0, 2, 1_000_000).unwrap();
    let text = serde_json::to_vec(before.record()).unwrap();
    let mut after = Log::restored(serde_json::from_slice(&text).unwrap());
    introduce(&mut after, 2, 2).unwrap();
    assert_eq!(after.wait_ms(0), LEASE);
    assert!(grow(&mut after, &tree, 2, 3, LEASE - 1).is_err());
    grow(&mut after, &tree, 2, 3, LEASE).unwrap();
    // A takeover that was already under way waits again from the start.
    let mut waiting = before.clone();
    introduce(&mut waiting, 2, 2).unwrap();
    let again = Log::restored(waiting.record().clone());
    assert_eq!(again.wait_ms(0), LEASE);
}

#[test]
fn a_shorter_lease_in_a_later_manifest_does_not_shorten_one_already_given() {
    let (mut log, tree) = (log(1, 1), tree(4, 0));
    grow(&mut log, &tree, 0, 2, 0).unwrap();
    let growth = Growth {
        checkpoint: &checkpoint(&tree, 2),
        old_size: 2,
        proof: &[],
    };
    let record = log.cosign(growth, 200, 100).unwrap();
    log.cosigned(record, 100);
    introduce(&mut log, 2, 2).unwrap();
    assert_eq!(log.wait_ms(100), LEASE);
}

#[test]
fn a_rollback_is_a_conflict_that_names_the_size() {
    let (mut log, tree) = (log(1, 1), tree(8, 0));
    grow(&mut log, &tree, 0, 6, 0).unwrap();
    for (old, new) in [(0, 3), (3, 5), (5, 8), (0, 6)] {
        assert_eq!(
            grow(&mut log, &tree, old, new, 0),
            Err(LogRefusal::Conflict { size: 6 }),
            "{old} to {new}"
        );
    }
}

#[test]
fn a_head_larger_than_the_checkpoint_cannot_be_its_past() {
    let (mut log, tree) = (log(1, 1), tree(8, 0));
    grow(&mut log, &tree, 0, 6, 0).unwrap();
    let growth = Growth {
        checkpoint: &checkpoint(&tree, 4),
        old_size: 6,
        proof: &[],
    };
    assert_eq!(log.cosign(growth, LEASE, 0), Err(LogRefusal::OldTooLarge));
}

#[test]
fn a_fork_is_refused_at_the_same_size_and_beyond_it() {
    let (mut log, ours, theirs) = (log(1, 1), tree(8, 0), tree(8, 1));
    grow(&mut log, &ours, 0, 5, 0).unwrap();
    assert_eq!(
        grow(&mut log, &theirs, 5, 5, 0),
        Err(LogRefusal::OtherRoot { size: 5 })
    );
    assert_eq!(
        grow(&mut log, &theirs, 5, 7, 0),
        Err(LogRefusal::Inconsistent)
    );
    assert_eq!(log.record().head.unwrap().size, 5);
}

#[test]
fn a_wrong_proof_is_refused() {
    let (mut log, tree) = (log(1, 1), tree(8, 0));
    grow(&mut log, &tree, 0, 5, 0).unwrap();
    let good = tree.consistency(5, 8).unwrap();
    let head = checkpoint(&tree, 8);
    let ask = |proof: &[Hash]| {
        let growth = Growth {
            checkpoint: &head,
            old_size: 5,
            proof,
        };
        log.cosign(growth, LEASE, 0)
    };
    assert!(ask(&good).is_ok());
    let longer = [&good[..], &[[0; 32]]].concat();
    for wrong in [&[][..], &good[1..], &longer] {
        assert_eq!(ask(wrong), Err(LogRefusal::Inconsistent));
    }
    let same = Growth {
        checkpoint: &checkpoint(&tree, 5),
        old_size: 5,
        proof: &good,
    };
    assert_eq!(log.cosign(same, LEASE, 0), Err(LogRefusal::Inconsistent));
}

#[test]
fn an_empty_ledger_has_one_root() {
    let log = log(1, 1);
    let forged = Checkpoint {
        ledger: ledger(),
        size: 0,
        root: [1; 32],
    };
    let growth = Growth {
        checkpoint: &forged,
        old_size: 0,
        proof: &[],
    };
    assert_eq!(
        log.cosign(growth, LEASE, 0),
        Err(LogRefusal::OtherRoot { size: 0 })
    );
}

#[test]
fn killed_between_write_and_answer_the_head_can_be_had_again() {
    let (log, tree) = (log(1, 1), tree(4, 0));
    let proof = [];
    let head = checkpoint(&tree, 3);
    let growth = Growth {
        checkpoint: &head,
        old_size: 0,
        proof: &proof,
    };
    // On disk, but nobody was told.
    let mut restarted = Log::restored(log.cosign(growth, LEASE, 0).unwrap());
    assert_eq!(
        grow(&mut restarted, &tree, 0, 3, 0),
        Err(LogRefusal::Conflict { size: 3 })
    );
    grow(&mut restarted, &tree, 3, 3, 0).unwrap();
    grow(&mut restarted, &tree, 3, 4, 0).unwrap();
}

proptest! {
    /// Whatever two copies of an appliance ask, in whatever order, with restarts:
    /// heads never shrink or fork, terms never fall, and no term gets a
    /// cosignature within a lease of another's.
    #[test]
    fn two_copies_never_hold_a_lease_together(
        steps in proptest::collection::vec((0u8..4, 1u64..6, 0u64..10, 0u64..900), 1..80),
    ) {
        let trees = [tree(10, 0), tree(10, 0), tree(10, 1), tree(10, 1), tree(10, 0), tree(10, 1)];
        let mut log = log(1, 1);
        // Time since the very first start, and that of the current start.
        let (mut clock, mut start) = (0, 0);
        let mut last: Option<(u64, u64)> = None;
        let (mut term, mut size, mut root) = (1, 0, empty_root());
        for (what, t, n, pause) in steps {
            clock += pause;
            match what {
                0 => drop(introduce(&mut log, t, t as u8)),
                1 => {
                    log = Log::restored(log.record().clone());
                    start = clock;
                }
                _ => {
                    let signer = log.record().term;
                    let tree = &trees[signer as usize % trees.len()];
                    let old = log.record().head.map_or(0, |head| head.size);
                    if old > n || grow(&mut log, tree, old, n, clock - start).is_err() {
                        continue;
                    }
                    if let Some((other, at)) = last && other != signer {
                        prop_assert!(clock >= at + LEASE);
                    }
                    last = Some((signer, clock));
                    prop_assert!(n >= size);
                    prop_assert_eq!(tree.root_at(size).unwrap(), root);
                    (size, root) = (n, tree.root_at(n).unwrap());
                }
            }
            prop_assert!(log.record().term >= term);
            term = log.record().term;
        }
    }
}
