//! Trusted time: the attester's signed time, carried by the monotonic clock.
//!
//! Protects against a host that sets the clock: the operating system's time is
//! never read. When attester and carried time part by more than two seconds the
//! enclave halts; while the attester is silent for long nothing is decided.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redoubt_attestation::attester::{Attester, AttesterError};

/// How often the attester is asked.
pub(super) const REREAD: Duration = Duration::from_secs(30);
/// Without an answer for this long there is no time.
const STALE: Duration = Duration::from_secs(120);
/// Most that attester and carried time may differ, in milliseconds.
const TOLERANCE_MS: u64 = 2_000;

struct Anchor {
    /// The first reading, which every later one must agree with: small steps do
    /// not add up unnoticed.
    boot: (u64, Instant),
    /// When the attester last agreed.
    agreed: Instant,
    broken: bool,
}

/// The clock everyone in the enclave reads.
pub(super) struct Clock {
    anchor: Mutex<Anchor>,
    last: AtomicU64,
}

impl Clock {
    /// Reads the attester once.
    pub(super) fn start(attester: &dyn Attester) -> Result<Arc<Self>, AttesterError> {
        let attested_ms = attester.now_ms()?;
        let now = Instant::now();
        let anchor = Anchor {
            boot: (attested_ms, now),
            agreed: now,
            broken: false,
        };
        Ok(Arc::new(Self {
            anchor: Mutex::new(anchor),
            last: AtomicU64::new(attested_ms),
        }))
    }

    fn anchor(&self) -> std::sync::MutexGuard<'_, Anchor> {
        self.anchor
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Unix milliseconds, never decreasing; `None` when time cannot be trusted.
    pub(super) fn now_ms(&self) -> Option<u64> {
        let anchor = self.anchor();
        if anchor.broken || anchor.agreed.elapsed() > STALE {
            return None;
        }
        let now = anchor.carried(Instant::now());
        Some(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Takes a fresh reading of the attester. `false`: it disagrees, which is final.
    pub(super) fn reread(&self, attester: &dyn Attester) -> bool {
        let before = Instant::now();
        let reading = attester.now_ms();
        let after = Instant::now();
        let mut anchor = self.anchor();
        if let Ok(attested_ms) = reading {
            // The reading was taken somewhere between the two.
            let earliest = anchor.carried(before).saturating_sub(TOLERANCE_MS);
            let latest = anchor.carried(after).saturating_add(TOLERANCE_MS);
            if (earliest..=latest).contains(&attested_ms) {
                anchor.agreed = before;
            } else {
                anchor.broken = true;
            }
        }
        !anchor.broken
    }
}

impl Anchor {
    /// What the monotonic clock makes of the first reading.
    fn carried(&self, at: Instant) -> u64 {
        let (attested_ms, start) = self.boot;
        attested_ms.saturating_add(at.saturating_duration_since(start).as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redoubt_attestation::attester::AttestRequest;
    use redoubt_attestation::document::Pcrs;
    use redoubt_attestation::entropy::{Entropy, EntropyError};
    use redoubt_attestation::genesis::Environment;

    struct Fixed(AtomicU64);

    impl Entropy for Fixed {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Ok(())
        }
    }

    impl Attester for Fixed {
        fn environment(&self) -> Environment {
            Environment::Emulated
        }
        fn attest(&self, _: &AttestRequest) -> Result<Vec<u8>, AttesterError> {
            Err(AttesterError::Clock)
        }
        fn pcrs(&self) -> Result<Pcrs, AttesterError> {
            Err(AttesterError::Clock)
        }
        fn now_ms(&self) -> Result<u64, AttesterError> {
            match self.0.load(Ordering::Relaxed) {
                0 => Err(AttesterError::Clock),
                now => Ok(now),
            }
        }
    }

    #[test]
    fn a_clock_that_agrees_goes_on_and_never_back() {
        let attester = Fixed(AtomicU64::new(1_000_000));
        let clock = Clock::start(&attester).unwrap();
        let first = clock.now_ms().unwrap();
        attester.0.store(999_500, Ordering::Relaxed);
        clock.reread(&attester);
        assert!(clock.now_ms().unwrap() >= first);
    }

    #[test]
    fn a_jump_of_more_than_two_seconds_ends_all_time() {
        for jump in [1_002_500, 997_000] {
            let attester = Fixed(AtomicU64::new(1_000_000));
            let clock = Clock::start(&attester).unwrap();
            attester.0.store(jump, Ordering::Relaxed);
            clock.reread(&attester);
            assert_eq!(clock.now_ms(), None);
            attester.0.store(1_000_000, Ordering::Relaxed);
            clock.reread(&attester);
            assert_eq!(clock.now_ms(), None, "final");
        }
    }

    #[test]
    fn a_silent_attester_changes_nothing_at_first() {
        let attester = Fixed(AtomicU64::new(1_000_000));
        let clock = Clock::start(&attester).unwrap();
        attester.0.store(0, Ordering::Relaxed);
        clock.reread(&attester);
        assert!(clock.now_ms().is_some());
    }
}
