//! What the core is asked, the facts it is given, and what it answers.

use redoubt_shared::{
    ApprovalId, DeviceId, EnrollmentId, ErasureId, ReceiptId, SessionId, UserId, VerificationId,
};

use super::approval::{Ask, Factors};
use super::bundle::Bundle;
use super::device::DeviceState;
use super::duplicates::Searched;
use super::erasure::Deletion;
use super::frames::{Lapse, Performed};
use super::fused::Means;
use super::models::Aaguid;
use super::risk::{Ending, Risk, Whereabouts};
use super::ruling::Answer;
use super::session::Session;
use super::spoken::SpokenLapse;
use super::state::{SubjectHandle, Template, TenantKeySeeds};
use super::voice::Modality;
use crate::passkeys::CredentialRecord;
use crate::passkeys::metadata::{Condensed, Status};

/// Values that come from outside the core: time and randomness, drawn per command.
#[derive(Clone)]
pub struct Facts {
    /// Attested time, Unix milliseconds.
    pub now_ms: u64,
    /// For the receipt of this command's claim.
    pub receipt: ReceiptId,
    /// For a subject this command may open.
    pub handle: SubjectHandle,
    /// For that subject's WebAuthn user handle.
    pub user_handle: [u8; 16],
    /// For that subject's key.
    pub subject_key: [u8; 32],
}

/// What a tenant's caller asks, already authenticated and typed.
pub enum Command {
    /// First command of a tenant's ledger.
    OpenTenant {
        /// Fresh signing keys.
        keys: TenantKeySeeds,
    },
    /// First command of a term.
    BeginTerm {
        /// The term.
        term: u64,
    },
    /// First command after a restore.
    Restore {
        /// Entries of the appliance's ledger found and lost, for the claim.
        entries: (u64, u64),
    },
    /// A registration ceremony succeeded.
    RegisterPasskey {
        /// Whom.
        user: UserId,
        /// The WebAuthn user handle the options named.
        user_handle: [u8; 16],
        /// What to keep.
        record: Box<CredentialRecord>,
    },
    /// A login assertion was verified.
    ConcludeLogin {
        /// Whom.
        user: UserId,
        /// With which passkey.
        credential_id: Vec<u8>,
        /// Its new counter.
        sign_count: u32,
        /// Its new backup state.
        backup_state: bool,
        /// Whether the authenticator verified the user.
        user_verified: bool,
        /// The session it opens.
        session: Box<OpenSession>,
    },
    /// A login assertion was refused at this step of the specification.
    RefuseLogin {
        /// Whom.
        user: UserId,
        /// The credential that the answer named.
        credential_id: Vec<u8>,
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// An assertion over an approval's challenge was refused.
    RefuseApproval {
        /// Which.
        id: ApprovalId,
        /// Whom.
        user: UserId,
        /// The credential that the answer names.
        credential_id: Vec<u8>,
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// Begin an enrolment.
    BeginEnrollment {
        /// Whom.
        user: UserId,
        /// Of what.
        modality: Modality,
        /// Its id, drawn by the shell.
        id: EnrollmentId,
        /// SHA-256 of the session token.
        token_hash: [u8; 32],
        /// The customer's consent, as the bank states it.
        consent_given: bool,
    },
    /// Spend this enrolment's turn before a sample goes to a worker.
    ReserveEnrollmentSample {
        /// Which.
        id: EnrollmentId,
        /// SHA-256 of the token presented.
        token_hash: [u8; 32],
    },
    /// The worker gave no usable sample.
    ReleaseEnrollmentSample {
        /// Which.
        id: EnrollmentId,
        /// Tier of the worker that saw the sample, if one did.
        worker_tier: Option<String>,
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// Store the template.
    CompleteEnrollment {
        /// Which.
        id: EnrollmentId,
        /// The template.
        template: Box<Template>,
        /// Whether its sample looked live, where that was looked at.
        liveness: Option<Liveness>,
        /// The challenge that was answered with it, if one was.
        performed: Option<Performed>,
        /// Who else has this face, where that was looked for.
        searched: Option<Searched>,
    },
    /// Store a template under another transform.
    RenewTemplate {
        /// Whose.
        user: UserId,
        /// Of what.
        modality: Modality,
        /// The number of the transform that it was under.
        from: u32,
        /// The template.
        template: Box<Template>,
    },
    /// Spend an attempt before a sample goes to a worker.
    ReserveAttempt {
        /// Whom.
        user: UserId,
        /// With what.
        means: Means,
        /// Its id, drawn by the shell.
        id: VerificationId,
        /// Where the sample comes from, as the bank reports it.
        from: Whereabouts,
    },
    /// No comparison was made.
    ReleaseAttempt {
        /// Whom.
        user: UserId,
        /// Which.
        id: VerificationId,
        /// Tier of the worker that saw the sample, if one did.
        worker_tier: Option<String>,
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// A comparison was made.
    ConcludeAttempt {
        /// Whom.
        user: UserId,
        /// Which.
        id: VerificationId,
        /// Its outcome.
        comparison: Comparison,
    },
    /// Ask for an approval.
    CreateApproval(Box<CreateApproval>),
    /// The customer's assertion over an approval's challenge was verified.
    GiveApproval {
        /// Which.
        id: ApprovalId,
        /// Whom.
        user: UserId,
        /// The assertion and the challenge it answers.
        proof: Box<Proof>,
    },
    /// Erase a template.
    EraseModality {
        /// Whose.
        user: UserId,
        /// Of what.
        modality: Modality,
        /// Its id, drawn by the shell.
        id: ErasureId,
    },
    /// Erase a whole subject.
    EraseSubject {
        /// Who.
        user: UserId,
        /// Its id, drawn by the shell.
        id: ErasureId,
        /// Drawn by the shell: hashes the name for as long as its budget is kept.
        salt: [u8; 32],
    },
    /// The secrets of old epochs are gone, as far as these statements say.
    MarkDark {
        /// At most [`MARK_MAX`](super::MARK_MAX) at once.
        erasures: Vec<ErasureId>,
        /// What custodians signed.
        statements: Vec<Deletion>,
        /// Custodians that signed nothing and whose shares would still suffice.
        /// Empty: the erasures are dark.
        depends_on: Vec<String>,
    },
    /// End one session.
    EndSession {
        /// SHA-256 of its token.
        hash: [u8; 32],
    },
    /// End a customer's sessions.
    EndSessions {
        /// Whose.
        user: UserId,
        /// Only those of this device.
        device: Option<DeviceId>,
    },
    /// End every session of the tenant.
    EndAllSessions,
    /// Describe a device.
    DescribeDevice(Box<DescribeDevice>),
    /// Say whether a device may be used.
    SetDeviceState(Box<SetDeviceState>),
    /// A customer rejects an approval, signed or by the bank's word.
    RejectApproval {
        /// Which.
        id: ApprovalId,
        /// Who.
        user: UserId,
        /// Signed over a challenge of purpose `rejection`.
        proof: Option<Box<Proof>>,
        /// Hashed idempotency key and digest of the request.
        idempotency: Option<([u8; 32], [u8; 32])>,
    },
    /// The bank takes an approval back.
    CancelApproval {
        /// Which.
        id: ApprovalId,
        /// Hashed idempotency key and digest of the request.
        idempotency: Option<([u8; 32], [u8; 32])>,
    },
    /// A comparison was made for an approval that asks for a face, or for a voice.
    ConcludeApprovalSample {
        /// Which approval.
        approval: ApprovalId,
        /// Whom.
        user: UserId,
        /// Which attempt.
        id: VerificationId,
        /// Its outcome.
        comparison: Comparison,
    },
    /// A login that names nobody was refused at this step of the specification.
    RefuseUnnamedLogin {
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// A FIDO metadata BLOB was verified.
    TakeMetadata {
        /// What to keep of it.
        metadata: Box<Condensed>,
    },
    /// Look again at what was taken, at the time of now.
    JudgeModels,
    /// Every credential of these models was found and suspended.
    ConcludeModels {
        /// Which.
        models: Vec<Aaguid>,
    },
    /// A bundle of the tenant's own policy was verified, compiled and tested.
    TakeBundle {
        /// What to keep of it.
        bundle: Box<Bundle>,
        /// Who signed it.
        signers: Vec<String>,
    },
    /// Its signers order to use an earlier bundle again, or none.
    ChooseBundle {
        /// Which; 0 for none.
        version: u64,
        /// The activation that the order follows.
        after: u64,
        /// Who signed it.
        signers: Vec<String>,
    },
    /// Another command, with the ruling of the tenant's policy that it asked for.
    Ruled {
        /// The ruling.
        answer: Box<Answer>,
        /// The command.
        command: Box<Command>,
    },
}

/// A session to open.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Its id, drawn by the shell.
    pub id: SessionId,
    /// SHA-256 of its token.
    pub hash: [u8; 32],
    /// SHA-256 of the client certificate it is bound to.
    pub client: [u8; 32],
    /// Policy of the time: longest time without a question about it, in milliseconds.
    pub idle_ms: u64,
    /// Policy of the time: longest life, in milliseconds.
    pub absolute_ms: u64,
}

/// What the bank says of a device.
pub struct DescribeDevice {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// Its name; `None` leaves it as it is.
    pub name: Option<String>,
    /// What kind it is; likewise.
    pub kind: Option<String>,
    /// Its operating system; likewise.
    pub os: Option<String>,
}

/// A device's state from now on.
pub struct SetDeviceState {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// Its state.
    pub next: DeviceState,
    /// Why.
    pub reason: String,
    /// Who says so: `bank`, or what else watches over devices.
    pub source: &'static str,
}

/// What an approval is asked for.
#[derive(Clone)]
pub struct CreateApproval {
    /// Its id, drawn by the shell.
    pub id: ApprovalId,
    /// Who is asked, 1 to [`APPROVERS_MAX`](super::APPROVERS_MAX), each once.
    pub approvers: Vec<AskedOf>,
    /// How many of them must approve.
    pub needed: u16,
    /// What each needs besides passkeys.
    pub factors: Factors,
    /// RFC 8785 form of the transaction.
    pub transaction_jcs: String,
    /// Its currency, ISO 4217.
    pub currency: String,
    /// Its amount or total, in ten-thousandths.
    pub amount: u64,
    /// Until when, Unix milliseconds.
    pub expires_ms: u64,
    /// Hashed idempotency key and digest of the request.
    pub idempotency: Option<([u8; 32], [u8; 32])>,
}

/// One person an approval asks.
#[derive(Clone)]
pub struct AskedOf {
    /// Who.
    pub user: UserId,
    /// A challenge for each device that may be needed.
    pub asks: [Ask; 2],
}

/// A customer's verified assertion, for a claim that proves what they decided.
#[derive(Clone)]
pub struct Proof {
    /// What was verified; the claim repeats it so that anyone can verify it again.
    pub assertion: serde_json::Value,
    /// With which passkey.
    pub credential_id: Vec<u8>,
    /// Its new counter.
    pub sign_count: u32,
    /// Its new backup state.
    pub backup_state: bool,
    /// Thumbprints of the tenant's signing keys: ES256, ML-DSA-65.
    pub tenant_keys: [String; 2],
    /// The relying party the challenge names.
    pub rp_id: String,
    /// The challenge that was answered.
    pub challenge: [u8; 32],
}

/// How a sample was used.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleUse {
    /// Model that embedded it.
    pub model: String,
    /// Tier of the worker.
    pub worker_tier: String,
    /// Tier of the worker that made the template.
    pub template_tier: String,
    /// Quality score, 0 to 1.
    pub quality: f32,
    /// Whether it looked live, where that was looked at.
    pub liveness: Option<Liveness>,
    /// The challenge that was answered with it, if one was.
    pub performed: Option<Performed>,
    /// Of a voice: whether the digits that were asked for were read, if any were.
    pub spoken: Option<Result<(), SpokenLapse>>,
}

/// What a look at a face's texture said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Liveness {
    /// Probability that it is a live person's, 0 to 1.
    pub confidence: f32,
    /// Whether that is enough for policy.
    pub passed: bool,
}

impl Liveness {
    /// As claims say it: `passed`, `failed`, or `not_evaluated`.
    pub fn word(seen: Option<Self>) -> &'static str {
        match seen {
            Some(Self { passed: true, .. }) => "passed",
            Some(Self { passed: false, .. }) => "failed",
            None => "not_evaluated",
        }
    }
}

/// The outcome of one comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Whether policy's false-match rate was met.
    pub accepted: bool,
    /// Coarse score, 0 to 1 in steps of 0.05.
    pub confidence: f32,
    /// The sample; of a face and a voice what holds of both, the lesser of each measure.
    pub sample: SampleUse,
    /// Where several are compared: each one's own.
    pub parts: Vec<(Modality, SampleUse)>,
    /// Where it came from, as the bank reports it.
    pub from: Whereabouts,
}

/// What a command answers besides its receipt.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing more.
    Done,
    /// The subject.
    Subject(SubjectHandle),
    /// The sample's turn is spent.
    Enrolling {
        /// Whom.
        subject: SubjectHandle,
        /// What the sample is to be of.
        modality: Modality,
    },
    /// Until when something holds, Unix milliseconds.
    Until(u64),
    /// A verdict.
    Verdict {
        /// Set when the subject is locked now.
        locked_until_ms: Option<u64>,
        /// How it ended.
        ending: Ending,
        /// How unusual it was.
        risk: Risk,
        /// What was wrong with the answer to a challenge.
        lapse: Option<Lapse>,
    },
    /// The enrolment is complete.
    Enrolled {
        /// What was wrong with the answer to a challenge.
        lapse: Option<Lapse>,
    },
    /// Another customer has this face, and that is recorded: the enrolment is over.
    Duplicate,
    /// The tenant's policy said no, and that is recorded.
    Denied,
    /// The approval created, or the one that this idempotency key was used for before.
    Approval(ApprovalId),
    /// The erasure began.
    Erasure {
        /// Dark once the secrets of this epoch and of all before are deleted.
        epoch: u32,
        /// On whom that depends.
        depends_on: Vec<String>,
    },
    /// The passkey is this device.
    Device(DeviceId),
    /// The login opened this session.
    Session {
        /// The session.
        session: Box<Session>,
        /// How unusual the login was.
        risk: Risk,
    },
    /// The login, or the answer to an approval, was refused, and that is recorded.
    Refused,
    /// So many sessions ended.
    Ended(usize),
    /// The answer counts.
    Granted {
        /// Whether it completed the approval.
        complete: bool,
    },
    /// What a look at models changed.
    Models(Box<ModelsChanged>),
    /// The template is under a new transform.
    Renewed {
        /// Until the secrets of this epoch and of all before are deleted, sealed copies
        /// of the template before can be opened.
        epoch: u32,
    },
}

/// What a look at models changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelsChanged {
    /// Compromised now, and not before.
    pub compromised: Vec<(Aaguid, Status)>,
    /// Compromised before, and not now.
    pub cleared: Vec<Aaguid>,
}

impl ModelsChanged {
    /// Whether nothing did.
    pub fn is_empty(&self) -> bool {
        self.compromised.is_empty() && self.cleared.is_empty()
    }
}
