//! Workers are replaced, and no job is lost by it, whatever host and workers do.

use std::time::Duration;

use futures::future::join_all;

use super::fake::{Lie, honest_sample};
use super::{Bench, Rules, WorkerError};

const SLOW: Lie = Lie::Slow(Duration::from_millis(20));

fn after(jobs: u64) -> Rules {
    Rules {
        renew_jobs: jobs,
        renew_again: Duration::from_millis(50),
        ..Rules::NONE
    }
}

/// As many clients, each with as many jobs one after the other; all are answered.
async fn all_answered(bench: &Bench, clients: usize, jobs: usize) {
    let client = async || {
        for _ in 0..jobs {
            assert_eq!(bench.face().await.unwrap().0, honest_sample());
        }
    };
    join_all((0..clients).map(|_| client())).await;
}

#[tokio::test]
async fn jobs_across_renewals_are_each_answered_exactly_once() {
    let bench = Bench::ruled(&[SLOW], after(10)).await;
    all_answered(&bench, 8, 25).await;
    let jobs = bench.world.jobs();
    assert_eq!(jobs.iter().sum::<usize>(), 200, "{jobs:?}");
    // Those that came while the next worker proved itself were the old one's too.
    assert!(jobs.len() >= 5, "{jobs:?}");
    assert!(bench.count("worker_renewals") >= 4);
    assert_eq!(bench.count("worker_renewals_late"), 0);
    bench
        .until("one session", |bench| bench.world.open() == 1)
        .await;
}

#[tokio::test]
async fn a_worker_is_replaced_when_it_is_old_as_well() {
    let rules = Rules {
        renew_after: Duration::from_millis(100),
        ..after(u64::MAX)
    };
    let bench = Bench::ruled(&[Lie::None], rules).await;
    bench.face().await.unwrap();
    let renewed = |bench: &Bench| bench.count("worker_renewals") >= 3;
    bench.until("three renewals", renewed).await;
    bench.face().await.unwrap();
}

#[tokio::test]
async fn where_no_second_worker_comes_the_first_goes_on_and_then_ends_before_the_next() {
    // The second and third session are refused; the next is the one of after the end.
    let lies = [SLOW, Lie::Shut, Lie::Shut, SLOW];
    let bench = Bench::ruled(&lies, after(40)).await;
    all_answered(&bench, 4, 20).await;
    // The end of its turn was 80 jobs ago by the second try at the latest.
    all_answered(&bench, 4, 20).await;
    let jobs = bench.world.jobs();
    assert_eq!(jobs.iter().sum::<usize>(), 160, "{jobs:?}");
    assert!(jobs[0] >= 40, "{jobs:?}");
    assert_eq!(jobs[1..3], [0, 0]);
    assert!(bench.count("worker_renewals_late") >= 1);
}

#[tokio::test]
async fn a_place_that_has_room_for_one_renews_one_after_the_other_without_a_loss() {
    // Whoever comes while the first serves is shut out, for as long as it serves.
    let lies = [SLOW, Lie::Shut, SLOW];
    let rules = Rules {
        // Tried again only when it is to end.
        renew_again: Duration::from_secs(60),
        ..after(20)
    };
    let bench = Bench::ruled(&lies, rules).await;
    all_answered(&bench, 6, 20).await;
    let jobs = bench.world.jobs();
    assert_eq!(jobs.iter().sum::<usize>(), 120, "{jobs:?}");
    assert!(jobs[0] >= 40 && jobs.len() >= 3, "{jobs:?}");
    assert!(bench.count("worker_renewals_late") >= 1);
    assert_eq!(bench.count("worker_renewals_in_turn"), 1);
}

#[tokio::test]
async fn a_host_that_connects_the_same_worker_twice_renews_nothing() {
    let lies = [Lie::SameKey, Lie::SameKey, Lie::OtherProgram, Lie::None];
    let rules = Rules {
        renew_again: Duration::from_millis(200),
        ..after(10)
    };
    let bench = Bench::ruled(&lies, rules).await;
    all_answered(&bench, 1, 10).await;
    let twice = |bench: &Bench| bench.count("worker_renewals_late") == 2;
    bench.until("two refusals", twice).await;
    // It went on meanwhile; the third that came is another worker, and a genuine one.
    all_answered(&bench, 1, 3).await;
    let renewed = |bench: &Bench| bench.count("worker_renewals") == 1;
    bench.until("a renewal", renewed).await;
    all_answered(&bench, 1, 3).await;
    assert_eq!(bench.world.jobs(), [13, 0, 0, 3]);
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_of_its_renewal_costs_what_it_had_and_no_more() {
    // The next worker's evidence is slow to come: the first dies while it is awaited.
    let bench = Bench::ruled(&[Lie::HangupAt(11), SLOW], after(10)).await;
    let (mut lost, mut answered) = (0, 0);
    for _ in 0..30 {
        match bench.face().await {
            Ok(_) => answered += 1,
            Err(WorkerError::Unavailable) => lost += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(lost <= 1, "{lost} jobs of one client");
    assert_eq!(answered + lost, 30);
    let jobs = bench.world.jobs();
    assert_eq!(jobs.iter().sum::<usize>(), 30, "{jobs:?}");
}

#[tokio::test]
async fn a_new_worker_that_lies_in_its_evidence_does_not_replace_the_old_one() {
    let lies = [
        Lie::None,
        Lie::OtherSession,
        Lie::OtherModels,
        Lie::NoEvidence,
    ];
    let bench = Bench::ruled(&lies, after(10)).await;
    all_answered(&bench, 1, 12).await;
    let refused = |bench: &Bench| bench.count("worker_renewals_late") >= 3;
    bench.until("three refusals", refused).await;
    all_answered(&bench, 1, 3).await;
    assert_eq!(bench.world.jobs()[..4], [15, 0, 0, 0]);
}
