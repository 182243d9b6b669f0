//! Whether who enrols a face is a customer already, under another name; and enrolments that
//! were refused for it.
//!
//! Protects against asking an enrolment who is a customer: of how many customers the faces
//! were refused within a day is counted, whatever names were tried. One face that is tried
//! again and again counts once, so that nobody shuts enrolment with their own.

use redoubt_shared::EnrollmentId;

use super::event::Event;
use super::state::{EnrollmentStatus, SubjectHandle, TenantState};

/// Refused enrolments are counted for a day.
const COUNTED_MS: u64 = 24 * 60 * 60 * 1000;

/// What a tenant's officers decided of duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateRules {
    /// Whether who is found is refused; otherwise it is told.
    pub refuse: bool,
    /// Of a million searches, how many may find somebody who is somebody else.
    pub per_million: u32,
    /// Customers whose faces were refused to others within a day, from which on no face is
    /// enrolled.
    pub refused_per_day: u32,
}

/// What one search came to. It is made beside the core, and recorded: a replay makes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searched {
    /// Other customers whose faces were compared.
    pub people: u64,
    /// Those whose faces another model measured.
    pub incomparable: u64,
    /// Of a million such searches so many find a stranger, at most.
    pub per_million: u32,
    /// Who is most alike of those that are alike enough.
    pub found: Option<SubjectHandle>,
}

impl TenantState {
    /// Until when no face is enrolled, Unix milliseconds: too many were refused within a day.
    pub fn duplicates_shut_until(&self, most: u32, now_ms: u64) -> Option<u64> {
        let all = self.duplicates_refused.iter().rev();
        let counting = all.map(|(at_ms, _)| at_ms.saturating_add(COUNTED_MS));
        let mut counting = counting.filter(|until_ms| *until_ms > now_ms);
        counting.nth(most.saturating_sub(1) as usize)
    }
}

/// The events of this room.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    if let Event::DuplicateRefused { id, at_ms, found } = event {
        let since_ms = at_ms.saturating_sub(COUNTED_MS);
        let all = state.duplicates_refused.iter();
        let counting = all.filter(|(then_ms, _)| *then_ms > since_ms);
        state.duplicates_refused = counting.copied().collect();
        let mut known = state.duplicates_refused.iter();
        if !known.any(|(_, counted)| counted == found) {
            state.duplicates_refused.insert((*at_ms, *found));
        }
        close(state, id);
    }
}

fn close(state: &mut TenantState, id: &EnrollmentId) {
    if let Some(enrollment) = state.enrollments.get_mut(id) {
        enrollment.status = EnrollmentStatus::Refused;
    }
}
