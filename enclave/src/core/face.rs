//! When a customer's face last matched, for as long as that is told.

use super::event::Event;
use super::state::{SubjectHandle, TenantState};

/// For how long it is told, in milliseconds.
const TOLD_MS: u64 = 5 * 60_000;

impl TenantState {
    /// When this subject's face matched, if that is told at `now_ms`, Unix milliseconds.
    pub fn face_matched(&self, subject: &SubjectHandle, now_ms: u64) -> Option<u64> {
        let at_ms = self.faces_matched.get(subject).copied();
        at_ms.filter(|at_ms| is_told(*at_ms, now_ms))
    }
}

fn is_told(at_ms: u64, now_ms: u64) -> bool {
    now_ms < at_ms.saturating_add(TOLD_MS)
}

/// Forgets what is told no more.
pub(super) fn forget(state: &mut TenantState, now_ms: u64) {
    let all = state.faces_matched.iter();
    let told = all.filter(|(_, at_ms)| is_told(**at_ms, now_ms));
    state.faces_matched = told.map(|(handle, at_ms)| (*handle, *at_ms)).collect();
}

/// The events of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    if let Event::FaceMatched { handle, at_ms } = event
        && state.subjects.contains_key(handle)
    {
        state.faces_matched.insert(*handle, *at_ms);
    }
}
