//! The attested session: one TLS 1.3 connection on the inherited stream.
//!
//! Protects against anybody but the peer who holds this very session seeing an
//! answer: the TLS key is made at start and never leaves, and the evidence that
//! names it is bound to the session's exporter. The worker does not know who
//! the peer is and need not: it holds nothing worth stealing before a job, and
//! answers only in the session that sent it.

mod identity;
mod queue;
mod serve;
mod threads;
mod wait;

pub use identity::{Identity, IdentityError};
pub use queue::{Queue, Ticket};
pub use serve::{SessionError, serve};
pub use threads::{FirstRun, Job, Sample, spawn};
pub use wait::{Kind, Work};
