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
mod record;
mod replay;
mod store;

pub use appliance::{ApplianceEvent, ApplianceState, CaSecret, TermRecord};
pub use body::{BodyError, Event as BodyEvent};
pub use book::{Book, Committed, Written};
pub use claim::Claim;
pub use commit::{CommitError, Core, HaltReason, Outcome, TenantCore};
pub use committer::Ledgers;
pub use record::{RecordError, SealedRecord};
pub use replay::{Recovered, ReplayError, recover};
pub use store::{StoreClient, StoreError};

#[cfg(test)]
mod tests;
