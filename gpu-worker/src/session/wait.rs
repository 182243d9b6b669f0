//! How long a job would wait, and how long it may.
//!
//! Protects callers' time: a job that would be answered too late is better refused at
//! once, since its caller can come again. What jobs take is learned from those that
//! were done, for each kind by itself; nothing is refused before one was.

use std::time::{Duration, Instant};

use redoubt_shared::limits::JOB_DEADLINE_MS;

/// Longest expected wait of a job that is accepted.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(200);
/// A job may wait this many times as long as itself takes, where that is more: on a slow
/// machine the wait is not what breaks a bound, and long jobs are waited for longer.
pub(super) const PATIENCE: u32 = 4;
/// What a new measurement counts in the running mean: one part in so many.
const MEMORY: f64 = 8.0;

/// Kinds of work that take different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One picture.
    Face,
    /// One picture, and how live it looks.
    LiveFace,
    /// One recording.
    Voice,
    /// One recording of digits.
    Spoken,
    /// Frames of one face.
    Frames,
    /// Frames of one face, and how live each looks.
    LiveFrames,
}

const KINDS: usize = 6;

/// What a job is to a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Of which kind.
    pub kind: Kind,
    /// Pictures or recordings.
    pub pieces: u32,
}

/// Running means of what one piece of each kind takes, in seconds.
#[derive(Debug, Default)]
pub(super) struct Means([Option<f64>; KINDS]);

impl Means {
    /// Takes in what a job took.
    pub(super) fn learn(&mut self, work: Work, took: Duration) {
        let piece = took.as_secs_f64() / f64::from(work.pieces.max(1));
        let mean = &mut self.0[work.kind as usize];
        *mean = Some(match *mean {
            Some(mean) => mean + (piece - mean) / MEMORY,
            None => piece,
        });
    }

    /// What a job will take; nothing before one of its kind was done.
    pub(super) fn of(&self, work: Work) -> Duration {
        let piece = self.0[work.kind as usize].unwrap_or(0.0);
        Duration::from_secs_f64(piece * f64::from(work.pieces))
    }
}

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

/// Whether a job is answered in time after such a wait. What need not wait is tried: a mean
/// that one frozen job spoiled is learned anew by no other way.
pub(super) fn bearable(wait: Duration, own: Duration) -> bool {
    let deadline = Duration::from_millis(JOB_DEADLINE_MS.into());
    wait.is_zero() || (wait <= WAIT_MAX.max(own * PATIENCE) && wait + own <= deadline)
}
