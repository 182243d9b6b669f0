//! Frames that a customer's challenges were answered with, and what came of an answer.
//!
//! Protects against a recording played again: marks of frames are kept for each customer,
//! sealed and erased with them, and an answer with frames of before is none. A bounded
//! number is kept, so what is older than that is forgotten (docs/liveness.md).

use std::sync::Arc;

use redoubt_shared::UserId;
use serde::{Deserialize, Serialize};

use super::command::{Comparison, SampleUse};
use super::event::Event;
use super::state::{SubjectHandle, TenantState};
use super::voice::Modality;

/// Frames of one customer that are kept; the oldest give way.
pub const FRAMES_KEPT: usize = 240;
/// Prints that differ in so many of their 256 bits, or in fewer, are of alike pictures.
const NEAR_BITS: u32 = 4;
/// So many in four of its frames must be like frames of before for an answer to be one of
/// before: recoded ones are in 83 to 100 of 100, those of a person who tries again in the
/// same chair in up to 58, as far as made-up frames can tell (docs/liveness.md).
const LIKE_OF_FOUR: usize = 3;

/// A move that a challenge asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Move {
    /// The head to the person's own left.
    TurnLeft,
    /// The head to the person's own right.
    TurnRight,
    /// The head up.
    LookUp,
    /// Both eyes shut, and open again.
    Blink,
}

impl Move {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TurnLeft => "turn_left",
            Self::TurnRight => "turn_right",
            Self::LookUp => "look_up",
            Self::Blink => "blink",
        }
    }
}

/// Why frames are no answer to a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// Two frames are one and the same file.
    FrameRepeated,
    /// The pictures are not of one camera, or the face jumps in them.
    Jumped,
    /// They do not begin with an open-eyed face that looks into the camera.
    NotFrontal,
    /// Not all of them show the same person.
    SeveralPeople,
    /// The first move that was asked for and was not seen.
    NotDone(Move),
    /// This one was seen where another was asked for, or none any more.
    OtherMove(Move),
    /// Frames of an earlier answer are among them.
    SeenBefore,
}

impl Lapse {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameRepeated => "frame_repeated",
            Self::Jumped => "jumped",
            Self::NotFrontal => "not_frontal",
            Self::SeveralPeople => "several_people",
            Self::NotDone(_) => "not_done",
            Self::OtherMove(_) => "other_move",
            Self::SeenBefore => "seen_before",
        }
    }

    /// Which move it is about, if it is about one.
    pub const fn about(self) -> Option<Move> {
        match self {
            Self::NotDone(one) | Self::OtherMove(one) => Some(one),
            _ => None,
        }
    }
}

/// What is kept of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMark {
    /// The first bytes of the SHA-256 of the frame as it was sent.
    pub digest: [u8; 8],
    /// What it looks like from afar.
    pub print: [u8; 32],
}

impl FrameMark {
    /// What a veil covers is as near to what it covers as without: alike under one name,
    /// and nothing under two.
    fn put_under(&mut self, (digest, print): &([u8; 32], [u8; 32])) {
        let all = self.digest.iter_mut().zip(digest);
        all.for_each(|(byte, veil)| *byte ^= veil);
        let all = self.print.iter_mut().zip(print);
        all.for_each(|(byte, veil)| *byte ^= veil);
    }

    fn is_like(&self, other: &Self) -> bool {
        let pairs = self.print.iter().zip(&other.print);
        pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() <= NEAR_BITS
    }
}

/// An answer to a challenge, as far as its frames alone tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Performed {
    /// What is wrong with it.
    pub lapse: Option<Lapse>,
    /// Whether a face counts only with a right one.
    pub required: bool,
    /// Of its frames, in their order.
    pub marks: Vec<FrameMark>,
    /// What a rejection names in place of the template that was like it.
    pub instead: Option<Box<Instead>>,
}

/// A made-up template's sample, and its parts where two were compared.
pub type Instead = (SampleUse, Vec<(Modality, SampleUse)>);

/// Members of a claim about a challenge; none where nobody was challenged.
pub(super) fn tell(performed: Option<&Performed>, own: &mut serde_json::Value) {
    let Some(performed) = performed else { return };
    let Some(lapse) = performed.lapse else {
        own["active_liveness"] = "passed".into();
        return;
    };
    own["active_liveness"] = "failed".into();
    own["active_liveness_lapse"] = lapse.name().into();
    if let Some(about) = lapse.about() {
        own["active_liveness_move"] = about.name().into();
    }
}

/// The answer with what is known of answers before, and its marks to keep.
pub(super) fn weighed(
    state: &TenantState,
    (handle, user): (SubjectHandle, &UserId),
    performed: Option<&Performed>,
) -> (Option<Performed>, Option<Event>) {
    let Some(performed) = performed else {
        return (None, None);
    };
    let mut weighed = performed.clone();
    let mut marks = performed.marks.clone();
    if handle == SubjectHandle::NOBODY {
        let veil = state.kept.veil(user);
        marks.iter_mut().for_each(|mark| mark.put_under(&veil));
    }
    if state.has_seen(&handle, &marks) {
        weighed.lapse = Some(Lapse::SeenBefore);
    }
    (Some(weighed), Some(Event::FramesSeen { handle, marks }))
}

impl Comparison {
    /// What was wrong with the answer to a challenge.
    pub(super) fn lapse(&self) -> Option<Lapse> {
        self.sample.performed.as_ref().and_then(|one| one.lapse)
    }

    /// The comparison with its challenge weighed: where policy requires one, a face with
    /// a wrong answer does not count, and does not learn that it matches.
    pub(super) fn with(mut self, mut performed: Option<Performed>) -> Self {
        let instead = performed.as_mut().and_then(|one| one.instead.take());
        let barred = |one: &Performed| one.required && one.lapse.is_some();
        if performed.as_ref().is_some_and(barred) {
            self.accepted = false;
            self.confidence = 0.0;
            if let Some(instead) = instead {
                (self.sample, self.parts) = *instead;
            }
        }
        self.sample.performed = performed;
        self
    }
}

impl TenantState {
    /// Whether one of these frames was sent before, or most of them look like frames that
    /// were.
    fn has_seen(&self, handle: &SubjectHandle, marks: &[FrameMark]) -> bool {
        let Some(kept) = self.frames_seen.get(handle) else {
            return false;
        };
        let same = |mark: &&FrameMark| kept.iter().any(|known| known.digest == mark.digest);
        let like = |mark: &&FrameMark| kept.iter().any(|known| known.is_like(mark));
        let alike = marks.iter().filter(like).count();
        marks.iter().any(|mark| same(&mark)) || alike * 4 >= marks.len().max(1) * LIKE_OF_FOUR
    }
}

/// The event of this room. Those of a subject that is gone change nothing.
pub(super) fn apply(state: &mut TenantState, event: &Event) {
    if let Event::FramesSeen { handle, marks } = event
        && state.subjects.contains_key(handle)
    {
        let kept = state.frames_seen.get(handle);
        let mut kept = kept.map_or_else(Vec::new, |kept| kept.to_vec());
        kept.extend_from_slice(marks);
        let surplus = kept.len().saturating_sub(FRAMES_KEPT);
        kept.drain(..surplus);
        state.frames_seen.insert(*handle, Arc::from(kept));
    }
}
