//! Templates and their comparison, inside the enclave only.
//!
//! Protects against scores that mean different things: a cosine becomes a
//! false-match rate by the model's calibration table, policy speaks in
//! false-match rates, and only a coarse score leaves.

pub mod challenge;
mod fusion;
mod gallery;
mod int8;
pub mod liveness;
mod protected;
mod space;
pub mod spoken;
mod transform;
mod voice;

pub use fusion::{FACE_FLOOR, Limits, Multimodal, Weighed};
pub use gallery::{Gallery, Search, View};
pub use int8::Probe;
pub use protected::{Made, TEMPLATE_VERSION, made_up};
pub use space::{Part, Space};
pub use transform::{Owner, Transform, Transforms, padded};
pub use voice::{RECORDINGS_MAX, Unfit, VoiceSpaces};

use redoubt_shared::worker::Embedding;

use crate::core::Template;

/// Steps of the confidence score.
const STEPS: f32 = 20.0;
/// Confidence is 1 from this false-match rate on: ten to the minus this.
const BEST: f32 = 5.0;

/// One row of a calibration: at this cosine, impostors match at this rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationPoint {
    /// Share of impostor comparisons at or above the cosine.
    pub false_match_rate: f64,
    /// Cosine of the two embeddings.
    pub cosine: f32,
}

/// Cosine of a template without a transform and an embedding; `None` if they are of
/// different models or sizes.
fn cosine(template: &Template, embedding: &Embedding) -> Option<f32> {
    if template.model != embedding.model {
        return None;
    }
    let values = template.values.iter().map(|value| f32::from(*value));
    angle(values, &embedding.vector)
}

/// Cosine of two vectors; `None` if they are of different sizes, or one is zero.
fn angle(one: impl ExactSizeIterator<Item = f32>, other: &[f32]) -> Option<f32> {
    if one.len() != other.len() {
        return None;
    }
    let (mut dot, mut own, mut others) = (0f32, 0f32, 0f32);
    for (a, b) in one.zip(other) {
        dot += a * b;
        own += a * a;
        others += b * b;
    }
    let norms = (own * others).sqrt();
    (norms > 0.0).then(|| dot / norms)
}

/// The false-match rate a cosine stands for: log-linear between the table's
/// points, and beyond its ends no better than its ends.
pub fn false_match_rate(calibration: &[CalibrationPoint], cosine: f32) -> f64 {
    let mut below: Option<&CalibrationPoint> = None;
    for point in calibration {
        if cosine < point.cosine {
            let Some(from) = below else { return 1.0 };
            let share = f64::from((cosine - from.cosine) / (point.cosine - from.cosine));
            let (low, high) = (from.false_match_rate.ln(), point.false_match_rate.ln());
            return (low + share * (high - low)).exp();
        }
        below = Some(point);
    }
    below.map_or(1.0, |last| last.false_match_rate)
}

/// The cosine from which on comparisons are false at this rate at most, and the rate there:
/// log-linear between the table's points. Beyond its ends it is the end itself, which at the
/// strict end is more than was asked. `None` of an empty table.
pub fn threshold_at(calibration: &[CalibrationPoint], rate: f64) -> Option<(f32, f64)> {
    let ends = |point: &CalibrationPoint| (point.cosine, point.false_match_rate);
    let mut below = calibration.first()?;
    for point in calibration {
        if rate > point.false_match_rate {
            let (high, low) = (below.false_match_rate.ln(), point.false_match_rate.ln());
            let share = (high - rate.ln()) / (high - low);
            // Of a rate that is looser than the table the loosest point.
            let between = below.cosine + share as f32 * (point.cosine - below.cosine);
            let inside = rate < below.false_match_rate;
            return Some(if inside { (between, rate) } else { ends(below) });
        }
        below = point;
    }
    Some(ends(below))
}

/// Whether policy's rate is met.
pub fn accepts(rate: f64, false_matches_per_million: u32) -> bool {
    // A hair of tolerance: the table's own points must count as themselves.
    rate <= f64::from(false_matches_per_million) / 1_000_000.0 * (1.0 + 1e-9)
}

/// A monotone score in twentieths: fine scores feed hill-climbing.
pub fn confidence(rate: f64) -> f32 {
    let orders = rate.clamp(1e-12, 1.0).recip().log10() as f32;
    ((orders / BEST).clamp(0.0, 1.0) * STEPS).floor() / STEPS
}

#[cfg(test)]
mod protected_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [CalibrationPoint; 4] = [
        CalibrationPoint {
            false_match_rate: 1e-2,
            cosine: 0.292,
        },
        CalibrationPoint {
            false_match_rate: 1e-3,
            cosine: 0.359,
        },
        CalibrationPoint {
            false_match_rate: 1e-4,
            cosine: 0.415,
        },
        CalibrationPoint {
            false_match_rate: 1e-5,
            cosine: 0.466,
        },
    ];

    #[test]
    fn the_tables_own_points_are_met_and_just_below_them_not() {
        for point in TABLE {
            let million = (point.false_match_rate * 1e6).round() as u32;
            assert!(accepts(false_match_rate(&TABLE, point.cosine), million));
            assert!(!accepts(
                false_match_rate(&TABLE, point.cosine - 0.001),
                million
            ));
        }
    }

    #[test]
    fn rates_fall_as_cosines_rise_and_never_beyond_what_was_measured() {
        let mut last = 1.0;
        for step in -100..=100 {
            let rate = false_match_rate(&TABLE, step as f32 / 100.0);
            assert!(rate <= last);
            last = rate;
        }
        assert_eq!(false_match_rate(&TABLE, 1.0), 1e-5);
        assert_eq!(false_match_rate(&TABLE, 0.1), 1.0);
        assert_eq!(false_match_rate(&[], 1.0), 1.0);
    }

    #[test]
    fn a_threshold_is_where_the_rate_is_and_never_beyond_what_was_measured() {
        for rate in [1e-2, 5e-3, 1e-3, 7e-4, 1e-4, 3e-5, 1.01e-5, 1e-5] {
            let (cosine, reached) = threshold_at(&TABLE, rate).unwrap();
            assert!((reached / rate - 1.0).abs() < 1e-9, "{rate} {reached}");
            let back = false_match_rate(&TABLE, cosine);
            assert!((back / rate - 1.0).abs() < 1e-3, "{rate} {back}");
        }
        assert_eq!(threshold_at(&TABLE, 0.5), Some((0.292, 1e-2)));
        assert_eq!(threshold_at(&TABLE, 1e-9), Some((0.466, 1e-5)));
        assert_eq!(threshold_at(&TABLE[..1], 1e-9), Some((0.292, 1e-2)));
        assert_eq!(threshold_at(&[], 1e-2), None);
    }

    #[test]
    fn confidence_is_coarse_and_monotone() {
        let scores: Vec<f32> = (0..100)
            .map(|i| confidence(10f64.powf(-f64::from(i) / 16.0)))
            .collect();
        assert!(scores.windows(2).all(|pair| pair[0] <= pair[1]));
        let mut distinct = scores.clone();
        distinct.dedup();
        assert!(distinct.len() <= 21);
    }
}
