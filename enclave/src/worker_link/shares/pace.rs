//! How many jobs are at the worker at once, and how fast it takes them.
//!
//! Protects a tenant that comes from what another one has sent already: no more is at the
//! worker than keeps it busy. How many threads it has is not known here, and need not be:
//! what jobs take when nothing else is there tells how long one waited that took longer.

use std::time::{Duration, Instant};

use redoubt_shared::limits::JOBS_IN_FLIGHT;
use redoubt_shared::work::{Means, Work};

/// At the worker before anything is known of it.
const FIRST: f64 = 4.0;
/// One that is measured and one that is sent meanwhile.
const LEAST: f64 = 2.0;
/// So many are sent without a look at what they take, as long as they cost no more than this
/// together: on a machine that others slow down, answers are late and the worker idle.
const FEW: usize = 6;
const FEW_COST: Duration = Duration::from_millis(150);
/// What a job may take there beside what it takes alone: half of it again, as threads slow
/// each other, and the way.
const SLOWER: f64 = 1.5;
const WAY: Duration = Duration::from_millis(10);
/// What a piece of a kind costs that was not measured yet.
const UNKNOWN: Duration = Duration::from_millis(25);
/// What the last job counts in a mean: one part in so many.
const MEMORY: f64 = 16.0;
/// Longer than so many times what a job costs is no pace, but a worker that was not there.
const GAP: u32 = 4;

/// What is known of a worker from the jobs it had.
pub(super) struct Pace {
    width: f64,
    means: Means,
    /// When the last one was sent, if others waited then.
    last: Option<Instant>,
    /// Means of the time between two, and of what they cost, in seconds, while others
    /// waited.
    between: f64,
    cost: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            width: FIRST,
            means: Means::default(),
            last: None,
            between: UNKNOWN.as_secs_f64(),
            cost: UNKNOWN.as_secs_f64(),
        }
    }
}

impl Pace {
    /// Whether one more is to be sent beside so many, which cost so much together.
    pub(super) fn has_room(&self, at_work: usize, cost: Duration) -> bool {
        at_work < self.width as usize || (at_work < FEW && cost < FEW_COST)
    }

    /// What a job costs.
    pub(super) fn cost(&self, work: Work) -> Duration {
        self.means.known(work).unwrap_or(UNKNOWN * work.pieces)
    }

    /// What a job takes, as far as that was measured: nothing is refused before.
    pub(super) fn own(&self, work: Work) -> Duration {
        self.means.of(work)
    }

    /// How long what costs so much takes the whole worker.
    pub(super) fn lasts(&self, cost: Duration) -> Duration {
        cost.mul_f64(self.between / self.cost)
    }

    /// A job was sent. `more`: others wait for their turn.
    pub(super) fn sent(&mut self, cost: Duration, more: bool, now: Instant) {
        if let Some(last) = self.last {
            let between = now.saturating_duration_since(last);
            let between = between.min(GAP * cost).as_secs_f64();
            self.between += (between - self.between) / MEMORY;
            self.cost += (cost.as_secs_f64() - self.cost) / MEMORY;
        }
        self.last = more.then_some(now);
    }

    /// A job was measured in so much time. `alone`: nothing else was there when it was
    /// sent. `more`: others wait for their turn.
    pub(super) fn measured(&mut self, work: Work, took: Duration, (alone, more): (bool, bool)) {
        let known = self.means.known(work);
        let late = known.is_some_and(|own| took > own.mul_f64(SLOWER) + WAY);
        let step = self.width.recip();
        self.width = match (late, more) {
            (true, _) => self.width - step,
            (false, true) => self.width + step,
            (false, false) => self.width,
        };
        self.width = self.width.clamp(LEAST, JOBS_IN_FLIGHT as f64);
        // It takes no longer than that, whether it waited or not.
        if alone || known.is_none_or(|own| took < own) {
            self.means.learn(work, took);
        }
    }

    /// The worker had too many.
    pub(super) fn refused(&mut self) {
        self.width = (self.width / 2.0).max(LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Duration = Duration::from_millis(25);

    /// A worker of so many threads that always has work: how many are there in the end.
    fn settled(threads: usize, own: Duration) -> f64 {
        let (mut pace, face) = (Pace::default(), Work::face(true));
        pace.measured(face, own, (true, false));
        for _ in 0..5_000 {
            let there = pace.width as usize;
            let rounds = (there as f64 / threads as f64).max(1.0);
            pace.measured(face, own.mul_f64(rounds), (false, true));
        }
        assert_eq!(pace.own(face), own);
        pace.width
    }

    #[test]
    fn as_many_are_there_as_keep_its_threads_busy_and_few_more() {
        for threads in [2usize, 4, 16] {
            for own in [FACE, 30 * FACE] {
                let width = settled(threads, own);
                let most = threads as f64 * (SLOWER + WAY.as_secs_f64() / own.as_secs_f64());
                let range = threads as f64..=most + 1.5;
                assert!(
                    range.contains(&width),
                    "{threads} threads, {own:?}: {width}"
                );
            }
        }
        let width = settled(1, FACE);
        assert!((LEAST..3.0).contains(&width), "{width}");
    }

    #[test]
    fn a_worker_that_refuses_has_fewer_and_one_at_least() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.refused();
        }
        let dear = FEW_COST;
        assert!(pace.has_room(1, dear) && !pace.has_room(2, dear));
        // Of cheap ones a few are there in any case.
        assert!(pace.has_room(FEW - 1, dear / 2) && !pace.has_room(FEW, dear / 2));
    }

    #[test]
    fn the_time_of_what_waits_is_learned_while_others_wait() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        assert_eq!(pace.lasts(FACE), FACE);
        // Two threads: one starts each half of its time.
        for _ in 0..200 {
            pace.sent(FACE, true, now);
            now += FACE / 2;
        }
        let lasts = pace.lasts(8 * FACE);
        assert!(lasts > 4 * FACE && lasts < 5 * FACE, "{lasts:?}");
        // Nor does a worker that was not there teach that all last long.
        pace.sent(FACE, true, now + Duration::from_secs(10));
        assert!(pace.lasts(8 * FACE) < 7 * FACE);
        now += Duration::from_secs(10);
        for _ in 0..60 {
            pace.sent(FACE, true, now);
            now += FACE / 2;
        }
        // An idle night tells nothing.
        pace.sent(FACE, false, now);
        pace.sent(FACE, true, now + Duration::from_secs(3600));
        assert!(pace.lasts(8 * FACE) < 5 * FACE);
    }

    #[test]
    fn what_waited_does_not_teach_what_it_takes() {
        let (mut pace, face) = (Pace::default(), Work::face(true));
        assert_eq!((pace.own(face), pace.cost(face)), (Duration::ZERO, UNKNOWN));
        // The first is all that is known.
        pace.measured(face, 4 * FACE, (false, true));
        assert_eq!(pace.cost(face), 4 * FACE);
        for _ in 0..60 {
            pace.measured(face, FACE, (false, true));
        }
        assert!(pace.cost(face) < FACE.mul_f64(1.01));
        for _ in 0..60 {
            pace.measured(face, 9 * FACE, (false, true));
        }
        assert!(pace.cost(face) < FACE.mul_f64(1.01));
        // Alone it counts, as when a machine becomes slower.
        for _ in 0..60 {
            pace.measured(face, 2 * FACE, (true, false));
        }
        assert!(pace.cost(face) > FACE.mul_f64(1.99));
    }
}
