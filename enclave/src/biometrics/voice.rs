//! A voice's template: the mean of several recordings that sound like one person.
//!
//! Protects against a template of two people, and against one recording handed in
//! several times, which no other would have to agree with.

use redoubt_shared::worker::{Embedding, VoiceSample};

use super::{Space, accepts, angle, false_match_rate};

/// Cosine from which on two recordings are one. Two recordings of one speaker reached
/// 0.953 at most where voices were measured (`docs/voices.md`).
const REPEATED: f32 = 0.99;
/// Recordings that one enrolment hands in at most.
pub const RECORDINGS_MAX: usize = 3;

/// Where the voices of one embedder are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceSpaces {
    /// A recording with a template.
    pub template: Space,
    /// A recording with a recording.
    pub single: Space,
    /// Recordings that a template is made of.
    pub recordings: usize,
}

/// Why recordings make no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Not as many as a template is made of, or of another model.
    Incomplete,
    /// Two of them are one recording.
    Repeated,
    /// Two of them do not sound like one person.
    Differ,
}

impl VoiceSpaces {
    /// The mean of an enrolment's recordings, of unit length. Each two of them must be
    /// accepted as one person's at `per_million` false matches in a million, and
    /// be two.
    pub fn enrolled(&self, samples: &[VoiceSample], per_million: u32) -> Result<Embedding, Unfit> {
        let heard = samples.iter().map(|one| self.single.of(&one.embeddings));
        let heard: Option<Vec<Embedding>> = heard.collect();
        let heard = heard.ok_or(Unfit::Incomplete)?;
        if heard.len() != self.recordings {
            return Err(Unfit::Incomplete);
        }
        for (at, one) in heard.iter().enumerate() {
            for other in &heard[..at] {
                self.agree(one, other, per_million)?;
            }
        }
        Ok(Embedding {
            model: self.template.id.clone(),
            vector: mean(&heard),
        })
    }

    fn agree(&self, one: &Embedding, other: &Embedding, per_million: u32) -> Result<(), Unfit> {
        let cosine = angle(one.vector.iter().copied(), &other.vector).ok_or(Unfit::Incomplete)?;
        if cosine >= REPEATED {
            return Err(Unfit::Repeated);
        }
        let rate = false_match_rate(&self.single.calibration, cosine);
        accepts(rate, per_million)
            .then_some(())
            .ok_or(Unfit::Differ)
    }
}

/// The mean direction. Vectors that agree do not cancel each other.
fn mean(all: &[Embedding]) -> Vec<f32> {
    let length = all.first().map_or(0, |one| one.vector.len());
    let mut sum = vec![0f32; length];
    for one in all {
        let each = sum.iter_mut().zip(&one.vector);
        each.for_each(|(total, value)| *total += value);
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter().map(|value| value / norm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::biometrics::protected_tests::{cosine, stored as template};
    use crate::worker_link::manifest::Manifest;
    use redoubt_shared::worker::VoiceQuality;

    /// The tenths of a radian at which a recording lies in a plane.
    fn sample(tenths: i8) -> VoiceSample {
        let angle = f32::from(tenths) / 10.0;
        let mut vector = vec![0.0; 192];
        (vector[0], vector[1]) = (angle.cos(), angle.sin());
        VoiceSample {
            embeddings: vec![Embedding {
                model: Manifest::built_in().voice_embedders()[0].id.clone(),
                vector,
            }],
            quality: VoiceQuality {
                speech_seconds: 3.0,
                level_db: -20.0,
                clipped: 0.0,
                signal_to_noise_db: 20.0,
                embedding_norm: 6.0,
                score: 0.9,
            },
        }
    }

    fn enrolled(tenths: &[i8], per_million: u32) -> Result<Embedding, Unfit> {
        let samples: Vec<_> = tenths.iter().copied().map(sample).collect();
        Manifest::built_in().voice_spaces()[0].enrolled(&samples, per_million)
    }

    #[test]
    fn a_template_is_the_mean_of_three_that_agree_and_names_its_space() {
        let made = enrolled(&[-5, 0, 5], 1000).unwrap();
        assert_eq!(made.model, "campplus-zh-en-common-of-3");
        let norm = made.vector.iter().map(|v| v * v).sum::<f32>();
        assert!((norm - 1.0).abs() < 1e-5 && (made.vector[0] - 1.0).abs() < 1e-5);
        let stored = template(&made);
        let manifest = Manifest::built_in();
        let space = manifest.voice_space(&stored.model).unwrap();
        let asked = space.of(&sample(10).embeddings).unwrap();
        let found = cosine(&stored, &asked).unwrap();
        assert!((found - 1f32.cos()).abs() < 1e-3, "{found}");
        // A single recording is of another space than the mean: never compared.
        let single = &manifest.voice_spaces()[0].single;
        let one = single.of(&sample(0).embeddings).unwrap();
        assert_eq!(cosine(&stored, &one), None);
    }

    #[test]
    fn recordings_of_two_people_one_recording_twice_or_too_few_make_none() {
        // cos 1.1 is 0.454, cos 1.2 is 0.362; the table's row is 0.451.
        assert!(enrolled(&[0, 5, 11], 1000).is_ok());
        assert_eq!(enrolled(&[0, 5, 12], 1000), Err(Unfit::Differ));
        assert_eq!(enrolled(&[0, 5, 5], 1000), Err(Unfit::Repeated));
        // 0.1 radians are a cosine of 0.995.
        assert_eq!(enrolled(&[0, 5, 6], 1000), Err(Unfit::Repeated));
        for few in [&[][..], &[0], &[0, 5], &[0, 3, 6, 9]] {
            assert_eq!(enrolled(few, 1000), Err(Unfit::Incomplete));
        }
        assert_eq!(
            enrolled(&[0, 5, 10], 999),
            Err(Unfit::Differ),
            "not measured"
        );
    }

    #[test]
    fn a_faces_template_and_a_voice_have_no_cosine() {
        let manifest = Manifest::built_in();
        let face = Embedding {
            model: manifest.spaces()[0].id.clone(),
            vector: vec![0.07; 192],
        };
        let stored = template(&face);
        assert!(manifest.voice_space(&stored.model).is_none());
        for space in manifest.voice_spaces() {
            let voice = space.template.of(&sample(0).embeddings).unwrap();
            assert_eq!(cosine(&stored, &voice), None);
        }
        assert_eq!(manifest.spaces()[0].of(&sample(0).embeddings), None);
    }
}
