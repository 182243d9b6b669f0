//! Digits that a voice is asked to read: what answers them, and what came of it.

use redoubt_shared::ChallengeId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::biometrics::Sample;
use super::text::id;
use crate::core::SpokenLapse;

/// Answers a challenge that asked for digits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpokenAnswer {
    /// From the reply of `liveness/challenge` for `voice`.
    #[serde(with = "id")]
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub challenge_id: ChallengeId,
    /// WAV, FLAC or Opus (in Ogg or WebM) of the customer reading the digits one by one, in base64 (standard or url alphabet), at most 8 MiB before encoding.
    #[schema(value_type = String, min_length = 2, pattern = r"^(([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?|([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw](==)?|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?)?)$")]
    pub audio: Sample,
}

/// Why a recording is no answer to the digits that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DigitsLapse {
    /// Not as many words were heard as digits were asked for.
    WordsCount,
    /// The words do not sound like these digits in this order.
    OtherDigits,
    /// It does not sound like one person throughout.
    SeveralPeople,
}

/// What came of digits that a voice was asked to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SpokenDigits {
    /// Whether one person read what was asked, in order.
    pub passed: bool,
    /// What was wrong.
    pub lapse: Option<DigitsLapse>,
    /// For the customer.
    pub told: &'static str,
}

impl SpokenDigits {
    /// With what was wrong, if anything was.
    pub fn new(judged: Result<(), SpokenLapse>) -> Self {
        let lapse = judged.err();
        Self {
            passed: lapse.is_none(),
            lapse: lapse.map(DigitsLapse::from),
            told: lapse.map_or("Well done.", told),
        }
    }
}

impl From<SpokenLapse> for DigitsLapse {
    fn from(lapse: SpokenLapse) -> Self {
        match lapse {
            SpokenLapse::WordsCount => Self::WordsCount,
            SpokenLapse::OtherDigits => Self::OtherDigits,
            SpokenLapse::SeveralPeople => Self::SeveralPeople,
        }
    }
}

/// What to do about it, in the customer's words.
fn told(lapse: SpokenLapse) -> &'static str {
    match lapse {
        SpokenLapse::WordsCount => {
            "Read each digit as one word, with a short pause after it, and say nothing else."
        }
        SpokenLapse::OtherDigits => "Read the digits clearly and in their order.",
        SpokenLapse::SeveralPeople => "Read all digits yourself, in a quiet place.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lapse_has_its_word_in_claims_and_replies_and_something_to_tell() {
        for lapse in [
            SpokenLapse::WordsCount,
            SpokenLapse::OtherDigits,
            SpokenLapse::SeveralPeople,
        ] {
            let shown = serde_json::to_value(SpokenDigits::new(Err(lapse))).unwrap();
            assert_eq!(shown["lapse"], lapse.name());
            assert_eq!(shown["passed"], false);
            assert!(shown["told"].as_str().unwrap().len() > 20);
        }
        let shown = serde_json::to_value(SpokenDigits::new(Ok(()))).unwrap();
        let wanted = serde_json::json!({ "passed": true, "lapse": null, "told": "Well done." });
        assert_eq!(shown, wanted);
    }
}
