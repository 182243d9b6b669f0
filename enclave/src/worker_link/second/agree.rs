//! When two measurements of one sample are the same.
//!
//! On one processor the same program answers the same, bit for bit; on others, or with
//! a GPU, sums are added up in another order. What is tolerated is far above that and
//! far below what turns a comparison.

use redoubt_shared::worker::{
    Embedding, FaceQuality, FaceSample, FrameSample, VoiceQuality, VoiceSample,
};

use super::Opinion;
use crate::worker_link::session::Measured;

/// Most distance (L2) between two embeddings of unit norm.
pub(super) const EMBEDDING_TOLERANCE: f32 = 1e-3;
/// Most difference of any other measure, beside its size where that is above one.
pub(super) const MEASURE_TOLERANCE: f32 = 1e-3;

type Told = Result<(), &'static str>;

/// The error names what differs.
pub(super) fn agree(one: &Opinion, other: &Opinion) -> Told {
    match (one, other) {
        (Ok(one), Ok(other)) => measured(one, other),
        (Err(one), Err(other)) => differ(one != other, "refusal"),
        _ => Err("refusal"),
    }
}

fn measured(one: &Measured, other: &Measured) -> Told {
    match (one, other) {
        (Measured::Face(one), Measured::Face(other)) => face(one, other),
        (Measured::Voice(one), Measured::Voice(other)) => voice(one, other),
        (Measured::Frames(one), Measured::Frames(other)) => {
            differ(one.len() != other.len(), "frames")?;
            let mut both = one.iter().zip(other);
            both.try_for_each(|(one, other)| frame(one, other))
        }
        (Measured::Face(_) | Measured::Voice(_) | Measured::Frames(_), _) => Err("kind"),
    }
}

fn face(one: &FaceSample, other: &FaceSample) -> Told {
    // Taken apart completely, so that a new measure cannot be left out.
    let FaceSample {
        embeddings,
        quality,
        liveness,
    } = one;
    near_embeddings(embeddings, &other.embeddings)?;
    let FaceQuality {
        detection,
        eye_distance,
        brightness,
        sharpness,
        embedding_norm,
        score,
    } = quality;
    near("detection", *detection, other.quality.detection)?;
    near("eye_distance", *eye_distance, other.quality.eye_distance)?;
    near("brightness", *brightness, other.quality.brightness)?;
    near("sharpness", *sharpness, other.quality.sharpness)?;
    let norm = other.quality.embedding_norm;
    near("embedding_norm", *embedding_norm, norm)?;
    near("score", *score, other.quality.score)?;
    match (liveness, other.liveness) {
        (Some(one), Some(other)) => near("liveness", *one, other),
        (None, None) => Ok(()),
        _ => Err("liveness"),
    }
}

fn voice(one: &VoiceSample, other: &VoiceSample) -> Told {
    let VoiceSample {
        embeddings,
        quality,
    } = one;
    near_embeddings(embeddings, &other.embeddings)?;
    let VoiceQuality {
        speech_seconds,
        level_db,
        clipped,
        signal_to_noise_db,
        embedding_norm,
        score,
    } = quality;
    let other = &other.quality;
    near("speech_seconds", *speech_seconds, other.speech_seconds)?;
    near("level_db", *level_db, other.level_db)?;
    near("clipped", *clipped, other.clipped)?;
    let noise = other.signal_to_noise_db;
    near("signal_to_noise_db", *signal_to_noise_db, noise)?;
    near("embedding_norm", *embedding_norm, other.embedding_norm)?;
    near("score", *score, other.score)
}

fn frame(one: &FrameSample, other: &FrameSample) -> Told {
    let FrameSample {
        face: seen,
        yaw,
        pitch,
        eyes,
        place,
        picture,
        print,
    } = one;
    face(seen, &other.face)?;
    near("yaw", *yaw, other.yaw)?;
    near("pitch", *pitch, other.pitch)?;
    for (one, other) in eyes.iter().zip(other.eyes) {
        near("eye", *one, other)?;
    }
    for (one, other) in place.iter().zip(other.place) {
        near("place", *one, other)?;
    }
    differ(*picture != other.picture, "pixels")?;
    differ(*print != other.print, "print")
}

fn near_embeddings(one: &[Embedding], other: &[Embedding]) -> Told {
    differ(one.len() != other.len(), "embedding")?;
    for (one, other) in one.iter().zip(other) {
        let Embedding { model, vector } = one;
        let same = *model == other.model && vector.len() == other.vector.len();
        differ(!same, "embedding")?;
        let apart = distance(vector, &other.vector);
        differ(!(apart <= EMBEDDING_TOLERANCE), "embedding")?;
    }
    Ok(())
}

/// L2.
pub(in crate::worker_link) fn distance(one: &[f32], other: &[f32]) -> f32 {
    let squares = one.iter().zip(other).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f32>().sqrt()
}

fn near(what: &'static str, one: f32, other: f32) -> Told {
    let size = one.abs().max(other.abs()).max(1.0);
    differ(!((one - other).abs() <= MEASURE_TOLERANCE * size), what)
}

fn differ(differs: bool, what: &'static str) -> Told {
    match differs {
        true => Err(what),
        false => Ok(()),
    }
}
