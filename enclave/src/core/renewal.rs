//! Numbers of the transforms that templates are under, and templates under a new one.
//!
//! Protects renewability: a number that a subject's templates were under once is never
//! theirs again along one history, after an erasure, a crash or a restore neither, so that
//! what somebody kept of an earlier template never fits a later one. Two histories that
//! go on from one copy may use one number twice (docs/threat-model.md).

use std::sync::Arc;

use super::apply::with;
use super::event::Event;
use super::state::{SubjectHandle, Template, TenantState};
use super::voice;

/// Numbers that entries lost before a restore may have used.
const LOST: u32 = 1 << 16;

impl TenantState {
    /// The number that the next template of this subject is under, faces and voices
    /// counted together; none when all are used up.
    pub fn next_transform(&self, subject: &SubjectHandle) -> Option<u32> {
        let last = self.transforms.get(subject).copied();
        last.unwrap_or_default().checked_add(1)
    }
}

/// The number of a template that is stored now is used.
pub(super) fn used(state: &mut TenantState, subject: &SubjectHandle, number: u32) {
    let last = state.transforms.get(subject).copied().unwrap_or_default();
    if number > last && state.subjects.contains_key(subject) {
        state.transforms.insert(*subject, number);
    }
}

/// What was lost before a restore may have used numbers: they are left out.
pub(super) fn leave_out(state: &mut TenantState) {
    let subjects: Vec<SubjectHandle> = state.subjects.keys().copied().collect();
    for subject in subjects.iter().filter(|one| **one != SubjectHandle::NOBODY) {
        let last = state.transforms.get(subject).copied().unwrap_or_default();
        state.transforms.insert(*subject, last.saturating_add(LOST));
    }
}

/// The events of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::FaceRenewed { handle, template } => {
            used(state, handle, template.transform);
            with(state, handle, |subject| {
                subject.face = Some(Arc::new(Template::clone(template)));
            });
        }
        Event::VoiceRenewed { handle, template } => {
            used(state, handle, template.transform);
            voice::store(state, handle, template);
        }
        _ => {}
    }
}
