//! What the core is asked, the facts it is given, and what it answers.

use redoubt_shared::{ApprovalId, EnrollmentId, ErasureId, ReceiptId, UserId, VerificationId};

use super::erasure::Deletion;
use super::models::Aaguid;
use super::state::{SubjectHandle, Template, TenantKeySeeds, Transaction};
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
    },
    /// A login assertion was refused at this step of the specification.
    RefuseLogin {
        /// Whom.
        user: UserId,
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// An assertion over an approval's challenge was refused.
    RefuseApproval {
        /// Which.
        id: ApprovalId,
        /// Whom.
        user: UserId,
        /// Stable reason, for the tenant's audit.
        reason: &'static str,
    },
    /// Begin a face enrolment.
    BeginEnrollment {
        /// Whom.
        user: UserId,
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
    },
    /// Spend an attempt before a sample goes to a worker.
    ReserveAttempt {
        /// Whom.
        user: UserId,
        /// Its id, drawn by the shell.
        id: VerificationId,
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
        /// What was verified; the claim repeats it so that anyone can verify it again.
        assertion: serde_json::Value,
        /// With which passkey.
        credential_id: Vec<u8>,
        /// Its new counter.
        sign_count: u32,
        /// Its new backup state.
        backup_state: bool,
        /// Thumbprints of the tenant's signing keys: ES256, ML-DSA-65.
        tenant_keys: [String; 2],
        /// The relying party the challenge names.
        rp_id: String,
    },
    /// Erase a face template.
    EraseFace {
        /// Whose.
        user: UserId,
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
    /// Suspend a credential of a model that is acted on.
    SuspendCredential {
        /// Whose.
        handle: SubjectHandle,
        /// Which.
        credential_id: Vec<u8>,
    },
    /// Every credential of these models was found and suspended.
    ConcludeModels {
        /// Which.
        models: Vec<Aaguid>,
    },
}

/// What an approval is asked for.
pub struct CreateApproval {
    /// Its id, drawn by the shell.
    pub id: ApprovalId,
    /// Who is asked.
    pub user: UserId,
    /// What for.
    pub transaction: Transaction,
    /// RFC 8785 form of it.
    pub transaction_jcs: String,
    /// Single-use.
    pub nonce: [u8; 32],
    /// Over everything above.
    pub challenge: [u8; 32],
    /// Until when, Unix milliseconds.
    pub expires_ms: u64,
    /// Hashed idempotency key and digest of the request.
    pub idempotency: Option<([u8; 32], [u8; 32])>,
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
}

/// The outcome of one comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Whether policy's false-match rate was met.
    pub accepted: bool,
    /// Coarse score, 0 to 1 in steps of 0.05.
    pub confidence: f32,
    /// The sample.
    pub sample: SampleUse,
}

/// What a command answers besides its receipt.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing more.
    Done,
    /// The subject.
    Subject(SubjectHandle),
    /// Until when something holds, Unix milliseconds.
    Until(u64),
    /// A verdict.
    Verdict {
        /// Set when the subject is locked now.
        locked_until_ms: Option<u64>,
    },
    /// The approval created, or the one this idempotency key created before.
    Approval(ApprovalId),
    /// The erasure began.
    Erasure {
        /// Dark once the secrets of this epoch and of all before are deleted.
        epoch: u32,
        /// On whom that depends.
        depends_on: Vec<String>,
    },
    /// What a look at models changed.
    Models(Box<ModelsChanged>),
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
