//! Approvals: what is asked of whom, what was answered, and how it ends.
//!
//! Protects the payer: an approval is answered only while it is open, ends once,
//! and what ended it is known by name. A state machine of one page:
//! `enclave/SPEC.md` section 6.

use std::sync::Arc;

use redoubt_shared::{ApprovalId, ReceiptId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::apply::with;
use super::event::Event;
use super::refusal::Refusal;
use super::state::{SubjectHandle, TenantState};
use super::voice::Modality;

/// People one approval may ask.
pub const APPROVERS_MAX: usize = 16;
/// How long a key finds what it did.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;
/// For how long after its time an approval is known here; its claims stay in the ledger.
pub const APPROVAL_KEPT_MS: u64 = 7 * 24 * 3_600_000;
/// The longest that a configuration lets one be answered.
const OPEN_MOST_MS: u64 = 3_600_000;
/// Bytes that approvals of one tenant may take, those that ended among them: about 240 000
/// of one answer each.
pub(super) const APPROVAL_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// What an approval takes at least, and each of its answers besides.
const APPROVAL_BYTES: u64 = 1024;
const ANSWER_BYTES: u64 = 1024;
/// Keys that snapshots and entries of before keep without a time.
pub(super) const NO_END: u64 = u64::MAX;

/// What is asked for, fixed when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// People who are asked.
    pub approvers: u16,
    /// How many of them must approve.
    pub needed: u16,
    /// Distinct passkeys of each, 1 or 2.
    pub devices: u8,
    /// What each needs besides.
    pub factors: Factors,
}

/// What is asked of a person beside passkeys, which are always asked for: so nothing that
/// a loudspeaker or a picture may have stands alone.
///
/// Kept as one byte, which for a face alone and for nothing is what records of before
/// voices hold in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Factors {
    /// A verified face.
    pub face: bool,
    /// A verified voice.
    pub voice: bool,
}

impl Factors {
    /// Nothing.
    pub const NONE: Self = Self {
        face: false,
        voice: false,
    };

    /// One bit for each.
    pub const fn bits(self) -> u8 {
        self.face as u8 | (self.voice as u8) << 1
    }

    /// Whether this one is asked for.
    pub const fn has(self, modality: Modality) -> bool {
        match modality {
            Modality::Face => self.face,
            Modality::Voice => self.voice,
        }
    }

    /// Those asked for.
    pub fn each(self) -> impl Iterator<Item = Modality> {
        let all = [Modality::Face, Modality::Voice];
        all.into_iter().filter(move |one| self.has(*one))
    }
}

impl Serialize for Factors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.bits())
    }
}

impl<'de> Deserialize<'de> for Factors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u8::deserialize(deserializer)?;
        let read = Self {
            face: bits & 1 != 0,
            voice: bits & 2 != 0,
        };
        match read.bits() == bits {
            true => Ok(read),
            false => Err(D::Error::custom("a factor that is none")),
        }
    }
}

impl Terms {
    /// One answer of one person: claims and artefact name no version.
    pub const PLAIN: Self = Self {
        approvers: 1,
        needed: 1,
        devices: 1,
        factors: Factors::NONE,
    };

    /// Whether one answer of one person is asked for.
    pub fn plain(&self) -> bool {
        *self == Self::PLAIN
    }
}

/// One challenge of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The single-use nonce inside the challenge.
    pub nonce: [u8; 32],
    /// What the customer's authenticator signs.
    pub challenge: [u8; 32],
}

/// One person who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Who.
    pub subject: SubjectHandle,
    /// One challenge for each device.
    pub asks: Vec<Ask>,
    /// The claim of their rejection.
    pub rejected: Option<ReceiptId>,
}

/// One answer: a passkey's, a face, or a voice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose.
    pub by: SubjectHandle,
    /// Its claim.
    pub receipt: ReceiptId,
    /// SHA-256 of that claim's text.
    pub claim: [u8; 32],
    /// What was answered with.
    pub with: GrantedWith,
}

/// What an answer was made with. Variants are append-only: postcard numbers them, and the
/// first two are what records of before voices hold: no passkey, or one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantedWith {
    /// A face.
    Face,
    /// A passkey.
    Passkey(GrantedBy),
    /// A voice.
    Voice,
}

impl GrantedWith {
    /// The passkey, if it was one.
    pub const fn passkey(&self) -> Option<&GrantedBy> {
        match self {
            Self::Passkey(passkey) => Some(passkey),
            Self::Face | Self::Voice => None,
        }
    }

    /// A sample of this.
    pub const fn sample(modality: Modality) -> Self {
        match modality {
            Modality::Face => Self::Face,
            Modality::Voice => Self::Voice,
        }
    }
}

/// The passkey of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedBy {
    /// Its credential id.
    pub credential_id: Vec<u8>,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
    /// Whether it may be copied to other devices.
    pub backup_eligible: bool,
}

/// One approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What is asked for.
    pub terms: Terms,
    /// Who is asked, without those erased since.
    pub approvers: Vec<Approver>,
    /// RFC 8785 form of the transaction, as bound.
    pub transaction_jcs: String,
    /// Until when, Unix milliseconds.
    pub expires_ms: u64,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// Answers so far, until it ends.
    pub grants: Vec<Grant>,
    /// Hashed idempotency keys of what was done to it.
    pub keys: Vec<[u8; 32]>,
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalStatus {
    /// Waiting for customers.
    Pending,
    /// Given; its evidence is this receipt.
    Approved(ReceiptId),
    /// Rejected by so many that it cannot be given; the claim of the last.
    Rejected(ReceiptId),
    /// Taken back by the bank.
    Cancelled(ReceiptId),
}

/// What an idempotency key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptKey {
    /// Digest of the request.
    pub request: [u8; 32],
    /// The approval it was about.
    pub id: ApprovalId,
    /// Forgotten after this, Unix milliseconds.
    pub expires_ms: u64,
}

/// About how many bytes an approval of these terms may take until it leaves, with its
/// challenges, answers and keys.
pub(super) fn bytes(terms: Terms, transaction_jcs: &str) -> u64 {
    let answers = u64::from(terms.approvers) * u64::from(terms.devices);
    APPROVAL_BYTES + ANSWER_BYTES * answers + transaction_jcs.len() as u64
}

impl Approval {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        bytes(self.terms, &self.transaction_jcs)
    }

    /// Whether it may still be answered at `now_ms`; why not, by name.
    pub fn open(&self, now_ms: u64) -> Result<(), Refusal> {
        match self.status {
            ApprovalStatus::Approved(_) => Err(Refusal::ApprovalSpent),
            ApprovalStatus::Rejected(_) => Err(Refusal::ApprovalRejected),
            ApprovalStatus::Cancelled(_) => Err(Refusal::ApprovalCancelled),
            ApprovalStatus::Pending if self.expires_ms <= now_ms => Err(Refusal::ApprovalExpired),
            ApprovalStatus::Pending => Ok(()),
        }
    }

    /// One of those asked.
    pub fn approver(&self, subject: SubjectHandle) -> Option<&Approver> {
        self.approvers.iter().find(|one| one.subject == subject)
    }

    /// The passkeys that somebody answered with.
    pub fn passkeys_of(&self, subject: SubjectHandle) -> impl Iterator<Item = &GrantedBy> {
        let theirs = self.grants.iter().filter(move |grant| grant.by == subject);
        theirs.filter_map(|grant| grant.with.passkey())
    }

    /// Whether somebody's face, or voice, was verified for it.
    pub fn has(&self, subject: SubjectHandle, modality: Modality) -> bool {
        let with = GrantedWith::sample(modality);
        let mut grants = self.grants.iter();
        grants.any(|grant| grant.by == subject && grant.with == with)
    }

    /// What is asked of somebody besides passkeys and was not verified yet, the first of it.
    pub fn lacks(&self, subject: SubjectHandle) -> Option<Modality> {
        let mut asked = self.terms.factors.each();
        asked.find(|modality| !self.has(subject, *modality))
    }

    /// Whether somebody rejected it.
    pub fn rejected_by(&self, subject: SubjectHandle) -> bool {
        self.approver(subject)
            .is_some_and(|one| one.rejected.is_some())
    }

    /// Whether somebody who is asked has neither rejected it nor given everything.
    pub fn still_asks(&self, subject: SubjectHandle) -> bool {
        self.approver(subject).is_some() && !self.rejected_by(subject) && !self.complete(subject)
    }

    /// Whether somebody gave all that is asked of one person.
    pub fn complete(&self, subject: SubjectHandle) -> bool {
        self.passkeys_of(subject).count() >= usize::from(self.terms.devices)
            && self.lacks(subject).is_none()
    }

    /// People who may still approve or did.
    pub fn willing(&self) -> usize {
        let all = self.approvers.iter();
        all.filter(|one| one.rejected.is_none()).count()
    }
}

/// How many passkeys count as devices: all copies of synced ones as one.
pub(super) fn devices<'a>(backup_eligible: impl Iterator<Item = &'a bool>) -> usize {
    let (mut own, mut synced) = (0, 0);
    for copied in backup_eligible {
        match copied {
            true => synced = 1,
            false => own += 1,
        }
    }
    own + synced
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::ApprovalCreated {
            id,
            handle,
            transaction: _,
            transaction_jcs,
            nonce,
            challenge,
            expires_ms,
            idempotency,
        } => {
            let ask = Ask {
                nonce: *nonce,
                challenge: *challenge,
            };
            ask_one(
                state,
                *id,
                Terms::PLAIN,
                transaction_jcs,
                *expires_ms,
                *handle,
                vec![ask],
            );
            if let Some((key, request)) = idempotency {
                keep_key(state, *key, *request, *id, NO_END);
            }
        }
        Event::ApprovalAsked {
            id,
            handle,
            terms,
            transaction_jcs,
            asks,
            expires_ms,
        } => ask_one(
            state,
            *id,
            *terms,
            transaction_jcs,
            *expires_ms,
            *handle,
            asks.clone(),
        ),
        Event::ApprovalGranted { id, grant } => change(state, id, |approval| {
            approval.grants.push(grant.clone());
        }),
        Event::ApprovalGiven { id, receipt } => end(state, id, ApprovalStatus::Approved(*receipt)),
        Event::ApprovalRejected {
            id,
            handle,
            receipt,
            closes,
        } => {
            change(state, id, |approval| {
                approval.grants.retain(|grant| grant.by != *handle);
                let mut all = approval.approvers.iter_mut();
                if let Some(approver) = all.find(|one| one.subject == *handle) {
                    approver.rejected = Some(*receipt);
                }
            });
            if *closes {
                end(state, id, ApprovalStatus::Rejected(*receipt));
            }
        }
        Event::ApprovalCancelled { id, receipt } => {
            end(state, id, ApprovalStatus::Cancelled(*receipt));
        }
        Event::IdempotencyKept {
            key,
            request,
            id,
            at_ms,
        } => {
            prune_keys(state, *at_ms);
            keep_key(
                state,
                *key,
                *request,
                *id,
                at_ms.saturating_add(IDEMPOTENCY_MS),
            );
        }
        _ => {}
    }
}

/// Takes back what somebody answered, wherever one of their answers does not hold any
/// more: its device was put out of use, or its face or voice erased. All of it, so that no
/// challenge is answered by two that count, and the last answer completes.
pub(super) fn withdraw(
    state: &mut TenantState,
    subject: &SubjectHandle,
    gone: impl Fn(&Grant) -> bool,
) {
    let open = state.subjects.get(subject);
    for id in open
        .map(|known| known.approvals.clone())
        .unwrap_or_default()
    {
        change(state, &id, |approval| {
            let theirs = |grant: &Grant| grant.by == *subject;
            if approval
                .grants
                .iter()
                .any(|grant| theirs(grant) && gone(grant))
            {
                approval.grants.retain(|grant| !theirs(grant));
            }
        });
    }
}

fn ask_one(
    state: &mut TenantState,
    id: ApprovalId,
    terms: Terms,
    transaction_jcs: &str,
    expires_ms: u64,
    subject: SubjectHandle,
    asks: Vec<Ask>,
) {
    leave(state, leaves_before(expires_ms));
    let new = || {
        Arc::new(Approval {
            terms,
            approvers: Vec::new(),
            transaction_jcs: transaction_jcs.to_owned(),
            expires_ms,
            status: ApprovalStatus::Pending,
            grants: Vec::new(),
            keys: Vec::new(),
        })
    };
    if !state.approvals.contains_key(&id) {
        state.approval_bytes += bytes(terms, transaction_jcs);
    }
    let approval = state.approvals.entry(id).or_insert_with(new);
    Arc::make_mut(approval).approvers.push(Approver {
        subject,
        asks,
        rejected: None,
    });
    state.approvals_of.insert((subject, id));
    state.approval_ends.insert((expires_ms, id));
    with(state, &subject, |known| known.approvals.push(id));
}

fn change(state: &mut TenantState, id: &ApprovalId, change: impl FnOnce(&mut Approval)) {
    if let Some(approval) = state.approvals.get_mut(id) {
        change(Arc::make_mut(approval));
    }
}

/// Ends an approval: nobody has it open any more, and its answers are in claims.
fn end(state: &mut TenantState, id: &ApprovalId, status: ApprovalStatus) {
    let mut asked = Vec::new();
    change(state, id, |approval| {
        approval.status = status;
        approval.grants = Vec::new();
        asked = approval.approvers.iter().map(|one| one.subject).collect();
    });
    for subject in asked {
        with(state, &subject, |known| {
            known.approvals.retain(|open| open != id)
        });
    }
}

/// Takes an erased subject out of their approvals. One that nobody else was asked for
/// is gone; one that can no longer be given ends with the erasure.
pub(super) fn forget(state: &mut TenantState, subject: &SubjectHandle, at_ms: u64) {
    let all = (*subject, ApprovalId::from_bytes([0; 16]))
        ..=(*subject, ApprovalId::from_bytes([0xff; 16]));
    let theirs: Vec<_> = state.approvals_of.range(all).copied().collect();
    for of_subject in theirs {
        state.approvals_of.remove(&of_subject);
        let id = of_subject.1;
        let mut keys = Vec::new();
        let (mut empty, mut given_up) = (true, false);
        change(state, &id, |approval| {
            approval.approvers.retain(|one| one.subject != *subject);
            approval.grants.retain(|grant| grant.by != *subject);
            keys = std::mem::take(&mut approval.keys);
            empty = approval.approvers.is_empty();
            given_up = approval.willing() < usize::from(approval.terms.needed);
        });
        if given_up {
            expire(state, &id, at_ms);
        }
        if empty {
            remove(state, &id);
        }
        for key in keys {
            remove_key(state, &key);
        }
    }
}

/// It can be answered no longer than until then.
pub(super) fn expire(state: &mut TenantState, id: &ApprovalId, at_ms: u64) {
    let mut before = None;
    change(state, id, |approval| {
        before = Some(approval.expires_ms);
        approval.expires_ms = approval.expires_ms.min(at_ms);
    });
    if let Some(before) = before {
        state.approval_ends.remove(&(before, *id));
        state.approval_ends.insert((before.min(at_ms), *id));
    }
}

/// With an approval that may be answered until `expires_ms`, what ended before this
/// leaves: it is asked no earlier than so long before its own end.
const fn leaves_before(expires_ms: u64) -> u64 {
    expires_ms.saturating_sub(APPROVAL_KEPT_MS + OPEN_MOST_MS)
}

/// Whether there is room for an approval of these terms: what leaves with it makes some.
pub(super) fn has_room(
    state: &TenantState,
    terms: Terms,
    transaction_jcs: &str,
    expires_ms: u64,
) -> bool {
    let more = bytes(terms, transaction_jcs);
    let mut over = (state.approval_bytes + more).saturating_sub(APPROVAL_BYTES_MAX);
    let before_ms = leaves_before(expires_ms);
    let mut ended = state.approval_ends.iter();
    while over > 0 {
        let gone = ended.next().filter(|(end_ms, _)| *end_ms < before_ms);
        let Some(gone) = gone.and_then(|(_, id)| state.approvals.get(id)) else {
            return false;
        };
        over = over.saturating_sub(gone.bytes());
    }
    true
}

/// What ended, given or not, before a time leaves the state. The time comes from what is
/// asked next, so that a replay forgets at the same places.
fn leave(state: &mut TenantState, before_ms: u64) {
    while let Some((expires_ms, id)) = state.approval_ends.get_min().copied()
        && expires_ms < before_ms
    {
        remove(state, &id);
    }
}

fn remove(state: &mut TenantState, id: &ApprovalId) {
    let Some(approval) = state.approvals.remove(id) else {
        return;
    };
    state.approval_ends.remove(&(approval.expires_ms, *id));
    state.approval_bytes = state.approval_bytes.saturating_sub(approval.bytes());
    for approver in &approval.approvers {
        state.approvals_of.remove(&(approver.subject, *id));
        with(state, &approver.subject, |known| {
            known.approvals.retain(|open| open != id);
        });
    }
    for key in &approval.keys {
        remove_key(state, key);
    }
}

fn keep_key(
    state: &mut TenantState,
    key: [u8; 32],
    request: [u8; 32],
    id: ApprovalId,
    expires_ms: u64,
) {
    let kept = KeptKey {
        request,
        id,
        expires_ms,
    };
    remove_key(state, &key);
    state.idempotency.insert(key, kept);
    state.idempotency_ends.insert((expires_ms, key));
    change(state, &id, |approval| {
        if !approval.keys.contains(&key) {
            approval.keys.push(key);
        }
    });
}

fn remove_key(state: &mut TenantState, key: &[u8; 32]) {
    if let Some(kept) = state.idempotency.remove(key) {
        state.idempotency_ends.remove(&(kept.expires_ms, *key));
        change(state, &kept.id, |approval| {
            approval.keys.retain(|other| other != key);
        });
    }
}

/// Forgets keys whose time is over.
fn prune_keys(state: &mut TenantState, now_ms: u64) {
    while let Some((expires_ms, key)) = state.idempotency_ends.get_min().copied()
        && expires_ms <= now_ms
    {
        remove_key(state, &key);
    }
}

/// A term begins: keys whose time is over leave, and those without one get it.
pub(super) fn begin_term(state: &mut TenantState, now_ms: u64) {
    prune_keys(state, now_ms);
    leave(state, now_ms.saturating_sub(APPROVAL_KEPT_MS));
    while let Some((NO_END, key)) = state.idempotency_ends.get_max().copied()
        && let Some(kept) = state.idempotency.get(&key).copied()
    {
        let expires_ms = now_ms.saturating_add(IDEMPOTENCY_MS);
        keep_key(state, key, kept.request, kept.id, expires_ms);
    }
}
