//! Why a command got no decision, a reading no answer, and what ends it all.

use super::book::BookError;
use super::rotation::SnapshotFailed;
use super::store::StoreError;
use crate::core::Refusal;

/// A command got no decision.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The core said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger stopped; the outcome of what was under way is unknown.
    #[error("the ledger stopped")]
    Halted,
    /// There is no trusted time now.
    #[error("there is no trusted time")]
    NoTime,
    /// Too much is waiting.
    #[error("the ledger's queue is full")]
    Busy,
    /// No such tenant.
    #[error("no such tenant")]
    UnknownTenant,
    /// No such receipt in this ledger.
    #[error("no such receipt")]
    UnknownReceipt,
    /// The store returned something else than was written; only this read fails.
    #[error("the store returned a damaged entry")]
    Damaged,
    /// The entry is there, but its subject was erased.
    #[error("the subject of this receipt was erased")]
    Erased,
    /// The receipt is older than its tenant keeps receipts.
    #[error("the receipt is older than receipts are kept")]
    Expired,
    /// The store has not answered for a while.
    #[error("the store does not answer")]
    NoStore,
    /// No quorum of witnesses has cosigned recently.
    #[error("too few witnesses answer")]
    NotFresh,
    /// A snapshot or rotation is under way, or could not be written.
    #[error("{0}")]
    Snapshot(SnapshotFailed),
    /// Not decided: the ledger goes on at another enclave.
    #[error("the ledger was handed over to another enclave")]
    HandedOver,
    /// The ledger records this order of a handover.
    #[error("the order was obeyed before")]
    OrderSpent,
    /// The order of a handover was good when it arrived, and is not any more.
    #[error("the order's time is over")]
    OrderExpired,
    /// The envelope of a handover could not be made.
    #[error("the envelope could not be sealed")]
    NotSealed,
}

/// What ends the committer.
#[derive(Debug, thiserror::Error)]
pub enum HaltReason {
    /// The store lies or lost something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing or signing failed.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Witnesses know a later term, or a history this one does not continue.
    #[error("another copy of this appliance goes on, or this one was rolled back: {0}")]
    Superseded(String),
    /// The task that decides died.
    #[error("the committer panicked")]
    Panicked,
}

/// What the store returned is not what was written; the log says how.
pub(super) fn damaged(error: &dyn std::fmt::Display) -> CommitError {
    tracing::error!(%error, "the store returned something damaged");
    CommitError::Damaged
}
