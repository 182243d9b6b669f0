//! Bottom of the dependency graph: what the blind host, the enclave and the
//! sealed worker must agree on to talk at all.
//!
//! Protects against: two rooms disagreeing about a byte. It holds ids, wire
//! frames, endpoints, limits and the typed messages of each stream. It holds no
//! keys and no policy, so a mistake here can stop the appliance but cannot make
//! it decide wrongly.

pub mod endpoint;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod peers;
pub mod store;
pub mod supervise;
pub mod worker;

pub use endpoint::{Endpoint, EndpointError, Listener, Stream};
pub use frame::{FrameError, decode, encode, read_frame, write_frame};
pub use ids::{
    ApprovalId, ChallengeId, DeviceId, EnrollmentId, ErasureId, JobId, LedgerId, ReceiptId,
    SessionId, TenantId, UserId, VerificationId,
};
