//! How long a job would wait.
//!
//! Protects callers' time: a job that would be answered too late is better refused at
//! once, since its caller can come again. What jobs take is learned from those that
//! were done, for each kind by itself; nothing is refused before one was.

use std::time::{Duration, Instant};

use redoubt_shared::work::{Means, Work};

/// A job that a thread has.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) ticket: u64,
    pub(super) work: Work,
    pub(super) since: Instant,
}

/// When a thread would take one more job: each takes the next as soon as it is free.
pub(super) fn expected<'a>(
    threads: usize,
    (running, means): (&[Running], &Means),
    waiting: impl Iterator<Item = &'a Work>,
    now: Instant,
) -> Duration {
    let left = |one: &Running| {
        let spent = now.saturating_duration_since(one.since);
        means.of(one.work).saturating_sub(spent)
    };
    let mut free: Vec<Duration> = running.iter().map(left).collect();
    free.resize(threads.max(running.len()).max(1), Duration::ZERO);
    for work in waiting {
        if let Some(next) = free.iter_mut().min() {
            *next += means.of(*work);
        }
    }
    free.into_iter().min().unwrap_or_default()
}
