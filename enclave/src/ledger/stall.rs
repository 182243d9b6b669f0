//! What the committer waits for unusually long, so that new requests are told
//! instead of queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::errors::CommitError;

/// After this long new requests are refused instead of queued.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whom the committer waits for.
#[derive(Clone, Copy)]
pub(super) enum On {
    Store = 1,
    Witnesses = 2,
}

/// Nobody is waited for any more: the secret is another enclave's.
const GONE: u8 = 3;

/// Shared by the committer, which waits, and its handles, which tell.
#[derive(Clone, Default)]
pub(super) struct Stall(Arc<AtomicU8>);

impl Stall {
    /// Waits for what may take long; what is under way waits on.
    pub(super) async fn patiently<T>(&self, on: On, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            return done;
        }
        self.0.store(on as u8, Ordering::Relaxed);
        let done = work.await;
        self.0.store(0, Ordering::Relaxed);
        done
    }

    /// Nothing is taken any more, for good.
    pub(super) fn handed_over(&self) {
        self.0.store(GONE, Ordering::Relaxed);
    }

    /// Why nothing new is taken now, if so.
    pub(super) fn check(&self) -> Result<(), CommitError> {
        match self.0.load(Ordering::Relaxed) {
            on if on == On::Store as u8 => Err(CommitError::NoStore),
            on if on == On::Witnesses as u8 => Err(CommitError::NotFresh),
            GONE => Err(CommitError::HandedOver),
            _ => Ok(()),
        }
    }
}
