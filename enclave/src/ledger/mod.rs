//! The ledger inside the enclave: sealing, committing, replaying.
//!
//! Protects against the store's keeper: every entry is sealed to its exact
//! place, every batch is durable before anything derived from it is said, and
//! what is read back must be what was written, or the enclave halts.

mod appliance;
mod body;
mod book;
mod claim;
mod commit;
mod committer;
mod errors;
mod export;
mod handle;
mod handover;
mod jobs;
mod page;
mod reading;
mod record;
mod recover;
mod release;
mod replay;
mod retention;
mod rotation;
mod snapshot;
mod stall;
mod store;
mod witnessing;

pub use appliance::{ApplianceEvent, ApplianceState, CaSecret, HandoverRecord, TermRecord};
pub use body::{BodyError, Event as BodyEvent};
pub use book::{Anchor, Book, Committed, Written};
pub use claim::{Anchored, Claim};
pub use commit::{Core, Making, Outcome, TenantCore};
pub use committer::{SNAPSHOT_BYTES, Settings};
pub use errors::{CommitError, HaltReason};
pub use handle::Ledgers;
pub use handover::{HandOver, Handed, Sealing, read_envelope};
pub use page::{Page, PageEntry, PageEvent};
pub use record::{RecordError, SealedRecord};
pub use recover::{Origin, Recovered, Stored, newest_snapshot, recover};
pub use replay::ReplayError;
pub use retention::Retention;
pub use rotation::{Rotate, SnapshotFailed};
pub use snapshot::{Root as SnapshotRoot, SnapshotError};
pub use store::{StoreClient, StoreError};
pub use witnessing::{CosignError, Cosigned, Cosigner, Cosigning, Freshness, Witnessing};

#[cfg(test)]
mod tests;
