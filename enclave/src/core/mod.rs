//! The core: what the appliance knows and how it decides. No I/O, no clock, no
//! randomness: values in, events out.
//!
//! Protects against a crash, a replay or a race handing out something twice:
//! `decide` is pure, state changes only by `apply` over events the ledger has
//! made durable, and recovery is the same `apply` over the same events.

mod apply;
mod approval;
mod bundle;
mod claims;
mod command;
mod decide;
mod device;
mod duplicates;
mod erasure;
mod event;
mod face;
mod frames;
mod fused;
mod models;
mod refusal;
mod renewal;
mod risk;
mod ruling;
mod session;
mod snapshot;
mod spoken;
mod state;
mod strangers;
mod throttle;
mod voice;

pub use apply::apply;
pub use approval::{
    APPROVAL_KEPT_MS, APPROVERS_MAX, Approval, ApprovalStatus, Approver, Ask, Factors, Grant,
    GrantedBy, GrantedWith, IDEMPOTENCY_MS, KeptKey, Terms,
};
pub use bundle::{Activation, Bundle, Bundles};
pub use claims::{TermContext, receipt_of};
pub use command::{
    AskedOf, Command, Comparison, CreateApproval, DescribeDevice, Facts, Liveness, ModelsChanged,
    OpenSession, Proof, Reply, SampleUse, SetDeviceState,
};
pub use decide::{CREDENTIAL_UNKNOWN, Decision, decide};
pub use device::{Device, DeviceState, KeyCustody, TrustScore, trust};
pub use duplicates::{DuplicateRules, Searched};
pub use erasure::{
    Deletion, Erasure, ErasureScope, ErasureStatus, KeptBudget, KeptBudgets, MARK_MAX,
};
pub use event::{Content, Event, Recorded, SubjectKey};
pub use frames::{FRAMES_KEPT, FrameMark, Instead, Lapse, Move, Performed};
pub use fused::{Fused, Means};
pub use models::{Aaguid, Models, Step};
pub use refusal::Refusal;
pub use risk::{
    Act, Activity, Alert, AlertKind, Band, Counts, Ending, HISTORY_MAX, Moment, Place, Risk,
    Signal, Tag, Watch, Whereabouts, assess_payment,
};
pub use ruling::{
    Answer, DECISIONS_MAX, Decided, DeviceSeen, Effect, Input, PaymentSeen, PolicyPlace, Question,
    Ruling, SampleSeen,
};
pub use session::{Assurance, SESSIONS_MAX, Session, Sessions};
pub use snapshot::{ApprovalV1, Piece, SubjectPiece};
pub use spoken::SpokenLapse;
pub use state::{
    Attempts, Enrollment, EnrollmentStatus, Subject, SubjectHandle, Template, TenantKeySeeds,
    TenantState, Transaction,
};
pub use throttle::{Gate, Limits, Throttle, UnderWay, Window};
pub use voice::{Modality, Voice};

#[cfg(test)]
mod tests;
