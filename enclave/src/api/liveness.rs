//! Challenges: what is asked before a camera or a microphone, and what frames answer.
//!
//! Protects against: frames that linger. Each is wiped when it is dropped, and a
//! refusal repeats nothing of them.

use std::fmt;

use redoubt_shared::limits::{FRAMES_MAX, FRAMES_MIN};
use redoubt_shared::{ChallengeId, UserId};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};

use super::biometrics::Sample;
use super::text::{Timestamp, id};
use crate::core::{Lapse, Move};

/// Asks for a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The bank's name for its customer.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: UserId,
    /// What is challenged: a face with moves, if left out, or a voice with digits.
    #[serde(default)]
    pub modality: ChallengeModality,
}

/// What is challenged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeModality {
    /// A face: moves before a camera.
    #[default]
    Facial,
    /// A voice: digits to read.
    Voice,
}

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LivenessAction {
    /// The head to the person's own left, and back.
    TurnLeft,
    /// The head to the person's own right, and back.
    TurnRight,
    /// The head up, and back.
    LookUp,
    /// Both eyes shut, and open again.
    Blink,
}

impl From<Move> for LivenessAction {
    fn from(asked: Move) -> Self {
        match asked {
            Move::TurnLeft => Self::TurnLeft,
            Move::TurnRight => Self::TurnRight,
            Move::LookUp => Self::LookUp,
            Move::Blink => Self::Blink,
        }
    }
}

/// What the customer is to do before the camera, or to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LivenessChallenge {
    /// Names the challenge: good once, for this customer.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub challenge_id: ChallengeId,
    /// What is challenged.
    pub modality: ChallengeModality,
    /// The moves, in this order, each followed by a look into the camera; none for a voice.
    pub actions: Vec<LivenessAction>,
    /// Of a voice: six digits to read one by one, in this order; null for a face.
    #[schema(min_length = 6, max_length = 6, pattern = "^[0-9]{6}$")]
    pub digits: Option<String>,
    /// For the customer.
    pub told: &'static str,
    /// When it ends unanswered (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Fewest frames that answer it; 0 for a voice, which frames do not answer.
    pub frames_min: usize,
    /// Most frames that answer it; 0 for a voice.
    pub frames_max: usize,
}

impl LivenessChallenge {
    /// Of a face.
    pub fn moves(id: ChallengeId, actions: &[LivenessAction], expires_at: Timestamp) -> Self {
        Self {
            challenge_id: id,
            modality: ChallengeModality::Facial,
            actions: actions.to_vec(),
            digits: None,
            told: "Look into the camera, then do what is asked, and look into the camera after each.",
            expires_at,
            frames_min: FRAMES_MIN,
            frames_max: FRAMES_MAX,
        }
    }

    /// Of a voice.
    pub fn digits(id: ChallengeId, digits: &[u8], expires_at: Timestamp) -> Self {
        let digits = digits.iter().map(u8::to_string);
        Self {
            challenge_id: id,
            modality: ChallengeModality::Voice,
            actions: Vec::new(),
            digits: Some(digits.collect()),
            told: "Read these digits aloud one by one, with a short pause after each.",
            expires_at,
            frames_min: 0,
            frames_max: 0,
        }
    }
}

/// Answers a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LivenessAnswer {
    /// From the reply of `liveness/challenge`.
    #[serde(with = "id")]
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub challenge_id: ChallengeId,
    /// 8 to 30 frames in the order they were taken, unmirrored, from before the first move
    /// on: JPEG, PNG or WebP of at most 4 million pixels each in base64 (standard or url
    /// alphabet), 8 MiB together before encoding.
    #[serde(deserialize_with = "few")]
    #[schema(schema_with = frames)]
    pub frames: Vec<Sample>,
}

/// Pictures in base64.
fn frames() -> Array {
    let picture = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(2))
        .pattern(Some(BASE64));
    ArrayBuilder::new()
        .description(Some(FRAMES))
        .items(picture)
        .min_items(Some(FRAMES_MIN))
        .max_items(Some(FRAMES_MAX))
        .build()
}

const FRAMES: &str = "8 to 30 frames in the order they were taken, unmirrored, from before the first move on: \
    JPEG, PNG or WebP of at most 4 million pixels each in base64 (standard or url alphabet), 8 MiB together \
    before encoding.";

/// Whole bytes in either alphabet.
const BASE64: &str = r"^(([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?|([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw](==)?|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?)?)$";

/// Frames, and of too many one more than there may be: a body full of empty ones takes no
/// more memory than its bytes.
fn few<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Sample>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<Sample>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list of frames")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Sample>, A::Error> {
            let mut frames = Vec::new();
            while frames.len() <= FRAMES_MAX {
                match list.next_element()? {
                    Some(frame) => frames.push(frame),
                    None => return Ok(frames),
                }
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(frames)
        }
    }
    list.deserialize_seq(Few)
}

impl LivenessAnswer {
    /// Whether there are as many frames as an answer has.
    pub fn is_counted(&self) -> bool {
        (FRAMES_MIN..=FRAMES_MAX).contains(&self.frames.len())
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> usize {
        let each = self.frames.iter().map(|frame| frame.as_bytes().len());
        each.sum()
    }
}

/// Why frames are no answer to their challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LivenessLapse {
    /// Two frames are one and the same.
    FrameRepeated,
    /// The pictures are not of one camera, or the face jumps in them.
    Jumped,
    /// They do not begin with an open-eyed look into the camera.
    NotFrontal,
    /// Not all of them show the same person.
    SeveralPeople,
    /// A move was not seen.
    NotDone,
    /// A move was seen that was not asked for, or not then.
    OtherMove,
    /// They were sent before, or look as if.
    SeenBefore,
}

/// What came of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActiveLiveness {
    /// Whether one person did what was asked, in order, before the camera.
    pub passed: bool,
    /// What was wrong.
    pub lapse: Option<LivenessLapse>,
    /// The move that it is about.
    pub action: Option<LivenessAction>,
    /// For the customer.
    pub told: &'static str,
}

impl ActiveLiveness {
    /// With what was wrong, if anything was.
    pub fn new(lapse: Option<Lapse>) -> Self {
        Self {
            passed: lapse.is_none(),
            lapse: lapse.map(LivenessLapse::from),
            action: lapse.and_then(Lapse::about).map(LivenessAction::from),
            told: lapse.map_or("Well done.", told),
        }
    }
}

impl From<Lapse> for LivenessLapse {
    fn from(lapse: Lapse) -> Self {
        match lapse {
            Lapse::FrameRepeated => Self::FrameRepeated,
            Lapse::Jumped => Self::Jumped,
            Lapse::NotFrontal => Self::NotFrontal,
            Lapse::SeveralPeople => Self::SeveralPeople,
            Lapse::NotDone(_) => Self::NotDone,
            Lapse::OtherMove(_) => Self::OtherMove,
            Lapse::SeenBefore => Self::SeenBefore,
        }
    }
}

/// What to do about it, in the customer's words.
pub fn told(lapse: Lapse) -> &'static str {
    match lapse {
        Lapse::FrameRepeated | Lapse::SeenBefore => "Do it again, live before the camera.",
        Lapse::Jumped => "Stay before the camera and move slowly.",
        Lapse::NotFrontal => "Look into the camera with open eyes before you begin.",
        Lapse::SeveralPeople => "Be alone before the camera.",
        Lapse::NotDone(Move::TurnLeft) => "Turn your head to the left and back.",
        Lapse::NotDone(Move::TurnRight) => "Turn your head to the right and back.",
        Lapse::NotDone(Move::LookUp) => "Raise your head and lower it again.",
        Lapse::NotDone(Move::Blink) => "Shut both eyes for a moment and open them again.",
        Lapse::OtherMove(_) => {
            "Do only what is asked, in its order, and look into the camera after each."
        }
    }
}
