//! A tenant's state in pieces, and back.
//!
//! Protects against a recovery that differs from the replay: every map is
//! walked in the order of its keys, so equal states give equal pieces, and
//! what can be derived from other pieces is derived, not stored twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use redoubt_shared::{
    ApprovalId, DeviceId, EnrollmentId, ErasureId, TenantId, UserId, VerificationId,
};
use serde::{Deserialize, Serialize};

use super::approval::{Approval, ApprovalStatus, Approver, Ask, KeptKey, NO_END, Terms};
use super::bundle::{Activation, Bundle};
use super::device::Device;
use super::erasure::{Deletion, Erasure, KeptBudget};
use super::event::SubjectKey;
use super::frames::FrameMark;
use super::fused::Fused;
use super::models::{Aaguid, Models};
use super::risk::{Act, Activity, Alert};
use super::ruling::{self, Decided};
use super::session::Session;
use super::state::*;
use super::throttle::{Gate, UnderWay, Window};
use super::voice::Voice;
use crate::passkeys::CredentialRecord;
use crate::passkeys::metadata::{Condensed, Status};

/// Entries of a map that share a piece.
const GROUP: usize = 256;
/// Bytes of a group, where items may be large: the store takes no piece of twice
/// a chunk's size.
const GROUP_BYTES: usize = 128 * 1024;

/// A part of a tenant's state. Variants are append-only: postcard numbers them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    /// Whose ledger this is, and the seeds of its signing keys.
    Tenant {
        /// Whose, once opened.
        tenant: Option<TenantId>,
        /// Once opened.
        keys: Option<TenantKeySeeds>,
    },
    /// One subject, whole.
    Subject(Box<SubjectPiece>),
    /// Enrolments.
    Enrollments(Vec<(EnrollmentId, Enrollment)>),
    /// Approvals of before, each of one person.
    Approvals(Vec<(ApprovalId, ApprovalV1)>),
    /// Idempotency keys of before: hashed key, digest of the request, what it made.
    Idempotency(Vec<([u8; 32], [u8; 32], ApprovalId)>),
    /// Erasures.
    Erasures(Vec<(ErasureId, Erasure)>),
    /// Custodians' statements.
    Deletions(Vec<Deletion>),
    /// What erased names had spent.
    KeptBudgets {
        /// Under which the names are hashed.
        salt: [u8; 32],
        /// By hashed name.
        budgets: Vec<([u8; 32], KeptBudget)>,
    },
    /// Sessions, by the hashes of their tokens.
    Sessions(Vec<([u8; 32], Session)>),
    /// What is known of devices.
    Devices(Vec<(DeviceId, Device)>),
    /// When faces last matched.
    FacesMatched(Vec<(SubjectHandle, u64)>),
    /// Approvals.
    ApprovalsAsked(Vec<(ApprovalId, Approval)>),
    /// Idempotency keys: hashed key, digest of the request, approval, end.
    IdempotencyKept(Vec<([u8; 32], [u8; 32], ApprovalId, u64)>),
    /// What is remembered of attempts.
    Activities(Vec<(SubjectHandle, Activity)>),
    /// Alerts.
    Alerts(Vec<Alert>),
    /// Failures by where they come from.
    Failures(Vec<(Gate, Window)>),
    /// Attempts under way, by where they come from.
    UnderWay(Vec<(VerificationId, UnderWay)>),
    /// The last BLOB that was taken, and credentials suspended for models before
    /// those that are acted on; none while no BLOB was.
    Metadata(Box<Condensed>, u64),
    /// Models that were compromised when that was last looked at.
    ModelsCompromised(Vec<(Aaguid, Status)>),
    /// Models that are acted on, and how many credentials were suspended so far.
    ModelsActing(Vec<(Aaguid, u64)>),
    /// Customers' voices.
    Voices(Vec<(SubjectHandle, Voice)>),
    /// One bundle of the tenant's own policy.
    Bundle(Box<Bundle>),
    /// Which bundles were in force.
    Activations(Vec<Activation>),
    /// Decisions that policy ruled on, or would have.
    Decisions(Vec<Decided>),
    /// The highest number of a transform that a subject's templates were under.
    Transforms(Vec<(SubjectHandle, u32)>),
    /// What is kept of frames that challenges were answered with.
    FramesSeen(Vec<(SubjectHandle, Vec<FrameMark>)>),
    /// Customers' attempts with face and voice together.
    Fused(Vec<(SubjectHandle, Fused)>),
    /// Attempts under way in names that nobody has, hashed.
    StrangersTry(Vec<(VerificationId, [u8; 32], Act)>),
    /// Those that failed lately: when, in which name, what, which.
    StrangersFailed(Vec<(u64, [u8; 32], Act, VerificationId)>),
    /// Customers whose faces were refused to others lately, by when.
    DuplicatesRefused(Vec<(u64, SubjectHandle)>),
}

/// An approval as snapshots of before hold it; its fields and their order are fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "fields are those of Approval, Ask and Approver"
)]
pub struct ApprovalV1 {
    pub subject: SubjectHandle,
    pub transaction: Transaction,
    pub transaction_jcs: String,
    pub nonce: [u8; 32],
    pub challenge: [u8; 32],
    pub expires_ms: u64,
    pub status: ApprovalStatus,
    pub idempotency: Option<[u8; 32]>,
}

impl From<ApprovalV1> for Approval {
    fn from(old: ApprovalV1) -> Self {
        let asks = vec![Ask {
            nonce: old.nonce,
            challenge: old.challenge,
        }];
        Self {
            terms: Terms::PLAIN,
            approvers: vec![Approver {
                subject: old.subject,
                asks,
                rejected: None,
            }],
            transaction_jcs: old.transaction_jcs,
            expires_ms: old.expires_ms,
            status: old.status,
            grants: Vec::new(),
            keys: old.idempotency.into_iter().collect(),
        }
    }
}

/// One subject as a piece holds it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectPiece {
    handle: SubjectHandle,
    user: UserId,
    key: SubjectKey,
    user_handle: [u8; 16],
    passkeys: Vec<CredentialRecord>,
    face: Option<Template>,
    enrollment: Option<EnrollmentId>,
    approvals: Vec<ApprovalId>,
    attempts: Attempts,
}

impl TenantState {
    /// The whole state, in pieces made one at a time.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let tenant = Piece::Tenant {
            tenant: self.tenant.clone(),
            keys: self.keys.clone(),
        };
        let subjects = self
            .subjects
            .iter()
            .map(|(handle, subject)| Piece::Subject(Box::new(SubjectPiece::new(*handle, subject))));
        let enrollments = self.enrollments.iter().map(|(id, e)| (*id, e.clone()));
        let approvals = self
            .approvals
            .iter()
            .map(|(id, approval)| (*id, Approval::clone(approval)));
        let idempotency = self
            .idempotency
            .iter()
            .map(|(key, kept)| (*key, kept.request, kept.id, kept.expires_ms));
        let erasures = self.erasures.iter();
        let erasures = erasures.map(|(id, erasure)| (*id, Erasure::clone(erasure)));
        let deletions = self.deletions.values().map(|d| Deletion::clone(d));
        let salt = self.kept.salt.unwrap_or_default();
        let budgets = self.kept.by_name.iter().map(|(name, kept)| (*name, *kept));
        // Strangers' failures are hashed under the salt also where no budget is kept.
        let alone = self.kept.by_name.is_empty() && self.kept.salt.is_some();
        let alone = alone.then(Vec::new);
        let budgets = grouped(budgets).chain(alone);
        let sessions = self.sessions.iter();
        let sessions = sessions.map(|(hash, session)| (*hash, Session::clone(session)));
        let devices = self.devices.iter();
        let devices = devices.map(|(id, device)| (*id, Device::clone(device)));
        let matched = self.faces_matched.iter().map(|(id, at_ms)| (*id, *at_ms));
        let voices = self.voices.iter();
        let voices = voices.map(|(handle, voice)| (*handle, Voice::clone(voice)));
        let frames = self.frames_seen.iter();
        let frames = frames.map(|(handle, marks)| (*handle, marks.to_vec()));
        let fused = self.fused.iter();
        let fused = fused.map(|(handle, fused)| (*handle, Fused::clone(fused)));
        let activities = self.watch.activities();
        let activities = activities.map(|(handle, one)| (*handle, Activity::clone(one)));
        let alerts = self.watch.alerts().map(|alert| Alert::clone(alert));
        let bundles = self.bundles.kept.values();
        let bundles = bundles.map(|bundle| Box::new(Bundle::clone(bundle)));
        let activations = self.bundles.activations.values();
        let activations = activations.map(|one| Activation::clone(one));
        let decisions = self.decisions.values().map(|one| Decided::clone(one));
        let transforms = self
            .transforms
            .iter()
            .map(|(handle, last)| (*handle, *last));
        std::iter::once(tenant)
            .chain(subjects)
            .chain(grouped(enrollments).map(Piece::Enrollments))
            .chain(grouped_by(approvals, approval_bytes).map(Piece::ApprovalsAsked))
            .chain(grouped(idempotency).map(Piece::IdempotencyKept))
            .chain(grouped(erasures).map(Piece::Erasures))
            .chain(grouped(deletions).map(Piece::Deletions))
            .chain(budgets.map(move |budgets| Piece::KeptBudgets { salt, budgets }))
            .chain(grouped(sessions).map(Piece::Sessions))
            .chain(grouped(devices).map(Piece::Devices))
            .chain(grouped(matched).map(Piece::FacesMatched))
            .chain(grouped_by(activities, activity_bytes).map(Piece::Activities))
            .chain(grouped(alerts).map(Piece::Alerts))
            .chain(grouped(self.throttle.windows()).map(Piece::Failures))
            .chain(grouped(self.throttle.under_way()).map(Piece::UnderWay))
            .chain(self.models.pieces())
            .chain(grouped(voices).map(Piece::Voices))
            .chain(bundles.map(Piece::Bundle))
            .chain(grouped(activations).map(Piece::Activations))
            .chain(grouped(decisions).map(Piece::Decisions))
            .chain(grouped(transforms).map(Piece::Transforms))
            .chain(grouped_by(frames, frames_bytes).map(Piece::FramesSeen))
            .chain(grouped(fused).map(Piece::Fused))
            .chain(grouped(self.strangers.under_way()).map(Piece::StrangersTry))
            .chain(grouped(self.strangers.lately()).map(Piece::StrangersFailed))
            .chain(grouped(self.duplicates_refused.iter().copied()).map(Piece::DuplicatesRefused))
    }

    /// Takes one piece over. All pieces of a state, in any order, make a default
    /// state equal to it.
    pub fn absorb(&mut self, piece: Piece) {
        match piece {
            Piece::Tenant { tenant, keys } => (self.tenant, self.keys) = (tenant, keys),
            Piece::Subject(subject) => self.absorb_subject(*subject),
            Piece::Enrollments(group) => self.enrollments.extend(group),
            Piece::Approvals(group) => {
                group
                    .into_iter()
                    .for_each(|(id, old)| self.absorb_approval(id, old.into()));
            }
            Piece::ApprovalsAsked(group) => {
                group
                    .into_iter()
                    .for_each(|(id, approval)| self.absorb_approval(id, approval));
            }
            // Without an end; the term that follows gives them one.
            Piece::Idempotency(group) => {
                for (key, request, id) in group {
                    self.absorb_key(key, request, id, NO_END);
                }
            }
            Piece::IdempotencyKept(group) => {
                for (key, request, id, expires_ms) in group {
                    self.absorb_key(key, request, id, expires_ms);
                }
            }
            Piece::Erasures(group) => {
                for (id, erasure) in group {
                    self.keep_erasure(id, erasure);
                }
            }
            Piece::Deletions(group) => {
                for deletion in group {
                    self.deletions.insert(deletion.digest(), Arc::new(deletion));
                }
            }
            Piece::StrangersTry(group) => {
                for (id, name, act) in group {
                    self.strangers.begin(id, name, act);
                }
            }
            Piece::StrangersFailed(group) => {
                for failed in group {
                    self.strangers.keep(failed);
                }
            }
            Piece::KeptBudgets { salt, budgets } => {
                self.kept.salt = Some(salt);
                for (name, budget) in budgets {
                    self.kept.keep(salt, name, budget);
                }
            }
            Piece::Sessions(group) => {
                for (hash, session) in group {
                    self.sessions.keep(hash, session);
                }
            }
            Piece::Devices(group) => {
                let devices = group.into_iter();
                self.devices
                    .extend(devices.map(|(id, device)| (id, Arc::new(device))));
            }
            Piece::FacesMatched(group) => self.faces_matched.extend(group),
            Piece::Activities(group) => {
                for (handle, activity) in group {
                    self.watch.keep(handle, activity);
                }
            }
            Piece::Failures(group) => {
                for (gate, window) in group {
                    self.throttle.keep(gate, window);
                }
            }
            Piece::UnderWay(group) => {
                for (id, one) in group {
                    self.throttle.begin(id, one);
                }
            }
            Piece::Alerts(group) => {
                for alert in group {
                    self.watch.raise(alert);
                }
            }
            Piece::Metadata(metadata, suspended) => {
                self.models.metadata = Some(Arc::from(metadata));
                self.models.suspended = suspended;
            }
            Piece::ModelsCompromised(group) => self.models.compromised.extend(group),
            Piece::Voices(group) => {
                for (handle, voice) in group {
                    self.voices.insert(handle, Arc::new(voice));
                }
            }
            Piece::Fused(group) => {
                for (handle, fused) in group {
                    self.fused.insert(handle, Arc::new(fused));
                }
            }
            Piece::ModelsActing(group) => self.models.acting.extend(group),
            Piece::Bundle(bundle) => self.bundles.keep(*bundle),
            Piece::Activations(group) => {
                for activation in group {
                    self.bundles.list(activation);
                }
            }
            Piece::Transforms(group) => self.transforms.extend(group),
            Piece::DuplicatesRefused(group) => self.duplicates_refused.extend(group),
            Piece::FramesSeen(group) => {
                let frames = group.into_iter();
                self.frames_seen
                    .extend(frames.map(|(handle, marks)| (handle, Arc::from(marks))));
            }
            Piece::Decisions(group) => {
                for decided in group {
                    ruling::keep(self, decided);
                }
            }
        }
    }

    fn absorb_approval(&mut self, id: ApprovalId, approval: Approval) {
        for approver in &approval.approvers {
            self.approvals_of.insert((approver.subject, id));
        }
        self.approval_ends.insert((approval.expires_ms, id));
        self.approval_bytes += approval.bytes();
        self.approvals.insert(id, Arc::new(approval));
    }

    fn absorb_key(&mut self, key: [u8; 32], request: [u8; 32], id: ApprovalId, expires_ms: u64) {
        let kept = KeptKey {
            request,
            id,
            expires_ms,
        };
        self.idempotency.insert(key, kept);
        self.idempotency_ends.insert((expires_ms, key));
    }

    fn absorb_subject(&mut self, piece: SubjectPiece) {
        let handle = piece.handle;
        if handle != SubjectHandle::NOBODY {
            self.users.insert(piece.user.clone(), handle);
        }
        for record in &piece.passkeys {
            self.credentials.insert(Arc::from(&*record.id), handle);
        }
        self.subjects.insert(handle, Arc::new(piece.into_subject()));
    }
}

impl Models {
    fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let kept = self.metadata.as_deref().cloned().map(Box::new);
        let kept = kept.map(|metadata| Piece::Metadata(metadata, self.suspended));
        let compromised = self
            .compromised
            .iter()
            .map(|(model, status)| (*model, *status));
        let acting = self.acting.iter().map(|(model, count)| (*model, *count));
        kept.into_iter()
            .chain(grouped(compromised).map(Piece::ModelsCompromised))
            .chain(grouped(acting).map(Piece::ModelsActing))
    }
}

impl SubjectPiece {
    fn new(handle: SubjectHandle, subject: &Subject) -> Self {
        Self {
            handle,
            user: subject.user.clone(),
            key: subject.key.clone(),
            user_handle: subject.user_handle,
            passkeys: subject.passkeys.values().cloned().collect(),
            face: subject.face.as_deref().cloned(),
            enrollment: subject.enrollment,
            approvals: subject.approvals.clone(),
            attempts: subject.attempts.clone(),
        }
    }

    fn into_subject(self) -> Subject {
        let records = self.passkeys.into_iter();
        let passkeys: BTreeMap<_, _> = records.map(|record| (record.id.clone(), record)).collect();
        Subject {
            user: self.user,
            key: self.key,
            user_handle: self.user_handle,
            passkeys,
            face: self.face.map(Arc::new),
            enrollment: self.enrollment,
            approvals: self.approvals,
            attempts: self.attempts,
        }
    }
}

/// The items, a bounded number to a group.
fn grouped<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    grouped_by(items, |_| 0)
}

/// The items, to a group a bounded number and about [`GROUP_BYTES`] at most, or one.
fn grouped_by<T>(
    items: impl Iterator<Item = T>,
    bytes: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.peekable();
    std::iter::from_fn(move || {
        let mut group: Vec<T> = Vec::new();
        let mut left = GROUP_BYTES;
        while group.len() < GROUP
            && let Some(item) = items.next_if(|item| group.is_empty() || bytes(item) <= left)
        {
            left = left.saturating_sub(bytes(&item));
            group.push(item);
        }
        (!group.is_empty()).then_some(group)
    })
}

/// About what an approval takes: its transaction, and a kilobyte for each person
/// with their answers.
fn approval_bytes((_, approval): &(ApprovalId, Approval)) -> usize {
    let people = approval.approvers.len() + approval.grants.len() + approval.keys.len();
    approval.transaction_jcs.len() + 1024 * people
}

/// About what is kept of a customer's frames takes.
fn frames_bytes((_, marks): &(SubjectHandle, Vec<FrameMark>)) -> usize {
    32 + 40 * marks.len()
}

/// About what is remembered of a customer takes.
fn activity_bytes((_, activity): &(SubjectHandle, Activity)) -> usize {
    let kept = 128 * activity.moments.len() + 16 * activity.largest.len();
    256 + kept + 16 * activity.payees.len()
}
