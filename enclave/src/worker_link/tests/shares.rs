//! Tenants that flood, and one that has a job now and then: who waits for whom.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::future::{join, join_all};
use redoubt_shared::TenantId;
use redoubt_shared::worker::SampleRefusal;

use super::fake::{Lie, honest_sample};
use super::{Bench, WorkerError};

/// What each job takes the made-up worker, which has one at a time.
const OWN: Duration = Duration::from_millis(5);

fn bank(name: &str) -> TenantId {
    name.parse().unwrap()
}

impl Bench {
    async fn face_of(&self, tenant: &TenantId) -> Result<(), WorkerError> {
        let (sample, _) = self.link.face(tenant, vec![1, 2, 3].into(), true).await?;
        assert_eq!(sample, honest_sample());
        Ok(())
    }

    /// So many callers of one tenant who come again and again until it is over. Those
    /// answered, and those told to come later.
    async fn flood(&self, tenant: &str, callers: usize, over: &AtomicBool) -> (usize, usize) {
        let (tenant, answered, refused) = (bank(tenant), AtomicUsize::new(0), AtomicUsize::new(0));
        let caller = async || {
            while !over.load(Relaxed) {
                match self.face_of(&tenant).await {
                    // What is left when it ends is of nobody's share.
                    Ok(()) if over.load(Relaxed) => 0,
                    Ok(()) => answered.fetch_add(1, Relaxed),
                    Err(WorkerError::Busy) => refused.fetch_add(1, Relaxed),
                    Err(other) => panic!("{other:?}"),
                };
                tokio::time::sleep(OWN).await;
            }
        };
        join_all((0..callers).map(|_| caller())).await;
        (answered.into_inner(), refused.into_inner())
    }

    fn jobs(&self) -> usize {
        self.world.jobs().iter().sum()
    }
}

#[tokio::test]
async fn one_job_at_a_time_waits_for_a_few_of_a_flood_and_is_never_refused() {
    let bench = Bench::new(&[Lie::Slow(OWN)]).await;
    let (over, quiet) = (AtomicBool::new(false), bank("bank-b"));
    let calm = async {
        tokio::time::sleep(30 * OWN).await;
        let mut before = Vec::new();
        for _ in 0..60 {
            let begun = bench.jobs();
            bench
                .face_of(&quiet)
                .await
                .expect("only the flood is refused");
            before.push(bench.jobs() - begun - 1);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        over.store(true, Relaxed);
        before
    };
    let ((answered, refused), mut before) = join(bench.flood("bank-a", 200, &over), calm).await;
    before.sort_unstable();
    println!("{answered} of the flood answered, {refused} refused; before each: {before:?}");
    // What is at the worker already, and a turn: of hundreds that wait.
    assert!(before[30] <= 9 && before[59] <= 18, "{before:?}");
    assert!(refused > 200, "{refused}");
    // The worker goes on: it has work for the other one all the time.
    assert!(answered > 100, "{answered}");
}

#[tokio::test]
async fn two_that_always_have_jobs_have_half_of_the_worker_each() {
    let bench = Bench::new(&[Lie::Slow(OWN)]).await;
    let over = AtomicBool::new(false);
    let end = async {
        tokio::time::sleep(400 * OWN).await;
        over.store(true, Relaxed);
    };
    let both = join(
        bench.flood("bank-a", 200, &over),
        bench.flood("bank-b", 12, &over),
    );
    let ((), ((one, _), (other, _))) = join(end, both).await;
    println!("{one} and {other}");
    assert!(one + other > 100, "{one} and {other}");
    assert!(one.abs_diff(other) * 5 <= one + other, "{one} and {other}");
}

#[tokio::test]
async fn who_goes_away_while_waiting_costs_the_worker_nothing() {
    let bench = Bench::new(&[Lie::Slow(4 * OWN)]).await;
    let impatient = bank("bank-a");
    bench.face_of(&impatient).await.unwrap();
    let crowd = join_all((0..200).map(|_| bench.face_of(&impatient)));
    let gone = tokio::time::timeout(2 * OWN, crowd).await;
    assert!(gone.is_err(), "the worker is slower than that");
    // Those that were sent are answered; nobody else has a turn.
    bench.face_of(&impatient).await.unwrap();
    let jobs = bench.jobs();
    assert!(jobs <= 9, "{jobs}");
    for _ in 0..5 {
        bench.face_of(&impatient).await.unwrap();
    }
    assert_eq!(bench.jobs(), jobs + 5);
}

#[tokio::test]
async fn a_worker_that_has_too_much_is_sent_less_and_the_caller_told() {
    let bench = Bench::new(&[Lie::Refuse(SampleRefusal::Busy)]).await;
    let tenant = bank("bank-a");
    let all = join_all((0..40).map(|_| bench.face_of(&tenant))).await;
    assert!(all.iter().all(|one| *one == Err(WorkerError::Busy)));
    assert_eq!(bench.jobs(), 40);
}

#[tokio::test]
async fn turns_of_a_worker_that_dies_are_given_back() {
    let lies = [Lie::HangupAt(20), Lie::Slow(Duration::from_millis(1))];
    let bench = Bench::new(&lies).await;
    let (one, other) = (bank("bank-a"), bank("bank-b"));
    let each = (0..50).map(|at| bench.face_of(if at % 2 == 0 { &one } else { &other }));
    let all = join_all(each).await;
    let lost = all
        .iter()
        .filter(|one| **one == Err(WorkerError::Unavailable));
    // What it had; everything else went to the next one.
    let lost = lost.count();
    assert!((1..=10).contains(&lost), "{all:?}");
    assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 50 - lost);
    assert_eq!(bench.link.seats[0].shares.at_work(), 0);
}
