//! What one tenant's ledger folds to.
//!
//! Protects against a snapshot that stalls requests: every map is persistent and
//! every large value shared, so a clone costs the same at any number of
//! subjects, and the clone stays as it was while the original moves on.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use redoubt_shared::{
    ApprovalId, DeviceId, EnrollmentId, ErasureId, ReceiptId, TenantId, UserId, VerificationId,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::approval::{Approval, KeptKey};
use super::bundle::Bundles;
use super::device::Device;
use super::erasure::{Deletion, Erasure, KeptBudgets};
use super::event::SubjectKey;
use super::frames::FrameMark;
use super::fused::Fused;
use super::models::Models;
use super::risk::Watch;
use super::ruling::Decided;
use super::session::Sessions;
use super::strangers::Strangers;
use super::throttle::Throttle;
use super::voice::Voice;
use crate::passkeys::CredentialRecord;

/// A subject's name inside the ledger: random, means nothing outside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubjectHandle(pub [u8; 16]);

impl SubjectHandle {
    /// Everybody who is no customer, as one subject without a name: what is tried in a
    /// stranger's name is sealed and remembered as a customer's is, and takes as long.
    pub const NOBODY: Self = Self([0; 16]);
}

/// The fold of one tenant's ledger. A clone shares everything with its original.
#[derive(Clone, Default, PartialEq)]
pub struct TenantState {
    /// Whose ledger this is, once opened.
    pub tenant: Option<TenantId>,
    /// Seeds of the tenant's signing keys, once opened.
    pub keys: Option<TenantKeySeeds>,
    /// Bank's names to handles.
    pub users: OrdMap<UserId, SubjectHandle>,
    /// Everyone enrolled here.
    pub subjects: OrdMap<SubjectHandle, Arc<Subject>>,
    /// Credential ids of the tenant (unique within it) to their owners.
    pub credentials: OrdMap<Arc<[u8]>, SubjectHandle>,
    /// Enrolments begun, until they complete or expire.
    pub enrollments: OrdMap<EnrollmentId, Enrollment>,
    /// Approvals asked for.
    pub approvals: OrdMap<ApprovalId, Arc<Approval>>,
    /// About how many bytes they take.
    pub approval_bytes: u64,
    /// The same approvals by each subject they ask, given ones among them.
    pub approvals_of: OrdSet<(SubjectHandle, ApprovalId)>,
    /// The same approvals by the time until which they may be answered.
    pub approval_ends: OrdSet<(u64, ApprovalId)>,
    /// Idempotency keys (hashed) and what they did.
    pub idempotency: OrdMap<[u8; 32], KeptKey>,
    /// The same keys by their end.
    pub idempotency_ends: OrdSet<(u64, [u8; 32])>,
    /// Erasures asked for.
    pub erasures: OrdMap<ErasureId, Arc<Erasure>>,
    /// Those that are not dark, by the epoch they wait for.
    pub pending_erasures: OrdSet<(u32, ErasureId)>,
    /// Custodians' statements that erasures rest on, by digest.
    pub deletions: OrdMap<[u8; 32], Arc<Deletion>>,
    /// What erased names had spent.
    pub kept: KeptBudgets,
    /// Open sessions, by the hashes of their tokens.
    pub sessions: Sessions,
    /// What is known of devices that were used or spoken of.
    pub devices: OrdMap<DeviceId, Arc<Device>>,
    /// When a subject's face last matched, Unix milliseconds.
    pub faces_matched: OrdMap<SubjectHandle, u64>,
    /// What is kept of frames that challenges were answered with, the oldest first.
    pub frames_seen: OrdMap<SubjectHandle, Arc<[FrameMark]>>,
    /// Customers' voices.
    pub voices: OrdMap<SubjectHandle, Arc<Voice>>,
    /// Customers' attempts with face and voice together.
    pub fused: OrdMap<SubjectHandle, Arc<Fused>>,
    /// What is remembered of attempts, and alerts.
    pub watch: Watch,
    /// Failures by where they come from.
    pub throttle: Throttle,
    /// Attempts in names that nobody has.
    pub strangers: Strangers,
    /// Authenticator models and what was suspended for them.
    pub models: Models,
    /// The tenant's own policy.
    pub bundles: Bundles,
    /// The highest number of a transform that templates of a subject were ever under.
    pub transforms: OrdMap<SubjectHandle, u32>,
    /// Customers whose faces were refused to others within a day, by when first.
    pub duplicates_refused: OrdSet<(u64, SubjectHandle)>,
    /// The latest decisions that it ruled on, or would have, by time and claim.
    pub decisions: OrdMap<(u64, ReceiptId), Arc<Decided>>,
}

/// Seeds of a tenant's signing keys, sealed in its ledger.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize)]
#[zeroize(drop)]
pub struct TenantKeySeeds {
    /// P-256 private scalar.
    pub es256: [u8; 32],
    /// ML-DSA-65 seed (FIPS 204).
    pub mldsa65: [u8; 32],
}

/// One person, as one tenant knows them. In the state each is shared, so a
/// change while a snapshot is taken copies this one subject.
#[derive(Clone, PartialEq)]
pub struct Subject {
    /// The bank's name.
    pub user: UserId,
    /// The key their events are sealed under.
    pub key: SubjectKey,
    /// Random WebAuthn user handle.
    pub user_handle: [u8; 16],
    /// Passkeys by credential id.
    pub passkeys: BTreeMap<Vec<u8>, CredentialRecord>,
    /// The face template, if enrolled.
    pub face: Option<Arc<Template>>,
    /// The latest enrolment of a face; a new one takes the place of one that waits.
    pub enrollment: Option<EnrollmentId>,
    /// Approvals that did not end, expired ones among them.
    pub approvals: Vec<ApprovalId>,
    /// The attempt budget.
    pub attempts: Attempts,
}

/// Spent and reserved attempts of one subject.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Consecutive failures.
    pub failures: u32,
    /// Attempts whose work has begun and whose verdict is not recorded.
    pub reserved: Vec<VerificationId>,
    /// Locked until this time, in Unix milliseconds.
    pub locked_until_ms: Option<u64>,
}

impl Attempts {
    /// Until when they are locked at `now_ms`, Unix milliseconds.
    pub fn locked_at(&self, now_ms: u64) -> Option<u64> {
        self.locked_until_ms.filter(|until_ms| *until_ms > now_ms)
    }

    /// Failures that count at `now_ms`: a lock that ran out makes the budget whole.
    pub fn failures_at(&self, now_ms: u64) -> u32 {
        let ran_out = self.locked_until_ms.is_some() && self.locked_at(now_ms).is_none();
        if ran_out { 0 } else { self.failures }
    }
}

/// A template as stored (sealed under the subject's key).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Record version.
    pub version: u8,
    /// Model that made the embedding.
    pub model: String,
    /// Which keyed transform was applied (ISO/IEC 24745 renewability); 0 is the identity.
    pub transform: u32,
    /// Components before padding.
    pub dimension: u16,
    /// Of version 1: value of one step of `values`. Of version 2: with which component ×
    /// step is a vector of length 1.
    pub scale: f32,
    /// Of version 1: int8 components. Of version 2: those of the transformed vector, then
    /// each two components' step as an unsigned byte.
    pub values: Vec<i8>,
    /// Quality score at enrolment, 0 to 1.
    pub quality: f32,
    /// Tier of the worker that made it.
    pub worker_tier: String,
    /// Enrolled at, Unix milliseconds.
    pub enrolled_ms: u64,
}

impl Drop for Template {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

/// An enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// Whom.
    pub subject: SubjectHandle,
    /// SHA-256 of the session token.
    pub token_hash: [u8; 32],
    /// Until when, Unix milliseconds.
    pub expires_ms: u64,
    /// How far.
    pub status: EnrollmentStatus,
}

/// How far an enrolment is. Variants are append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollmentStatus {
    /// Waiting for a sample.
    Pending,
    /// A sample is being worked on.
    InProgress,
    /// A template is stored.
    Completed,
    /// Another customer has the face; nothing is stored.
    Refused,
}

/// A payment to approve. Amount is a decimal string; nothing here is parsed as a float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Decimal amount, such as `250.00`.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Name of the payee.
    pub payee_name: String,
    /// Account of the payee.
    pub payee_account: String,
    /// The bank's reference.
    pub reference: String,
}

impl TenantState {
    /// The subject of a bank's name for a customer.
    pub fn subject(&self, user: &UserId) -> Option<(SubjectHandle, &Subject)> {
        let handle = *self.users.get(user)?;
        Some((handle, self.subjects.get(&handle)?))
    }

    /// The account with this WebAuthn user handle, if that very account holds this
    /// credential. Found by either alone, an assertion of one customer could pass
    /// for another's (YSA-2026-02).
    pub fn account(&self, user_handle: &[u8; 16], credential_id: &[u8]) -> Option<&Subject> {
        let owner = self.credentials.get(credential_id)?;
        let subject = self.subjects.get(owner)?;
        let held = subject.passkeys.contains_key(credential_id);
        (held && subject.user_handle == *user_handle).then_some(&**subject)
    }
}
