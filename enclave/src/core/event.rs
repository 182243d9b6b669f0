//! What the ledger records. Variants are append-only: postcard numbers them.

use redoubt_shared::{
    ApprovalId, DeviceId, EnrollmentId, ErasureId, ReceiptId, TenantId, UserId, VerificationId,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::approval::{Ask, Grant, Terms};
use super::bundle::{Activation, Bundle};
use super::device::DeviceState;
use super::erasure::{Deletion, Erasure, KeptBudget};
use super::frames::FrameMark;
use super::models::Aaguid;
use super::risk::{Act, Alert, Moment, Tag, Whereabouts};
use super::ruling::Decided;
use super::session::Session;
use super::state::{Enrollment, SubjectHandle, Template, TenantKeySeeds, Transaction};
use crate::passkeys::CredentialRecord;
use crate::passkeys::metadata::{Condensed, Status};

/// A subject's random key. Never derived, so destroying it is erasure.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize)]
#[zeroize(drop)]
pub struct SubjectKey(Box<[u8; 32]>);

impl SubjectKey {
    /// From 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }
    /// For sealing and opening this subject's events.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// One event with the subject it belongs to, if any: such events are sealed
/// under that subject's key inside the sealed entry.
#[derive(Clone)]
pub struct Recorded {
    /// Whose event this is.
    pub owner: Option<SubjectHandle>,
    /// What happened.
    pub content: Content,
}

/// State changes stay inside; claims are what receipts disclose.
#[derive(Clone)]
pub enum Content {
    /// A change of state.
    State(Box<Event>),
    /// A claim to others: JSON text.
    Claims {
        /// The JSON text, byte for byte what is committed to.
        text: String,
    },
}

/// A change of one tenant's state.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The tenant's ledger opened with these signing keys.
    TenantOpened {
        /// Whose ledger this is, for good.
        tenant: TenantId,
        /// Sealed here and nowhere else.
        keys: TenantKeySeeds,
    },
    /// A new term began: every reservation left open by the last one is spent.
    TermBegan {
        /// The term.
        term: u64,
        /// When, Unix milliseconds.
        at_ms: u64,
        /// Policy of the time: failures that lock.
        max_failures: u32,
        /// Policy of the time: how long, in milliseconds.
        lockout_ms: u64,
    },
    /// A subject exists from here on.
    SubjectOpened {
        /// Its handle.
        handle: SubjectHandle,
        /// Its key.
        key: SubjectKey,
    },
    /// What the bank calls the subject.
    SubjectNamed {
        /// Whom.
        handle: SubjectHandle,
        /// The bank's name.
        user: UserId,
        /// WebAuthn user handle.
        user_handle: [u8; 16],
    },
    /// A passkey was registered.
    PasskeyRegistered {
        /// By whom.
        handle: SubjectHandle,
        /// What is kept of it.
        record: Box<CredentialRecord>,
    },
    /// A passkey signed: its counters moved. Written before [`Event::DeviceUsed`] was.
    PasskeyUsed {
        /// By whom.
        handle: SubjectHandle,
        /// Which.
        credential_id: Vec<u8>,
        /// New signature counter.
        sign_count: u32,
        /// New backup state.
        backup_state: bool,
    },
    /// An enrolment of a face began, with consent.
    EnrollmentBegan {
        /// Its id.
        id: EnrollmentId,
        /// Its state.
        enrollment: Enrollment,
    },
    /// A sample for an enrolment is being worked on.
    EnrollmentSampleReserved {
        /// Which enrolment.
        id: EnrollmentId,
    },
    /// The sample gave no template; another may follow.
    EnrollmentSampleReleased {
        /// Which enrolment.
        id: EnrollmentId,
    },
    /// A template is stored and the enrolment over.
    FaceEnrolled {
        /// Which enrolment.
        id: EnrollmentId,
        /// Whom.
        handle: SubjectHandle,
        /// The template.
        template: Box<Template>,
    },
    /// An attempt is spent before its work starts.
    AttemptReserved {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        id: VerificationId,
    },
    /// No comparison was made: the attempt is given back.
    AttemptReleased {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        id: VerificationId,
    },
    /// A comparison was made.
    AttemptConcluded {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        id: VerificationId,
        /// Whether it matched.
        accepted: bool,
        /// Set when this failure locks the subject.
        locked_until_ms: Option<u64>,
    },
    /// A lock ran out: the budget is whole again.
    LockExpired {
        /// Whose.
        handle: SubjectHandle,
    },
    /// A payment waits for approval. Entries of before: now [`Event::ApprovalAsked`].
    ApprovalCreated {
        /// Its id.
        id: ApprovalId,
        /// Who is asked.
        handle: SubjectHandle,
        /// What for.
        transaction: Box<Transaction>,
        /// RFC 8785 form of it.
        transaction_jcs: String,
        /// Inside the challenge.
        nonce: [u8; 32],
        /// What is signed.
        challenge: [u8; 32],
        /// Until when, Unix milliseconds.
        expires_ms: u64,
        /// Hashed idempotency key and digest of the request.
        idempotency: Option<([u8; 32], [u8; 32])>,
    },
    /// The customer approved: the approval is spent.
    ApprovalGiven {
        /// Which.
        id: ApprovalId,
        /// Its evidence.
        receipt: ReceiptId,
    },
    /// A face template left the state, with whatever worked on it.
    FaceErased {
        /// Whose.
        handle: SubjectHandle,
        /// Names the erasure.
        id: ErasureId,
        /// What is known of it.
        erasure: Erasure,
        /// Failures after it: attempts under way are spent.
        failures: u32,
        /// The lock after it.
        locked_until_ms: Option<u64>,
    },
    /// A subject left the state: name, key, passkeys, template, approvals.
    SubjectErased {
        /// Who.
        handle: SubjectHandle,
        /// Names the erasure.
        id: ErasureId,
        /// What is known of it.
        erasure: Erasure,
    },
    /// What an erased subject had spent of its budget holds for its name for a while.
    BudgetKept {
        /// Under which names are hashed now.
        salt: [u8; 32],
        /// The hashed name.
        name: [u8; 32],
        /// What is kept.
        budget: KeptBudget,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// A name came back in time: its new subject takes the budget over.
    BudgetTakenUp {
        /// The new subject.
        handle: SubjectHandle,
        /// The hashed name.
        name: [u8; 32],
        /// Failures it starts with.
        failures: u32,
        /// The lock it starts with.
        locked_until_ms: Option<u64>,
    },
    /// Old epoch secrets are deleted: these erasures are dark, or known to
    /// depend on somebody.
    ErasuresDarkened {
        /// Which.
        ids: Vec<ErasureId>,
        /// When, Unix milliseconds.
        at_ms: u64,
        /// The claim that says so.
        receipt: ReceiptId,
        /// Custodians' statements it rests on.
        statements: Vec<Deletion>,
        /// Who gave none. Empty: dark.
        depends_on: Vec<String>,
    },
    /// The ledger goes on from one whose end was lost, by officers' order: what
    /// could have been spent counts as spent.
    Restored {
        /// When, Unix milliseconds.
        at_ms: u64,
        /// Failures that lock, by the policy of now.
        max_failures: u32,
        /// For how long, in milliseconds.
        lockout_ms: u64,
    },
    /// A login opened a session.
    SessionOpened {
        /// SHA-256 of its token.
        hash: [u8; 32],
        /// What the token stands for.
        session: Box<Session>,
    },
    /// Sessions are over before their time.
    SessionsEnded {
        /// Hashes of their tokens.
        hashes: Vec<[u8; 32]>,
    },
    /// Every session of the tenant is over.
    AllSessionsEnded,
    /// A face matched: for a while introspections tell when.
    FaceMatched {
        /// Whose.
        handle: SubjectHandle,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// A passkey signed: its counters moved.
    DeviceUsed {
        /// By whom.
        handle: SubjectHandle,
        /// Which.
        credential_id: Vec<u8>,
        /// New signature counter.
        sign_count: u32,
        /// New backup state.
        backup_state: bool,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// An answer that named this device was refused.
    DeviceRefused {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        device: DeviceId,
        /// Because its signature counter did not move on.
        counter: bool,
    },
    /// The bank described a device.
    DeviceDescribed {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        device: DeviceId,
        /// Its name.
        name: String,
        /// What kind it is.
        kind: String,
        /// Its operating system.
        os: String,
    },
    /// A device may be used from now on, or may not.
    DeviceStateSet {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        device: DeviceId,
        /// Its state from now on.
        next: DeviceState,
        /// Why.
        reason: String,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// A payment waits for approval by this person, perhaps among others: the first
    /// of these events makes the approval.
    ApprovalAsked {
        /// Its id.
        id: ApprovalId,
        /// Who is asked.
        handle: SubjectHandle,
        /// What for and of how many.
        terms: Terms,
        /// RFC 8785 form of the transaction.
        transaction_jcs: String,
        /// One challenge for each device.
        asks: Vec<Ask>,
        /// Until when, Unix milliseconds.
        expires_ms: u64,
    },
    /// An answer that does not complete the approval yet.
    ApprovalGranted {
        /// Which.
        id: ApprovalId,
        /// The answer.
        grant: Grant,
    },
    /// Somebody rejected.
    ApprovalRejected {
        /// Which.
        id: ApprovalId,
        /// Who.
        handle: SubjectHandle,
        /// Its evidence.
        receipt: ReceiptId,
        /// Whether too few are left.
        closes: bool,
    },
    /// The bank took it back.
    ApprovalCancelled {
        /// Which.
        id: ApprovalId,
        /// Its evidence.
        receipt: ReceiptId,
    },
    /// An idempotency key finds what it did, for its time.
    IdempotencyKept {
        /// The key, hashed.
        key: [u8; 32],
        /// Digest of the request.
        request: [u8; 32],
        /// The approval it was about.
        id: ApprovalId,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// An attempt counts where it comes from, before its work starts.
    AttemptBegun {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        id: VerificationId,
        /// Whence.
        from: Whereabouts,
        /// How long its failure would count, in milliseconds.
        counts_ms: u64,
    },
    /// It counts no more, unless it failed.
    AttemptEnded {
        /// Which.
        id: VerificationId,
        /// When it failed, Unix milliseconds.
        failed_ms: Option<u64>,
    },
    /// An attempt ended, and is remembered.
    AttemptNoted {
        /// Whose.
        handle: SubjectHandle,
        /// What is remembered of it.
        moment: Box<Moment>,
    },
    /// A payment was approved.
    PaymentNoted {
        /// By whom.
        handle: SubjectHandle,
        /// To whom.
        payees: Vec<Tag>,
        /// ISO 4217 code.
        currency: String,
        /// Ten-thousandths.
        amount: u64,
    },
    /// The security team is to be told.
    AlertRaised {
        /// Of what.
        alert: Box<Alert>,
    },
    /// A FIDO metadata BLOB was taken.
    MetadataTaken {
        /// What is kept of it.
        metadata: Box<Condensed>,
    },
    /// Models were looked at, at the time of then. From here on no credential of
    /// a model that is newly compromised is accepted.
    ModelsJudged {
        /// All that are compromised.
        compromised: Vec<(Aaguid, Status)>,
        /// Those among them whose credentials are to be suspended.
        newly: Vec<Aaguid>,
    },
    /// Every credential of these models is suspended.
    ModelsActedOn {
        /// Which.
        models: Vec<Aaguid>,
    },
    /// An enrolment of a voice began, with consent.
    VoiceEnrollmentBegan {
        /// Its id.
        id: EnrollmentId,
        /// Its state.
        enrollment: Enrollment,
    },
    /// A voice's template is stored and the enrolment over.
    VoiceEnrolled {
        /// Which enrolment.
        id: EnrollmentId,
        /// Whom.
        handle: SubjectHandle,
        /// The template.
        template: Box<Template>,
    },
    /// The attempt that was just reserved is a voice's.
    VoiceTried {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        id: VerificationId,
    },
    /// A voice's template left the state, with whatever worked on it.
    VoiceErased {
        /// Whose.
        handle: SubjectHandle,
        /// Names the erasure.
        id: ErasureId,
        /// What is known of it.
        erasure: Erasure,
        /// Failures after it: a voice's attempts under way are spent.
        failures: u32,
        /// The lock after it.
        locked_until_ms: Option<u64>,
    },
    /// A bundle of the tenant's own policy was taken, and is in force.
    BundleTaken {
        /// Its text.
        bundle: Box<Bundle>,
        /// From when on.
        activation: Activation,
    },
    /// An earlier bundle, or none, is in force again.
    BundleChosen {
        /// From when on.
        activation: Activation,
    },
    /// What the tenant's policy made of a decision that the typed rules allowed.
    Ruled {
        /// Facts and answer.
        decided: Box<Decided>,
    },
    /// A face's template is under another transform now; the one before is gone.
    FaceRenewed {
        /// Whose.
        handle: SubjectHandle,
        /// The template.
        template: Box<Template>,
    },
    /// A voice's template is under another transform now; the one before is gone.
    VoiceRenewed {
        /// Whose.
        handle: SubjectHandle,
        /// The template.
        template: Box<Template>,
    },
    /// A challenge was answered with these frames.
    FramesSeen {
        /// By whom.
        handle: SubjectHandle,
        /// What is kept of them.
        marks: Vec<FrameMark>,
    },
    /// The attempt that was just reserved is a face's and a voice's together.
    FusedTried {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        id: VerificationId,
    },
    /// The attempt that was just reserved is in this name, which nobody has.
    StrangerTried {
        /// The hashed name, under the salt of what is kept of its budget.
        name: [u8; 32],
        /// Which.
        id: VerificationId,
        /// What.
        act: Act,
    },
    /// Another customer has the face that this enrolment would have stored: it is over.
    DuplicateRefused {
        /// Which enrolment.
        id: EnrollmentId,
        /// When, Unix milliseconds.
        at_ms: u64,
        /// Whose face it is.
        found: SubjectHandle,
    },
}
