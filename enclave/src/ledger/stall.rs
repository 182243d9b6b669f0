//! What the committer waits for unusually long, so that new requests are told
//! instead of queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::errors::CommitError;

/// After this long new requests are refused instead of queued.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whom the committer waits for.
#[derive(Clone, Copy)]
pub(super) enum On {
    Store = 1,
    Witnesses = 2,
}

/// Nobody is waited for.
const NOBODY: u64 = 0;
/// Nobody is waited for any more: the secret is another enclave's.
const GONE: u64 = u64::MAX;

/// Shared by the committer, which waits, and its handles, which tell. Whoever asks looks
/// at the clock: a timer for each batch would wake threads for nothing.
#[derive(Clone)]
pub(super) struct Stall {
    made: Instant,
    /// Since when, in milliseconds after `made`, times four, and on whom.
    waits: Arc<AtomicU64>,
}

impl Default for Stall {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            waits: Arc::new(AtomicU64::new(NOBODY)),
        }
    }
}

impl Stall {
    fn elapsed_ms(&self) -> u64 {
        self.made.elapsed().as_millis() as u64
    }

    /// Waits for what may take long; what is under way waits on.
    pub(super) async fn patiently<T>(&self, on: On, work: impl Future<Output = T>) -> T {
        let waits = (self.elapsed_ms() << 2) | on as u64;
        self.tell(waits);
        let done = work.await;
        self.tell(NOBODY);
        done
    }

    /// A handover is for good, whatever is still waited for behind it.
    fn tell(&self, waits: u64) {
        let open = |now: u64| (now != GONE).then_some(waits);
        let _ = self
            .waits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, open);
    }

    /// Nothing is taken any more, for good.
    pub(super) fn handed_over(&self) {
        self.waits.store(GONE, Ordering::Relaxed);
    }

    /// Why nothing new is taken now, if so.
    pub(super) fn check(&self) -> Result<(), CommitError> {
        let waits = self.waits.load(Ordering::Relaxed);
        if waits == NOBODY {
            return Ok(());
        }
        if waits == GONE {
            return Err(CommitError::HandedOver);
        }
        let since = Duration::from_millis(waits >> 2);
        if Duration::from_millis(self.elapsed_ms()).saturating_sub(since) < PATIENCE {
            return Ok(());
        }
        match waits & 3 == On::Store as u64 {
            true => Err(CommitError::NoStore),
            false => Err(CommitError::NotFresh),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was made so long before.
    fn made_before(time: Duration) -> Stall {
        Stall {
            made: Instant::now() - time,
            ..Stall::default()
        }
    }

    /// Polls what never ends once, then looks.
    fn waiting_for(stall: &Stall, on: On, time: Duration) -> Result<(), CommitError> {
        let mut work = Box::pin(stall.patiently(on, std::future::pending::<()>()));
        let polled = futures::FutureExt::now_or_never(&mut work);
        assert!(polled.is_none());
        let later = Stall {
            made: stall.made - time,
            waits: Arc::clone(&stall.waits),
        };
        later.check()
    }

    #[test]
    fn what_takes_long_is_told_and_what_ends_is_not() {
        let stall = made_before(Duration::from_secs(100));
        assert!(stall.check().is_ok());
        assert!(waiting_for(&stall, On::Store, Duration::from_secs(1)).is_ok());
        let told = waiting_for(&stall, On::Store, Duration::from_secs(3));
        assert!(matches!(told, Err(CommitError::NoStore)));
        let told = waiting_for(&stall, On::Witnesses, Duration::from_secs(3));
        assert!(matches!(told, Err(CommitError::NotFresh)));
        let done = futures::FutureExt::now_or_never(stall.patiently(On::Store, async { 7 }));
        assert_eq!(done, Some(7));
        assert!(stall.check().is_ok());
    }

    #[test]
    fn after_a_handover_nothing_is_taken() {
        let stall = Stall::default();
        stall.handed_over();
        assert!(matches!(stall.check(), Err(CommitError::HandedOver)));
        // What was under way goes on, and opens nothing again.
        let during = waiting_for(&stall, On::Store, Duration::ZERO);
        assert!(matches!(during, Err(CommitError::HandedOver)));
        let done = futures::FutureExt::now_or_never(stall.patiently(On::Store, async { 7 }));
        assert_eq!(done, Some(7));
        assert!(matches!(stall.check(), Err(CommitError::HandedOver)));
    }
}
