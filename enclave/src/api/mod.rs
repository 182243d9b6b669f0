//! The enclave's public language: what a bank may say, what it is told back,
//! and the trait that stands between the gateway and everything that decides.
//!
//! Protects against: input that means two things. Every request is a typed
//! value with bounds before the core sees it, every refusal is one of a fixed
//! list of problems, and doc comments here are the OpenAPI descriptions, so the
//! published contract cannot drift from the code.

mod approvals;
mod attestation;
mod audit;
mod biometrics;
mod caller;
mod devices;
mod erasures;
mod extensions;
mod handover;
mod liveness;
mod metadata;
mod passkeys;
mod policy;
mod problem;
mod services;
mod sessions;
mod spoken;
mod templates;
mod text;
mod transactions;
mod trust;
mod watch;

pub use crate::passkeys::{
    AssertionResponse, AttestationResponse, AuthenticationResponse, AuthenticatorSelection,
    Base64Url, CreationOptions, CredentialDescriptor, CredentialParameters, RegistrationResponse,
    RequestOptions, RpEntity, UserEntity,
};
pub use approvals::{
    AnswerOptions, AnswerPurpose, Answered, Approval, ApprovalChange, ApprovalCreated,
    ApprovalFeed, ApprovalNews, ApprovalRequest, ApprovalStatus, ApprovalVerified, ApproverOptions,
    ApproverState, Factor, IdempotencyKey, Rejection,
};
pub use attestation::{
    AttestationReply, AttestationRequest, Health, Purpose, ShareAccepted, ShareSubmission, TreeHead,
};
pub use audit::{AuditEvent, Cursor, EventsPage, EventsQuery, ExportQuery, JsonLines};
pub use biometrics::{
    ActionTaken, DeviceInfo, EnrollInitiate, EnrollInitiated, EnrollSubmit, Enrolled, Geolocation,
    Liveness, Modality, Sample, SecurityFlags, Verdict, Verification, VerifyRequest,
};
pub use caller::{ApplianceRole, Caller, Identity, Peer, Reader, RequestId, Role};
pub use devices::{
    DescribeDevice, Device, DeviceState, DeviceStateSet, DeviceTrust, Devices, SetDeviceState,
    TrustReason,
};
pub use erasures::{
    DeletionStatement, EpochStatus, Erased, Erasure, ErasureCovers, ErasureStage, RotateEpoch,
    RotateMembers, Rotation,
};
pub use extensions::{Hint, PrfInput, PrfValues};
pub use handover::{HaltRequest, Halted, HandedOver, HandoverRequest, TakeRequest, TakingOver};
pub use liveness::{
    ActiveLiveness, ChallengeModality, ChallengeRequest, LivenessAction, LivenessAnswer,
    LivenessChallenge, LivenessLapse, told,
};
pub use metadata::{MetadataStatus, MetadataTaken, ModelStatus};
pub use passkeys::{
    AuthenticateOptions, Authenticated, Presented, PresentedAuthentication, PresentedLogin,
    PresentedRegistration, RegisterOptions, Registered, RelatedOrigins,
};
pub use policy::{
    PolicyActivated, PolicyActivation, PolicyAnswer, PolicyChange, PolicyDryRun, PolicyOrder,
    PolicyStatus, PolicyTrial, PolicyUpload, PolicyVersion,
};
pub use problem::{Kind, LogSafe, Problem, ProblemBody};
pub use services::Services;
pub use sessions::{
    Confirmation, Introspected, Introspection, IntrospectionForm, JwkSet, SessionClaims,
    SessionScope, SessionsEnded, TokenForm,
};
pub use spoken::{DigitsLapse, SpokenAnswer, SpokenDigits};
pub use templates::Renewed;
pub use text::{SessionToken, Text, Timestamp};
pub use transactions::{Amount, Batch, BatchPayment, Currency, Payee, Payment, Transaction};
pub use trust::{Anchor, Grants, RoleMapping, Trust, TrustError};
pub use watch::{
    AlertReason, AlertsQuery, Attempt, AttemptKind, EnrolledModality, History, SecurityAlert,
    SecurityAlerts, Stats,
};

/// A receipt or artefact as its own format defines it (`enclave/SPEC.md`).
pub type Document = serde_json::Value;
