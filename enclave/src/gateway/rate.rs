//! A token bucket for what costs the attester work.
//!
//! Protects against: an anonymous client that keeps the security module busy.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Refills at a steady rate up to a burst.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.into(),
            burst: burst.into(),
            state: Mutex::new((burst.into(), Instant::now())),
        }
    }

    /// Takes one token if there is one.
    pub(super) fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, last) = *state;
        let gained = now.saturating_duration_since(last).as_secs_f64() * self.per_second;
        let tokens = (tokens + gained).min(self.burst);
        let taken = tokens >= 1.0;
        *state = (if taken { tokens - 1.0 } else { tokens }, now.max(last));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_served_and_then_the_rate_holds() {
        let bucket = Bucket::new(2, 3);
        let start = Instant::now();
        let taken = (0..10).filter(|_| bucket.take_at(start)).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take_at(start + Duration::from_millis(400)));
        assert!(bucket.take_at(start + Duration::from_millis(600)));
        assert!(!bucket.take_at(start + Duration::from_millis(700)));
    }
}
