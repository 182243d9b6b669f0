//! The core: what the appliance knows and how it decides. No I/O, no clock, no
//! randomness: values in, events out.
//!
//! Protects against a crash, a replay or a race handing out something twice:
//! `decide` is pure, state changes only by `apply` over events the ledger has
//! made durable, and recovery is the same `apply` over the same events.

mod apply;
mod claims;
mod command;
mod decide;
mod erasure;
mod event;
mod models;
mod refusal;
mod snapshot;
mod state;

pub use apply::apply;
pub use claims::{TermContext, receipt_of};
pub use command::{Command, Comparison, CreateApproval, Facts, ModelsChanged, Reply, SampleUse};
pub use decide::{Decision, decide};
pub use erasure::{
    Deletion, Erasure, ErasureScope, ErasureStatus, KeptBudget, KeptBudgets, MARK_MAX,
};
pub use event::{Content, Event, Recorded, SubjectKey};
pub use models::{Aaguid, Models, Step, Suspension};
pub use refusal::Refusal;
pub use snapshot::{Piece, SubjectPiece};
pub use state::{
    Approval, ApprovalStatus, Attempts, Enrollment, EnrollmentStatus, Subject, SubjectHandle,
    Template, TenantKeySeeds, TenantState, Transaction,
};

#[cfg(test)]
mod tests;
