//! Why the core said no. Every variant is the caller's doing or the subject's state.

use super::frames::Lapse;
use super::ruling::Question;

/// A command that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bank names a customer this tenant does not have.
    #[error("no such customer in this tenant")]
    UnknownUser,
    /// A credential id that is taken in this tenant.
    #[error("this passkey is registered already")]
    CredentialTaken,
    /// A credential that is not this customer's.
    #[error("no such passkey for this customer")]
    UnknownCredential,
    /// The customer's record changed after the options were made.
    #[error("the options are out of date")]
    StaleOptions,
    /// Too many passkeys, enrolments or approvals are open for one customer.
    #[error("too many are open for this customer")]
    TooMany,
    /// The tenant's approvals, those that ended lately among them, take all their room.
    #[error("too many approvals are known")]
    TooManyApprovals,
    /// Consent was not given.
    #[error("consent is required")]
    ConsentRequired,
    /// No such enrolment, or a wrong session token.
    #[error("no such enrolment")]
    UnknownEnrollment,
    /// The enrolment's time is over.
    #[error("the enrolment expired")]
    EnrollmentExpired,
    /// A sample of this customer's is being worked on.
    #[error("a sample is being worked on")]
    EnrollmentBusy,
    /// The enrolment is over.
    #[error("the enrolment is complete")]
    EnrollmentClosed,
    /// The enrolment was refused: another customer has this face.
    #[error("the face is another customer's")]
    DuplicateFace,
    /// Another template was stored since this one was made.
    #[error("another template was stored meanwhile")]
    TemplateMoved,
    /// Nothing to compare with.
    #[error("the customer has no template for this modality")]
    NotEnrolled,
    /// Too many failures came from the same place.
    #[error("too many failures came from there")]
    Throttled {
        /// Until when, Unix milliseconds.
        until_ms: u64,
    },
    /// Too many faces were refused as duplicates.
    #[error("no face is enrolled for now")]
    EnrollmentsShut {
        /// Until when, Unix milliseconds.
        until_ms: u64,
    },
    /// Locked after too many failures.
    #[error("locked")]
    Locked {
        /// Until when, Unix milliseconds.
        until_ms: u64,
    },
    /// Every attempt left is reserved by work under way.
    #[error("all remaining attempts are in progress")]
    AttemptsInProgress,
    /// A verdict for an attempt that is not reserved.
    #[error("no such attempt is reserved")]
    UnknownAttempt,
    /// No such approval in this tenant.
    #[error("no such approval")]
    UnknownApproval,
    /// The approval was given already.
    #[error("the approval is spent")]
    ApprovalSpent,
    /// The approval's time is over.
    #[error("the approval expired")]
    ApprovalExpired,
    /// Too many rejected it.
    #[error("the approval was rejected")]
    ApprovalRejected,
    /// The bank took it back.
    #[error("the approval was cancelled")]
    ApprovalCancelled,
    /// This person gave or rejected what was asked of them.
    #[error("this customer answered already")]
    AlreadyAnswered,
    /// Another device answered this challenge since it was verified.
    #[error("another device answered meanwhile")]
    AnsweredMeanwhile,
    /// A request names one person twice.
    #[error("one person is asked twice")]
    OnePersonTwice,
    /// More approvals than people, none at all, or too many people.
    #[error("the terms cannot be met")]
    ImpossibleTerms,
    /// Another person answered with this passkey's key.
    #[error("another approver answered with this passkey")]
    SharedDevice,
    /// The amount needs two devices, and copies of one passkey are one.
    #[error("a second device is needed")]
    SecondDeviceNeeded,
    /// The face comes before the last passkey.
    #[error("a verified face is needed first")]
    FaceNeeded,
    /// The voice comes before the last passkey.
    #[error("a verified voice is needed first")]
    VoiceNeeded,
    /// The same idempotency key with another request.
    #[error("this idempotency key was used for another request")]
    IdempotencyConflict,
    /// Nobody of this name to erase.
    #[error("no such subject")]
    UnknownSubject,
    /// No such erasure in this tenant, or it is dark already.
    #[error("no such erasure")]
    UnknownErasure,
    /// No such session, or not of this client.
    #[error("no such session")]
    UnknownSession,
    /// No such device of this customer.
    #[error("no such device")]
    UnknownDevice,
    /// The device is revoked or compromised, for good.
    #[error("the device is out of use for good")]
    DeviceClosed,
    /// The customer has as many devices as one may have.
    #[error("the customer has too many devices")]
    TooManyDevices,
    /// The authenticator's model is revoked or compromised.
    #[error("the authenticator's model is compromised")]
    ModelCompromised,
    /// A metadata BLOB with a higher number was taken before.
    #[error("a metadata BLOB with a higher number was taken before")]
    MetadataRolledBack,
    /// Another metadata BLOB of the same number was taken before.
    #[error("another metadata BLOB of this number was taken before")]
    MetadataForked,
    /// Metadata calls the model of the device compromised.
    #[error("the device's model is compromised")]
    DeviceBarred,
    /// The tenant's own policy is to be asked first; nothing is refused yet.
    #[error("the tenant's policy was not asked")]
    PolicyAsks(Box<Question>),
    /// A bundle whose version is not above every earlier one.
    #[error("the bundle's version is not new")]
    BundleRolledBack,
    /// An order that follows another activation than the last.
    #[error("another activation came in between")]
    ActivationMoved,
    /// An enrolment's challenge was not answered as policy requires.
    #[error("the challenge was not answered: {0:?}")]
    ChallengeFailed(Lapse),
    /// No such bundle is kept.
    #[error("no such bundle is kept")]
    UnknownBundle,
}
