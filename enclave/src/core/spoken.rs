//! What came of digits that a customer was asked to read, as claims say it.
//!
//! Protects against a receipt that leaves open whether anything was asked: it says
//! `passed` or `failed` where digits were judged, and nothing where none were.

use serde_json::Value;

/// Why a recording is no answer to the digits that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpokenLapse {
    /// Not as many words as digits were asked for.
    WordsCount,
    /// The words do not sound like these digits in this order.
    OtherDigits,
    /// Its halves do not sound like one person.
    SeveralPeople,
}

impl SpokenLapse {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WordsCount => "words_count",
            Self::OtherDigits => "other_digits",
            Self::SeveralPeople => "several_people",
        }
    }
}

/// Members of a claim about digits; none where nobody was asked to read any.
pub(super) fn tell(spoken: Option<Result<(), SpokenLapse>>, own: &mut Value) {
    match spoken {
        None => {}
        Some(Ok(())) => own["spoken_digits"] = "passed".into(),
        Some(Err(lapse)) => {
            own["spoken_digits"] = "failed".into();
            own["spoken_digits_lapse"] = lapse.name().into();
        }
    }
}
