//! Customers' voices, beside what [`Subject`](super::Subject) knows of them.
//!
//! Protects the face: a customer has one budget of attempts, and a voice, which a
//! loudspeaker may have, takes back only what voices failed. A face takes back only
//! what faces failed, and what nobody can say of; both together only what both together
//! failed ([`Fused`](super::Fused)).

use std::sync::Arc;

use redoubt_shared::{EnrollmentId, VerificationId};
use serde::{Deserialize, Serialize};

use super::apply::with;
use super::event::Event;
use super::fused::{self, Means};
use super::state::{Attempts, SubjectHandle, Template, TenantState};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modality {
    /// A face.
    Face,
    /// A voice.
    Voice,
}

impl Modality {
    /// As claims name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Face => "facial",
            Self::Voice => "voice",
        }
    }
}

/// One customer's voice.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Voice {
    /// The template, if enrolled.
    pub template: Option<Template>,
    /// The latest enrolment; a new one takes the place of one that waits.
    pub enrollment: Option<EnrollmentId>,
    /// Which of the attempts under way are a voice's.
    pub reserved: Vec<VerificationId>,
    /// How many of the failures in a row are a voice's.
    pub failures: u32,
}

impl TenantState {
    /// What a customer enrolled.
    pub fn template(&self, subject: &SubjectHandle, modality: Modality) -> Option<Arc<Template>> {
        match modality {
            Modality::Face => self.subjects.get(subject)?.face.clone(),
            Modality::Voice => self.voices.get(subject)?.template.clone().map(Arc::new),
        }
    }

    /// The latest enrolment of a customer.
    pub(super) fn enrollment_of(
        &self,
        subject: &SubjectHandle,
        modality: Modality,
    ) -> Option<EnrollmentId> {
        match modality {
            Modality::Face => self.subjects.get(subject)?.enrollment,
            Modality::Voice => self.voices.get(subject)?.enrollment,
        }
    }

    /// What an enrolment of a customer is of.
    pub(super) fn enrolled_by(&self, subject: &SubjectHandle, id: EnrollmentId) -> Modality {
        let voice = self.voices.get(subject);
        match voice.is_some_and(|voice| voice.enrollment == Some(id)) {
            true => Modality::Voice,
            false => Modality::Face,
        }
    }

    /// What an attempt of a customer is made with.
    pub(super) fn attempted_by(&self, subject: &SubjectHandle, id: VerificationId) -> Means {
        let (voice, fused) = (self.voices.get(subject), self.fused.get(subject));
        if fused.is_some_and(|fused| fused.reserved.contains(&id)) {
            return Means::Both;
        }
        match voice.is_some_and(|voice| voice.reserved.contains(&id)) {
            true => Means::Voice,
            false => Means::Face,
        }
    }
}

/// Stores a voice's template.
pub(super) fn store(state: &mut TenantState, handle: &SubjectHandle, template: &Template) {
    change(state, handle, |voice| {
        voice.template = Some(Template::clone(template));
    });
}

/// Changes what is known of a voice; where nothing is left to know, it is gone.
fn change(state: &mut TenantState, handle: &SubjectHandle, change: impl FnOnce(&mut Voice)) {
    if !state.subjects.contains_key(handle) {
        return;
    }
    let mut voice = state.voices.get(handle).cloned().unwrap_or_default();
    change(Arc::make_mut(&mut voice));
    match *voice == Voice::default() {
        true => state.voices.remove(handle),
        false => state.voices.insert(*handle, voice),
    };
}

/// An attempt ended without a comparison.
pub(super) fn released(state: &mut TenantState, handle: &SubjectHandle, id: &VerificationId) {
    change(state, handle, |voice| {
        voice.reserved.retain(|other| other != id);
    });
    fused::change(state, handle, |fused| {
        fused.reserved.retain(|other| other != id);
    });
}

/// An attempt ended with one. Returns how many failures in a row there are now.
pub(super) fn concluded(
    state: &mut TenantState,
    handle: &SubjectHandle,
    id: &VerificationId,
    accepted: bool,
    failures: u32,
) -> u32 {
    let means = state.attempted_by(handle, *id);
    let after = |by: Means, failures: u32| match (by == means, accepted) {
        (true, true) => 0,
        (true, false) => failures + 1,
        (false, _) => failures,
    };
    let (mut of_voice, mut of_both) = (0, 0);
    change(state, handle, |voice| {
        voice.reserved.retain(|other| other != id);
        of_voice = voice.failures;
        voice.failures = after(Means::Voice, of_voice);
    });
    fused::change(state, handle, |fused| {
        fused.reserved.retain(|other| other != id);
        of_both = fused.failures;
        fused.failures = after(Means::Both, of_both);
    });
    match (accepted, means) {
        (false, _) => failures + 1,
        (true, Means::Voice) => failures.saturating_sub(of_voice),
        (true, Means::Both) => failures.saturating_sub(of_both),
        (true, Means::Face) => (of_voice + of_both).min(failures),
    }
}

/// A lock ran out: no failure counts any more.
pub(super) fn made_whole(state: &mut TenantState, handle: &SubjectHandle) {
    change(state, handle, |voice| voice.failures = 0);
    fused::change(state, handle, |fused| fused.failures = 0);
}

/// What a dead term left under way: `failed` says whether it counts.
pub(super) fn begin_term(state: &mut TenantState, failed: bool) {
    fused::begin_term(state, failed);
    let all = state.voices.iter();
    let touched = all.filter(|(_, voice)| !voice.reserved.is_empty());
    let touched: Vec<SubjectHandle> = touched.map(|(handle, _)| *handle).collect();
    for handle in touched {
        change(state, &handle, |voice| {
            // Strangers' names keep their own counts.
            if failed && handle != SubjectHandle::NOBODY {
                voice.failures += voice.reserved.len() as u32;
            }
            voice.reserved.clear();
        });
    }
}

/// What stays under way when a customer's face is erased.
pub(super) fn under_way(
    state: &TenantState,
    handle: &SubjectHandle,
    attempts: &Attempts,
) -> Vec<VerificationId> {
    let all = attempts.reserved.iter().copied();
    all.filter(|id| state.attempted_by(handle, *id) == Means::Voice)
        .collect()
}

/// The events of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    match event {
        Event::VoiceEnrollmentBegan { id, enrollment } => {
            let mut earlier = None;
            change(state, &enrollment.subject, |voice| {
                earlier = voice.enrollment.replace(*id);
            });
            if let Some(earlier) = earlier {
                state.enrollments.remove(&earlier);
            }
            state.enrollments.insert(*id, enrollment.clone());
        }
        Event::VoiceEnrolled {
            handle, template, ..
        } => store(state, handle, template),
        Event::VoiceTried { handle, id } => {
            change(state, handle, |voice| voice.reserved.push(*id));
        }
        Event::VoiceErased {
            handle,
            failures,
            locked_until_ms,
            ..
        } => erase(state, handle, *failures, *locked_until_ms),
        _ => {}
    }
}

/// Its attempts under way are spent: their verdicts would be about a template that
/// is gone.
fn erase(
    state: &mut TenantState,
    handle: &SubjectHandle,
    failures: u32,
    locked_until_ms: Option<u64>,
) {
    let (mut enrollment, mut spent) = (None, Vec::new());
    change(state, handle, |voice| {
        voice.template = None;
        enrollment = voice.enrollment.take();
        spent = std::mem::take(&mut voice.reserved);
        voice.failures += spent.len() as u32;
    });
    spent.extend(fused::spend(state, handle));
    with(state, handle, |subject| {
        let attempts = &mut subject.attempts;
        attempts.reserved.retain(|id| !spent.contains(id));
        attempts.failures = failures;
        attempts.locked_until_ms = locked_until_ms;
    });
    if let Some(id) = enrollment {
        state.enrollments.remove(&id);
    }
}
