//! The ledger inside the enclave: sealing, committing, replaying.
//!
//! Protects against the store's keeper: every entry is sealed to its exact
//! place, every batch is durable before anything derived from it is said, and
//! what is read back must be what was written, or the enclave halts.

mod appliance;
mod body;
mod book;
mod commit;
mod record;
mod replay;
mod store;

pub use appliance::{ApplianceEvent, ApplianceState, CaSecret, TermRecord};
pub use body::{BodyError, Event as BodyEvent};
pub use book::{Book, Committed};
pub use commit::{Claim, CommitError, Core, HaltReason, Ledgers, Outcome, TenantCore};
pub use record::{RecordError, SealedRecord};
pub use replay::{Recovered, ReplayError, recover};
pub use store::{StoreClient, StoreError};

#[cfg(test)]
mod tests;
