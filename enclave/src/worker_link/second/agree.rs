//! When two measurements of one sample are the same.
//!
//! On one processor the same program answers the same, bit for bit; on others, or with
//! a GPU, sums are added up in another order. What is tolerated is far above that and
//! far below what turns a comparison.

use redoubt_shared::worker::{
    Embedding, FaceQuality, FaceSample, FrameSample, SpokenSample, SpokenWord, VoiceQuality,
    VoiceSample,
};

use super::Opinion;
use crate::worker_link::session::Measured;

/// How far two measurements of one sample may be apart.
pub(in crate::worker_link) struct Tolerance {
    /// Most distance (L2) between two embeddings of unit norm.
    pub(in crate::worker_link) embedding: f32,
    /// Most difference of any other measure, beside its size where that is above one.
    pub(in crate::worker_link) measure: f32,
}

type Told = Result<(), &'static str>;

/// The error names what differs.
pub(in crate::worker_link) fn agree(one: &Opinion, other: &Opinion, tolerance: &Tolerance) -> Told {
    match (one, other) {
        (Ok(one), Ok(other)) => tolerance.measured(one, other),
        (Err(one), Err(other)) => agreed(one == other, "refusal"),
        _ => Err("refusal"),
    }
}

impl Tolerance {
    fn measured(&self, one: &Measured, other: &Measured) -> Told {
        match (one, other) {
            (Measured::Face(one), Measured::Face(other)) => self.face(one, other),
            (Measured::Voice(one), Measured::Voice(other)) => self.voice(one, other),
            (Measured::Frames(one), Measured::Frames(other)) => {
                agreed(one.len() == other.len(), "frames")?;
                let mut both = one.iter().zip(other);
                both.try_for_each(|(one, other)| self.frame(one, other))
            }
            (Measured::Spoken(one), Measured::Spoken(other)) => self.spoken(one, other),
            (
                Measured::Face(_) | Measured::Voice(_) | Measured::Frames(_) | Measured::Spoken(_),
                _,
            ) => Err("kind"),
        }
    }

    fn face(&self, one: &FaceSample, other: &FaceSample) -> Told {
        // Taken apart completely, so that a new measure cannot be left out.
        let FaceSample {
            embeddings,
            quality,
            liveness,
        } = one;
        self.near_embeddings(embeddings, &other.embeddings)?;
        let FaceQuality {
            detection,
            eye_distance,
            brightness,
            sharpness,
            embedding_norm,
            score,
        } = quality;
        self.near("detection", *detection, other.quality.detection)?;
        self.near("eye_distance", *eye_distance, other.quality.eye_distance)?;
        self.near("brightness", *brightness, other.quality.brightness)?;
        self.near("sharpness", *sharpness, other.quality.sharpness)?;
        let norm = other.quality.embedding_norm;
        self.near("embedding_norm", *embedding_norm, norm)?;
        self.near("score", *score, other.quality.score)?;
        match (liveness, other.liveness) {
            (Some(one), Some(other)) => self.near("liveness", *one, other),
            (None, None) => Ok(()),
            _ => Err("liveness"),
        }
    }

    fn voice(&self, one: &VoiceSample, other: &VoiceSample) -> Told {
        let VoiceSample {
            embeddings,
            quality,
        } = one;
        self.near_embeddings(embeddings, &other.embeddings)?;
        let VoiceQuality {
            speech_seconds,
            level_db,
            clipped,
            signal_to_noise_db,
            embedding_norm,
            score,
        } = quality;
        let other = &other.quality;
        self.near("speech_seconds", *speech_seconds, other.speech_seconds)?;
        self.near("level_db", *level_db, other.level_db)?;
        self.near("clipped", *clipped, other.clipped)?;
        let noise = other.signal_to_noise_db;
        self.near("signal_to_noise_db", *signal_to_noise_db, noise)?;
        self.near("embedding_norm", *embedding_norm, other.embedding_norm)?;
        self.near("score", *score, other.score)
    }

    fn spoken(&self, one: &SpokenSample, other: &SpokenSample) -> Told {
        let SpokenSample {
            voice,
            words,
            halves,
        } = one;
        self.voice(voice, &other.voice)?;
        self.near_embeddings(halves, &other.halves)?;
        agreed(words.len() == other.words.len(), "words")?;
        for (one, other) in words.iter().zip(&other.words) {
            let SpokenWord {
                from_ms,
                to_ms,
                digits,
            } = one;
            let place = (*from_ms, *to_ms) == (other.from_ms, other.to_ms);
            agreed(place, "words")?;
            // As probabilities: the logarithm of hardly any is far from that of none.
            for (one, other) in digits.iter().zip(other.digits) {
                self.near("digit", one.exp(), other.exp())?;
            }
        }
        Ok(())
    }

    fn frame(&self, one: &FrameSample, other: &FrameSample) -> Told {
        let FrameSample {
            face: seen,
            yaw,
            pitch,
            eyes,
            place,
            picture,
            print,
        } = one;
        self.face(seen, &other.face)?;
        self.near("yaw", *yaw, other.yaw)?;
        self.near("pitch", *pitch, other.pitch)?;
        for (one, other) in eyes.iter().zip(other.eyes) {
            self.near("eye", *one, other)?;
        }
        for (one, other) in place.iter().zip(other.place) {
            self.near("place", *one, other)?;
        }
        agreed(*picture == other.picture, "pixels")?;
        agreed(*print == other.print, "print")
    }

    fn near_embeddings(&self, one: &[Embedding], other: &[Embedding]) -> Told {
        agreed(one.len() == other.len(), "embedding")?;
        for (one, other) in one.iter().zip(other) {
            let Embedding { model, vector } = one;
            let same = *model == other.model && vector.len() == other.vector.len();
            agreed(same, "embedding")?;
            let apart = distance(vector, &other.vector);
            agreed(apart <= self.embedding, "embedding")?;
        }
        Ok(())
    }

    fn near(&self, what: &'static str, one: f32, other: f32) -> Told {
        let size = one.abs().max(other.abs()).max(1.0);
        agreed((one - other).abs() <= self.measure * size, what)
    }
}

/// L2.
pub(in crate::worker_link) fn distance(one: &[f32], other: &[f32]) -> f32 {
    let squares = one.iter().zip(other).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f32>().sqrt()
}

fn agreed(holds: bool, what: &'static str) -> Told {
    match holds {
        true => Ok(()),
        false => Err(what),
    }
}
