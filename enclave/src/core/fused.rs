//! Attempts made with a face and a voice together.
//!
//! Protects the face and the voice: such an attempt is spent of the one budget, and a
//! match takes back only what such attempts failed. So whoever has a recording of the
//! voice, and needs less of a face for it (`biometrics/fusion.rs`), regains no attempt
//! that a face alone failed.

use std::sync::Arc;

use redoubt_shared::VerificationId;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::risk::Act;
use super::state::{SubjectHandle, TenantState};
use super::voice::Modality;

/// What an attempt is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A face.
    Face,
    /// A voice.
    Voice,
    /// A face and a voice, their scores fused.
    Both,
}

impl From<Modality> for Means {
    fn from(modality: Modality) -> Self {
        match modality {
            Modality::Face => Self::Face,
            Modality::Voice => Self::Voice,
        }
    }
}

impl Means {
    /// As claims name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Face => Modality::Face.name(),
            Self::Voice => Modality::Voice.name(),
            Self::Both => "multimodal",
        }
    }

    /// What must be enrolled for it to match, in the order of a comparison's parts.
    pub const fn modalities(self) -> &'static [Modality] {
        match self {
            Self::Face => &[Modality::Face],
            Self::Voice => &[Modality::Voice],
            Self::Both => &[Modality::Face, Modality::Voice],
        }
    }

    /// A comparison with it.
    pub(super) const fn act(self) -> Act {
        match self {
            Self::Face => Act::Face,
            Self::Voice => Act::Voice,
            Self::Both => Act::Both,
        }
    }

    /// The event, behind the reservation of an attempt, that says what it is made with.
    pub(super) const fn tried(self, handle: SubjectHandle, id: VerificationId) -> Option<Event> {
        match self {
            Self::Face => None,
            Self::Voice => Some(Event::VoiceTried { handle, id }),
            Self::Both => Some(Event::FusedTried { handle, id }),
        }
    }
}

/// One customer's attempts with both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fused {
    /// Which of the attempts under way are made with both.
    pub reserved: Vec<VerificationId>,
    /// How many of the failures in a row are theirs.
    pub failures: u32,
}

/// Changes what is known of a customer's; where nothing is left to know, it is gone.
pub(super) fn change(
    state: &mut TenantState,
    handle: &SubjectHandle,
    change: impl FnOnce(&mut Fused),
) {
    if !state.subjects.contains_key(handle) {
        return;
    }
    let mut fused = state.fused.get(handle).cloned().unwrap_or_default();
    change(Arc::make_mut(&mut fused));
    match *fused == Fused::default() {
        true => state.fused.remove(handle),
        false => state.fused.insert(*handle, fused),
    };
}

/// What a dead term left under way: `failed` says whether it counts.
pub(super) fn begin_term(state: &mut TenantState, failed: bool) {
    let all = state.fused.iter();
    let touched = all.filter(|(_, fused)| !fused.reserved.is_empty());
    let touched: Vec<SubjectHandle> = touched.map(|(handle, _)| *handle).collect();
    for handle in touched {
        change(state, &handle, |fused| {
            // Strangers' names keep their own counts.
            if failed && handle != SubjectHandle::NOBODY {
                fused.failures += fused.reserved.len() as u32;
            }
            fused.reserved.clear();
        });
    }
}

/// One of both templates is gone: what was compared with it is spent, and counts.
/// Which attempts those are.
pub(super) fn spend(state: &mut TenantState, handle: &SubjectHandle) -> Vec<VerificationId> {
    let mut spent = Vec::new();
    change(state, handle, |fused| {
        spent = std::mem::take(&mut fused.reserved);
        fused.failures += spent.len() as u32;
    });
    spent
}

/// The events of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    if let Event::FusedTried { handle, id } = event {
        change(state, handle, |fused| fused.reserved.push(*id));
    }
}
