//! A face and a voice of one person in one decision: their cosines, weighted, are one
//! score with a calibration of its own.
//!
//! Protects a face's limit from a voice that a loudspeaker may have. A voice relieves a
//! face of a bounded share, however alike it is: [`FACE_FLOOR`]. And it protects the
//! voice's limit from a picture: nothing of a face makes up for a voice that would be
//! rejected alone.

use serde::Deserialize;

use super::{CalibrationPoint, accepts, false_match_rate};

/// How many times its own limit the rate of a face may be where a voice comes with it:
/// what a recording of the right voice is worth to a stranger's face at most.
pub const FACE_FLOOR: u32 = 10;

/// One of both.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighed {
    /// The space its template is of.
    pub space: String,
    /// What its cosine counts; both are one together.
    pub weight: f32,
}

/// How a face and a voice are compared together.
///
/// The score is the weighted sum of the two cosines: linear fusion, the rule of which
/// logistic regression and Fisher's discriminant are two ways to find the weights (Ross,
/// Nandakumar and Jain, Handbook of Multibiometrics, 2006, chapter 4; ISO/IEC TR 24722).
#[derive(Debug, Clone, PartialEq)]
pub struct Multimodal {
    /// Manifest id, as claims name it.
    pub id: String,
    /// The face.
    pub face: Weighed,
    /// The voice.
    pub voice: Weighed,
    /// From loose to strict: the rate at which two strangers' faces and voices reach a score.
    pub calibration: Vec<CalibrationPoint>,
}

/// False matches per million comparisons that policy accepts of each alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of a face, and of both together.
    pub face: u32,
    /// Of a voice.
    pub voice: u32,
}

impl Multimodal {
    /// One score of both cosines, -1 to 1.
    pub fn score(&self, face: f32, voice: f32) -> f32 {
        self.face.weight * face + self.voice.weight * voice
    }

    /// The false-match rate that a score stands for.
    pub fn rate(&self, score: f32) -> f64 {
        false_match_rate(&self.calibration, score)
    }
}

impl Limits {
    /// Whether both are one person's: together at a face's limit, the voice at its own, and
    /// the face at [`FACE_FLOOR`] times its own. The rates are those of both together, of the
    /// face alone and of the voice alone.
    pub fn accept(self, fused: f64, face: f64, voice: f64) -> bool {
        accepts(fused, self.face)
            && accepts(face, self.face.saturating_mul(FACE_FLOOR))
            && accepts(voice, self.voice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_link::manifest::Manifest;

    const LIMITS: Limits = Limits {
        face: 100,
        voice: 1000,
    };

    /// Whether these cosines are accepted, by the compiled-in tables.
    fn accepted(face: f32, voice: f32) -> bool {
        let manifest = Manifest::built_in();
        let both = manifest.newest_multimodal().unwrap();
        let faces = manifest.space(&both.face.space).unwrap();
        let voices = manifest.voice_space(&both.voice.space).unwrap();
        LIMITS.accept(
            both.rate(both.score(face, voice)),
            false_match_rate(&faces.calibration, face),
            false_match_rate(&voices.calibration, voice),
        )
    }

    /// The cosine at which a space accepts alone.
    fn threshold(space: &str, rate: f64) -> f32 {
        let manifest = Manifest::built_in();
        let space = manifest.space(space).or(manifest.voice_space(space));
        space.unwrap().threshold(rate).unwrap()
    }

    #[test]
    fn no_voice_however_alike_makes_a_face_pass_beyond_ten_times_its_limit() {
        let floor = threshold("sface-dlib-1", 1e-3);
        for voice in 0..=100 {
            assert!(!accepted(floor - 0.001, voice as f32 / 100.0));
        }
        assert!(accepted(floor + 0.001, 0.9));
        assert!(floor < threshold("sface-dlib-1", 1e-4), "less than alone");
    }

    #[test]
    fn no_face_however_alike_makes_a_voice_pass_that_is_rejected_alone() {
        let alone = threshold("campplus-zh-en-common-of-3", 1e-3);
        for face in 0..=100 {
            assert!(!accepted(face as f32 / 100.0, alone - 0.001));
        }
        assert!(accepted(0.95, alone + 0.001));
    }

    #[test]
    fn both_together_keep_a_faces_limit_whatever_each_says_alone() {
        let (face, voice) = (1e-3, 1e-3);
        assert!(LIMITS.accept(1e-4, face, voice));
        assert!(!LIMITS.accept(1.1e-4, face, voice));
        assert!(!LIMITS.accept(1e-5, 1.1e-3, voice));
        assert!(!LIMITS.accept(1e-5, face, 1.1e-3));
        let most = Limits {
            face: u32::MAX,
            voice: 1,
        };
        assert!(!most.accept(0.0, 0.0, 1.0), "no limit wraps around");
    }

    #[test]
    fn a_score_rises_with_each_of_both_and_its_rate_never() {
        let manifest = Manifest::built_in();
        let both = manifest.newest_multimodal().unwrap();
        let mut last = (f32::MIN, 2.0);
        for step in -100..=100 {
            let cosine = step as f32 / 100.0;
            for score in [both.score(cosine, 0.3), both.score(0.3, cosine)] {
                assert!(both.rate(score) <= both.rate(score - 0.01));
            }
            let score = both.score(cosine, cosine);
            assert!(score > last.0 && both.rate(score) <= last.1);
            last = (score, both.rate(score));
        }
        assert!((both.score(1.0, 1.0) - 1.0).abs() < 1e-6);
    }
}
