//! How long a worker serves, how it is watched, and what is counted of that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redoubt_attestation::genesis::Policy;

/// What policy and this build ask of workers.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Jobs after which a worker is replaced.
    pub renew_jobs: u64,
    /// Time after which it is.
    pub renew_after: Duration,
    /// How long to wait before trying again where no new worker came.
    pub renew_again: Duration,
    /// Of how many samples one is measured by a second worker as well; 0: none.
    pub recompute_one_in: u32,
    /// After how many jobs a worker measures samples whose answers are known, besides
    /// before the first; 0: never.
    pub canary_jobs: u64,
}

/// See [`Rules::canary_jobs`].
const CANARY_JOBS: u64 = 500;

impl Rules {
    /// For whoever measures one worker: it is neither replaced nor doubted.
    pub const NONE: Self = Self {
        renew_jobs: u64::MAX,
        renew_after: Duration::MAX,
        renew_again: Duration::from_secs(20),
        recompute_one_in: 0,
        canary_jobs: 0,
    };

    /// What officers signed.
    pub fn of(policy: &Policy) -> Self {
        Self {
            renew_jobs: policy.worker_jobs().into(),
            renew_after: Duration::from_secs(60 * u64::from(policy.worker_minutes())),
            recompute_one_in: policy.recompute(),
            canary_jobs: CANARY_JOBS,
            ..Self::NONE
        }
    }
}

/// Counters of all workers of one enclave: a fixed list of names.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sessions that proved themselves.
    pub(super) sessions: AtomicU64,
    /// Workers replaced in time.
    pub(super) renewals: AtomicU64,
    /// Times that no new worker came, and the old one went on.
    pub(super) renewals_late: AtomicU64,
    /// Workers that were ended before a new one was there, as none came beside them.
    pub(super) renewals_in_turn: AtomicU64,
    /// Samples that a second worker measured as well.
    pub(super) recomputed: AtomicU64,
    /// Times that a second worker gave no opinion.
    pub(super) recomputed_not: AtomicU64,
    /// Times that two workers disagreed.
    pub(super) disagreed: AtomicU64,
    /// Answers to samples whose answers are known.
    pub(super) canaries: AtomicU64,
    /// Those that were others.
    pub(super) canaries_failed: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Every counter under its name.
    pub fn list(&self) -> [(&'static str, u64); 9] {
        let Self {
            sessions,
            renewals,
            renewals_late,
            renewals_in_turn,
            recomputed,
            recomputed_not,
            disagreed,
            canaries,
            canaries_failed,
        } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("worker_sessions", read(sessions)),
            ("worker_renewals", read(renewals)),
            ("worker_renewals_late", read(renewals_late)),
            ("worker_renewals_in_turn", read(renewals_in_turn)),
            ("worker_recomputed", read(recomputed)),
            ("worker_recomputed_not", read(recomputed_not)),
            ("worker_disagreed", read(disagreed)),
            ("worker_canaries", read(canaries)),
            ("worker_canaries_failed", read(canaries_failed)),
        ]
    }
}
