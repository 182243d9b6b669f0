//! Did one person read the digits that were asked for, in their order?
//!
//! Protects against a recording made for another challenge, and against one that goes on
//! with somebody else's voice: as many words as digits, each sounding like its own digit,
//! and halves that sound alike. A machine that reads digits in the customer's voice
//! passes, and so do digits cut out of recordings and put together (docs/voices.md).

use redoubt_shared::worker::{SpokenSample, SpokenWord};

use super::{Space, angle};
pub use crate::core::SpokenLapse;

/// How many digits a challenge asks for.
pub const DIGITS: usize = 6;
/// Mean logarithm of the probabilities of the digits asked for, from which on they were
/// read. Of six words by a speaker whom the head never heard, this limit and the next take
/// 99.3 in a hundred, and of six other words none of 16,000 (docs/voices.md).
pub const SCORE_LEAST: f32 = -1.5;
/// By how much the logarithm of one word's likeliest digit may exceed that of the digit
/// asked for.
pub const BEATEN_MOST: f32 = 5.0;
/// Cosine of the two halves' embeddings from which on they may be one person's. Halves of
/// six digits hold little speech: one person's reach this in 99.5 of 100 recordings, those
/// of two people in 52, so that this finds the coarsest alone (docs/voices.md).
pub const HALVES_LEAST: f32 = 0.25;
/// Cosine of each half with the customer's template from which on it may be theirs: both
/// of the customer's reach it in 96 to 98 of 100 recordings, a second half by somebody else
/// in 5 to 9 (docs/voices.md).
pub const HALF_LEAST: f32 = 0.40;

/// Longest word, in milliseconds. The head looks at three windows of a word: in a longer one
/// stands speech that no window shows and that counts for the voice. Of 900 words of the
/// Free Spoken Digit Dataset 99 in 100 have 700 or less, the longest 730.
pub const WORD_MS_MAX: u32 = 800;

/// Six digits by a uniform number; each of the million strings as likely as any other, but
/// for one part in ten million millions.
pub fn drawn(random: u64) -> [u8; DIGITS] {
    let mut left = random;
    [(); DIGITS].map(|()| {
        let digit = (left % 10) as u8;
        left /= 10;
        digit
    })
}

/// Mean natural logarithm of the probability of each digit asked for, 0 at most. `None`
/// where there are not as many words as digits.
pub fn score(asked: &[u8; DIGITS], sample: &SpokenSample) -> Option<f32> {
    let logs = each(asked, sample)?.map(|(digit, word)| log(digit, word));
    Some(logs.iter().sum::<f32>() / DIGITS as f32)
}

/// By how much one word's likeliest digit exceeds the digit asked for, where it does so
/// most; a difference of natural logarithms, 0 where every word is its digit's.
pub fn beaten(asked: &[u8; DIGITS], sample: &SpokenSample) -> Option<f32> {
    let by = |(digit, word): (u8, &SpokenWord)| {
        let most = word
            .digits
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        most - log(digit, word)
    };
    Some(each(asked, sample)?.map(by).into_iter().fold(0.0, f32::max))
}

/// Judges a recording against the digits asked for; halves are compared in `space`, which
/// is that of one recording with another.
pub fn judge(
    asked: &[u8; DIGITS],
    sample: &SpokenSample,
    space: &Space,
) -> Result<(), SpokenLapse> {
    let (score, beaten) = score(asked, sample)
        .zip(beaten(asked, sample))
        .ok_or(SpokenLapse::WordsCount)?;
    let long = |word: &SpokenWord| word.to_ms.saturating_sub(word.from_ms) > WORD_MS_MAX;
    if sample.words.iter().any(long) {
        return Err(SpokenLapse::WordsCount);
    }
    // What is no number is no digit either.
    if !(score >= SCORE_LEAST && beaten <= BEATEN_MOST) {
        return Err(SpokenLapse::OtherDigits);
    }
    match halves(sample, space) {
        Some(cosine) if cosine >= HALVES_LEAST => Ok(()),
        _ => Err(SpokenLapse::SeveralPeople),
    }
}

/// Cosine of the halves; `None` where there are none.
pub fn halves(sample: &SpokenSample, space: &Space) -> Option<f32> {
    let [one, other] = &sample.halves[..] else {
        return None;
    };
    let of = |half| space.of(std::slice::from_ref(half));
    let (one, other) = of(one).zip(of(other))?;
    angle(one.vector.into_iter(), &other.vector)
}

/// Each digit with its word.
fn each<'a>(
    asked: &[u8; DIGITS],
    sample: &'a SpokenSample,
) -> Option<[(u8, &'a SpokenWord); DIGITS]> {
    let words: &[SpokenWord; DIGITS] = sample.words.as_slice().try_into().ok()?;
    Some(std::array::from_fn(|at| (asked[at], &words[at])))
}

fn log(digit: u8, word: &SpokenWord) -> f32 {
    let known = word.digits.get(usize::from(digit));
    known.copied().unwrap_or(f32::NEG_INFINITY)
}

#[cfg(test)]
#[path = "spoken_tests.rs"]
mod tests;
