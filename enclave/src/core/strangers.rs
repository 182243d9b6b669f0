//! Attempts in names that nobody has, as far as replies to them depend on what was
//! tried before: which are under way, and which failed lately.
//!
//! Protects against finding out who banks here: a customer's replies depend on the same.
//! Names are salted hashes, as in what is kept of their budgets (`erasure`).

use imbl::{OrdMap, OrdSet};
use redoubt_shared::VerificationId;

use super::event::Event;
use super::risk::{Act, FAILURES_MS};
use super::state::TenantState;

/// A hashed name.
type Name = [u8; 32];

/// Failures that are known at once; the oldest gives way.
const FAILED_MAX: usize = 65_536;

/// All of one tenant. A clone shares everything with its original.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Strangers {
    under_way: OrdMap<VerificationId, (Name, Act)>,
    failed: OrdSet<(Name, Act, u64, VerificationId)>,
    by_time: OrdSet<(u64, Name, Act, VerificationId)>,
}

impl Strangers {
    /// How many attempts in this name are under way.
    pub fn open(&self, name: &Name) -> u32 {
        let all = self.under_way.values();
        all.filter(|(of, _)| of == name).count() as u32
    }

    /// Whether this attempt is under way in this name.
    pub fn holds(&self, id: &VerificationId, name: &Name) -> bool {
        let held = self.under_way.get(id);
        held.is_some_and(|(of, _)| of == name)
    }

    /// How many of one kind failed in this name since `since_ms`, Unix milliseconds.
    pub fn failed(&self, name: &Name, act: Act, since_ms: u64) -> usize {
        let (first, last) = (
            VerificationId::from_bytes([0; 16]),
            VerificationId::from_bytes([0xff; 16]),
        );
        let range = (*name, act, since_ms, first)..=(*name, act, u64::MAX, last);
        self.failed.range(range).count()
    }

    /// Everything under way, for a snapshot.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (VerificationId, Name, Act)> {
        let all = self.under_way.iter();
        all.map(|(id, (name, act))| (*id, *name, *act))
    }

    /// Everything that failed lately, for a snapshot.
    pub(super) fn lately(&self) -> impl Iterator<Item = (u64, Name, Act, VerificationId)> {
        self.by_time.iter().copied()
    }

    /// Takes over an attempt that is under way.
    pub(super) fn begin(&mut self, id: VerificationId, name: Name, act: Act) {
        self.under_way.insert(id, (name, act));
    }

    /// Takes over one that failed.
    pub(super) fn keep(&mut self, (at_ms, name, act, id): (u64, Name, Act, VerificationId)) {
        self.failed.insert((name, act, at_ms, id));
        self.by_time.insert((at_ms, name, act, id));
    }

    fn end(&mut self, id: &VerificationId, failed_ms: Option<u64>) {
        let ended = self.under_way.remove(id);
        if let (Some((name, act)), Some(at_ms)) = (ended, failed_ms) {
            self.keep((at_ms, name, act, *id));
            self.prune(at_ms);
        }
    }

    fn prune(&mut self, now_ms: u64) {
        while let Some(first) = self.by_time.get_min().copied()
            && (first.0.saturating_add(FAILURES_MS) < now_ms || self.by_time.len() > FAILED_MAX)
        {
            let (at_ms, name, act, id) = first;
            self.by_time.remove(&first);
            self.failed.remove(&(name, act, at_ms, id));
        }
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::StrangerTried { name, id, act } => state.strangers.begin(*id, *name, *act),
        Event::AttemptEnded { id, failed_ms } => state.strangers.end(id, *failed_ms),
        _ => {}
    }
}

/// What a dead term left under way counts as failed, which it does since it began; a
/// name whose budget is used up, by that or under the policy of now, is locked, as a
/// customer is. What no longer holds or speaks is forgotten.
pub(super) fn begin_term(state: &mut TenantState, at_ms: u64, max_failures: u32, lockout_ms: u64) {
    let until_ms = at_ms.saturating_add(lockout_ms);
    let left = std::mem::take(&mut state.strangers.under_way);
    for (name, _) in left.values() {
        state.kept.lock_used_up(name, max_failures, until_ms);
    }
    state.kept.lock_unlocked(at_ms, max_failures, until_ms);
    state.strangers.prune(at_ms);
    state.kept.prune(at_ms);
    forget_salt(state);
}

/// What was lost may have spent every attempt, in whatever name. Failures go on
/// speaking, as in customers' histories.
pub(super) fn restore(state: &mut TenantState, until_ms: u64) {
    state.strangers.under_way.clear();
    state.kept.lock_all(until_ms);
}

/// Somebody took the name over with what was spent in it: its attempts under way stay
/// spent, and change nothing that is kept of it later.
pub(super) fn taken_up(state: &mut TenantState, name: &Name) {
    let all = state.strangers.under_way.iter();
    let own: Vec<_> = all
        .filter(|(_, (of, _))| of == name)
        .map(|(id, _)| *id)
        .collect();
    for id in &own {
        state.strangers.under_way.remove(id);
    }
    forget_salt(state);
}

/// Names are hashed under another salt once nothing of any is known.
fn forget_salt(state: &mut TenantState) {
    let strangers = &state.strangers;
    if state.kept.by_name.is_empty()
        && strangers.under_way.is_empty()
        && strangers.failed.is_empty()
    {
        state.kept.salt = None;
    }
}
