//! What a job costs the worker, and how long it may wait for that: one measure for the
//! worker's own queue and for the shares that the enclave gives to tenants.

use std::time::Duration;

use crate::limits::JOB_DEADLINE_MS;

/// Longest expected wait of a job that is accepted.
pub const WAIT_MAX: Duration = Duration::from_millis(200);
/// A job may wait this many times as long as itself takes, where that is more: on a slow
/// machine the wait is not what breaks a bound, and long jobs are waited for longer.
pub const PATIENCE: u32 = 4;
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

impl Work {
    /// A picture.
    pub fn face(liveness: bool) -> Self {
        let kind = if liveness { Kind::LiveFace } else { Kind::Face };
        Self { kind, pieces: 1 }
    }

    /// A recording, of digits or of anything.
    pub fn voice(spoken: bool) -> Self {
        let kind = if spoken { Kind::Spoken } else { Kind::Voice };
        Self { kind, pieces: 1 }
    }

    /// So many frames.
    pub fn frames(count: usize, liveness: bool) -> Self {
        let kind = match liveness {
            true => Kind::LiveFrames,
            false => Kind::Frames,
        };
        let pieces = u32::try_from(count).unwrap_or(u32::MAX);
        Self { kind, pieces }
    }
}

/// Running means of what one piece of each kind takes, in seconds.
#[derive(Debug, Default)]
pub struct Means([Option<f64>; KINDS]);

impl Means {
    /// Takes in what a job took.
    pub fn learn(&mut self, work: Work, took: Duration) {
        let piece = took.as_secs_f64() / f64::from(work.pieces.max(1));
        let mean = &mut self.0[work.kind as usize];
        *mean = Some(match *mean {
            Some(mean) => mean + (piece - mean) / MEMORY,
            None => piece,
        });
    }

    /// What a job will take; nothing before one of its kind was done.
    pub fn of(&self, work: Work) -> Duration {
        self.known(work).unwrap_or_default()
    }

    /// What a job will take, if one of its kind was done.
    pub fn known(&self, work: Work) -> Option<Duration> {
        let piece = self.0[work.kind as usize]?;
        Some(Duration::from_secs_f64(piece * f64::from(work.pieces)))
    }
}

/// Whether a job is answered in time after such a wait. What need not wait is tried: a mean
/// that one frozen job spoiled is learned anew by no other way.
pub fn bearable(wait: Duration, own: Duration) -> bool {
    let deadline = Duration::from_millis(JOB_DEADLINE_MS.into());
    wait.is_zero() || (wait <= WAIT_MAX.max(own * PATIENCE) && wait + own <= deadline)
}
