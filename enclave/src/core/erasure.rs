//! What erasing removes, and what is remembered of it.
//!
//! Protects a customer who left: their name, key, passkeys, template and
//! approvals leave the state; what stays says that and when something was
//! erased, not whose. And it protects the budget: leaving and coming back does
//! not end a lock, for as long as a lock lasts.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use redoubt_attestation::encode::sha256;
use redoubt_shared::{ErasureId, ReceiptId, UserId};
use serde::{Deserialize, Serialize};

use super::apply::with;
use super::approval::GrantedWith;
use super::event::Event;
use super::state::{Attempts, SubjectHandle, TenantState};
use super::{approval, fused, strangers, voice};

/// Erasures that one command may mark.
pub const MARK_MAX: usize = 1024;
const NAME_DOMAIN: &[u8] = b"redoubt/kept-budget/v1";
const FRAMES_DOMAIN: &[u8] = b"redoubt/strangers-frames/v1";

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErasureScope {
    /// The face template.
    Face,
    /// The whole subject.
    Subject,
    /// The voice template.
    Voice,
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErasureStatus {
    /// Out of the state; sealed copies open until the epoch's secret is deleted.
    Pending,
    /// Nobody can open a copy any more.
    Dark {
        /// Since, Unix milliseconds.
        at_ms: u64,
        /// The claim that says so.
        receipt: ReceiptId,
    },
    /// The epoch is over, and somebody gave no deletion statement.
    Depends,
}

/// One erasure. Holds nothing of the one erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// What was erased.
    pub scope: ErasureScope,
    /// Dark once the secrets of this epoch and of all before are deleted.
    pub epoch: u32,
    /// When it was asked for, Unix milliseconds.
    pub requested_ms: u64,
    /// The claim of it.
    pub receipt: ReceiptId,
    /// How far it is.
    pub status: ErasureStatus,
    /// On whom it depends.
    pub depends_on: Vec<String>,
    /// Digests of the statements it rests on.
    pub statements: Vec<[u8; 32]>,
}

/// A custodian's signed word that it deleted its share of an epoch secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The JSON text, as signed.
    pub statement: String,
    /// Ed25519 by the custodian's key.
    pub signature: Vec<u8>,
}

impl Deletion {
    /// SHA-256 of the statement.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.statement.as_bytes()]).0
    }
}

/// What a name that nobody has had spent of its budget: erased, or tried by strangers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBudget {
    /// Consecutive failures, attempts that were under way among them.
    pub failures: u32,
    /// The lock, if there was one.
    pub locked_until_ms: Option<u64>,
    /// Forgotten after this, Unix milliseconds.
    pub expires_ms: u64,
}

impl KeptBudget {
    /// What to keep of a budget at `now_ms`; nothing if it is whole.
    pub(super) fn of(
        attempts: &Attempts,
        now_ms: u64,
        limit: u32,
        lockout_ms: u64,
    ) -> Option<Self> {
        let open = attempts.reserved.len() as u32;
        if let Some(until_ms) = attempts.locked_until_ms.filter(|until| *until > now_ms) {
            return Some(Self {
                failures: attempts.failures.saturating_add(open),
                locked_until_ms: Some(until_ms),
                expires_ms: until_ms,
            });
        }
        let ran_out = attempts.locked_until_ms.is_some();
        let before = if ran_out { 0 } else { attempts.failures };
        let failures = before.saturating_add(open);
        let expires_ms = now_ms.saturating_add(lockout_ms);
        (failures > 0).then_some(Self {
            failures,
            locked_until_ms: (failures >= limit).then_some(expires_ms),
            expires_ms,
        })
    }
}

/// Budgets of erased names, under salted hashes of the names.
#[derive(Clone, Default, PartialEq)]
pub struct KeptBudgets {
    /// Drawn anew whenever nothing is kept, and no stranger's failure speaks.
    pub salt: Option<[u8; 32]>,
    /// By hashed name.
    pub by_name: OrdMap<[u8; 32], KeptBudget>,
    by_expiry: OrdSet<(u64, [u8; 32])>,
}

impl KeptBudgets {
    /// A name as it is kept under `salt`.
    pub(super) fn hash(salt: &[u8; 32], user: &UserId) -> [u8; 32] {
        sha256(&[NAME_DOMAIN, salt, user.as_str().as_bytes()]).0
    }

    /// What keeps two strangers' frames apart, of this name.
    pub(super) fn veil(&self, user: &UserId) -> ([u8; 32], [u8; 32]) {
        let salt = self.salt.unwrap_or_default();
        let of = |part: u8| sha256(&[FRAMES_DOMAIN, &salt, &[part], user.as_str().as_bytes()]).0;
        (of(0), of(1))
    }

    /// What is kept for this name and still holds.
    pub(super) fn find(&self, user: &UserId, now_ms: u64) -> Option<([u8; 32], KeptBudget)> {
        let name = Self::hash(self.salt.as_ref()?, user);
        let budget = *self.by_name.get(&name)?;
        (budget.expires_ms > now_ms).then_some((name, budget))
    }

    pub(super) fn keep(&mut self, salt: [u8; 32], name: [u8; 32], budget: KeptBudget) {
        self.remove(&name);
        self.salt = Some(salt);
        self.by_name.insert(name, budget);
        self.by_expiry.insert((budget.expires_ms, name));
    }

    /// Locks a name that has used its budget up.
    pub(super) fn lock_used_up(&mut self, name: &[u8; 32], max_failures: u32, until_ms: u64) {
        let kept = self.by_name.get(name).copied();
        let kept = kept.filter(|kept| kept.failures >= max_failures);
        if let (Some(kept), Some(salt)) = (kept, self.salt) {
            let locked = KeptBudget {
                locked_until_ms: Some(until_ms),
                expires_ms: until_ms,
                ..kept
            };
            self.keep(salt, *name, locked);
        }
    }

    /// Locks every name that has used its budget up and is not locked, of those that
    /// are still kept at `now_ms`.
    pub(super) fn lock_unlocked(&mut self, now_ms: u64, max_failures: u32, until_ms: u64) {
        let open = |kept: &KeptBudget| kept.locked_until_ms.is_none() && kept.expires_ms > now_ms;
        let names = self.by_name.iter().filter(|(_, kept)| open(kept));
        let names: Vec<_> = names.map(|(name, _)| *name).collect();
        names
            .iter()
            .for_each(|name| self.lock_used_up(name, max_failures, until_ms));
    }

    /// Locks every name of which anything is kept.
    pub(super) fn lock_all(&mut self, until_ms: u64) {
        let names: Vec<_> = self.by_name.keys().copied().collect();
        names
            .iter()
            .for_each(|name| self.lock_used_up(name, 0, until_ms));
    }

    /// The name that is forgotten first of those that are kept for longer than until
    /// `after_ms`: of none that is locked, or was a customer's.
    pub(super) fn gives_way(&self, after_ms: u64) -> Option<[u8; 32]> {
        let later = (after_ms.saturating_add(1), [0; 32])..;
        self.by_expiry.range(later).next().map(|(_, name)| *name)
    }

    /// Whether something is kept that no longer holds.
    pub(super) fn has_expired(&self, now_ms: u64) -> bool {
        let first = self.by_expiry.get_min();
        first.is_some_and(|(expires_ms, _)| *expires_ms <= now_ms)
    }

    /// Forgets what no longer holds.
    pub(super) fn prune(&mut self, now_ms: u64) {
        while let Some((expires_ms, name)) = self.by_expiry.get_min().copied()
            && expires_ms <= now_ms
        {
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &[u8; 32]) {
        if let Some(budget) = self.by_name.remove(name) {
            self.by_expiry.remove(&(budget.expires_ms, *name));
        }
    }
}

impl TenantState {
    /// Erasures not dark yet whose data the epochs up to `epoch` can open: at
    /// most `limit` of them, oldest epoch first.
    pub fn erasures_waiting_for(&self, epoch: u32, limit: usize) -> Vec<ErasureId> {
        let waiting = self.pending_erasures.iter();
        waiting
            .take_while(|(waits_for, _)| *waits_for <= epoch)
            .map(|(_, id)| *id)
            .take(limit)
            .collect()
    }

    pub(super) fn keep_erasure(&mut self, id: ErasureId, erasure: Erasure) {
        match erasure.status {
            ErasureStatus::Dark { .. } => self.pending_erasures.remove(&(erasure.epoch, id)),
            _ => self.pending_erasures.insert((erasure.epoch, id)),
        };
        self.erasures.insert(id, Arc::new(erasure));
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::FaceErased {
            handle,
            id,
            erasure,
            failures,
            locked_until_ms,
        } => {
            state.throttle.leave(handle, erasure.requested_ms);
            erase_face(state, handle, *failures, *locked_until_ms);
            state.keep_erasure(*id, erasure.clone());
        }
        Event::VoiceErased {
            handle,
            id,
            erasure,
            ..
        } => {
            state.throttle.leave(handle, erasure.requested_ms);
            approval::withdraw(state, handle, |grant| grant.with == GrantedWith::Voice);
            voice::apply(state, event);
            state.keep_erasure(*id, erasure.clone());
        }
        Event::SubjectErased {
            handle,
            id,
            erasure,
        } => {
            state.throttle.leave(handle, erasure.requested_ms);
            erase_subject(state, handle, erasure.requested_ms);
            state.keep_erasure(*id, erasure.clone());
        }
        Event::BudgetKept {
            salt,
            name,
            budget,
            at_ms,
        } => {
            state.kept.prune(*at_ms);
            state.kept.keep(*salt, *name, *budget);
        }
        Event::BudgetTakenUp {
            handle,
            name,
            failures,
            locked_until_ms,
        } => {
            state.kept.remove(name);
            strangers::taken_up(state, name);
            with(state, handle, |subject| {
                subject.attempts.failures = *failures;
                subject.attempts.locked_until_ms = *locked_until_ms;
            });
        }
        Event::ErasuresDarkened { .. } => darken(state, event),
        _ => {}
    }
}

fn erase_face(
    state: &mut TenantState,
    handle: &SubjectHandle,
    failures: u32,
    locked_until_ms: Option<u64>,
) {
    state.faces_matched.remove(handle);
    state.frames_seen.remove(handle);
    approval::withdraw(state, handle, |grant| grant.with == GrantedWith::Face);
    let mut enrollment = None;
    fused::spend(state, handle);
    let subject = state.subjects.get(handle);
    let reserved = subject.map(|known| voice::under_way(state, handle, &known.attempts));
    with(state, handle, |subject| {
        subject.face = None;
        enrollment = subject.enrollment.take();
        subject.attempts = Attempts {
            failures,
            reserved: reserved.unwrap_or_default(),
            locked_until_ms,
        };
    });
    if let Some(id) = enrollment {
        state.enrollments.remove(&id);
    }
}

fn erase_subject(state: &mut TenantState, handle: &SubjectHandle, at_ms: u64) {
    super::device::forget(state, handle);
    super::risk::forget(state, handle);
    super::ruling::forget(state, handle);
    state.sessions.end_all_of(*handle);
    state.faces_matched.remove(handle);
    state.transforms.remove(handle);
    state.frames_seen.remove(handle);
    let Some(subject) = state.subjects.remove(handle) else {
        return;
    };
    state.users.remove(&subject.user);
    for id in subject.passkeys.keys() {
        state.credentials.remove(&**id);
    }
    let voice = state.voices.remove(handle);
    state.fused.remove(handle);
    let enrolling = [subject.enrollment, voice.and_then(|voice| voice.enrollment)];
    for id in enrolling.iter().flatten() {
        state.enrollments.remove(id);
    }
    approval::forget(state, handle, at_ms);
}

fn darken(state: &mut TenantState, event: &Event) {
    let Event::ErasuresDarkened {
        ids,
        at_ms,
        receipt,
        statements,
        depends_on,
    } = event
    else {
        return;
    };
    let digests: Vec<[u8; 32]> = statements.iter().map(Deletion::digest).collect();
    for (digest, deletion) in digests.iter().zip(statements) {
        state.deletions.insert(*digest, Arc::new(deletion.clone()));
    }
    for id in ids {
        let Some(erasure) = state.erasures.get(id) else {
            continue;
        };
        let mut erasure = Erasure::clone(erasure);
        erasure.status = match depends_on.is_empty() {
            true => ErasureStatus::Dark {
                at_ms: *at_ms,
                receipt: *receipt,
            },
            false => ErasureStatus::Depends,
        };
        erasure.depends_on.clone_from(depends_on);
        erasure.statements.clone_from(&digests);
        state.keep_erasure(*id, erasure);
    }
}
