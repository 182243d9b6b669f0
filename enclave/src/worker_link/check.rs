//! What a well-formed answer is.
//!
//! Protects the comparison from a worker that lies: a vector of another model
//! or length, not of unit norm, or with a number that is none, could turn a
//! cosine into anything. A lie ends the session; it is never repaired.

use redoubt_shared::limits::{FRAME_PIXELS_MAX, WORDS_MAX};
use redoubt_shared::worker::{
    Embedding, FaceQuality, FaceSample, FrameSample, SpokenSample, SpokenWord, VoiceQuality,
    VoiceSample,
};

use super::manifest::{Embedder, Manifest};

/// How far a norm may be from one.
const NORM_TOLERANCE: f32 = 1e-3;
/// Where the worker's quality gate passes.
const SCORE_MIN: f32 = 0.5;
/// Longest recording that a worker decodes, in milliseconds, and a little more.
const RECORDING_MS_MAX: u32 = 61_000;
/// By how much probabilities may be more than one together.
const SUM_TOLERANCE: f32 = 1e-3;

/// Checks a face against the manifest; the error says what was wrong.
pub(super) fn face(sample: &FaceSample, manifest: &Manifest) -> Result<(), String> {
    // Taken apart completely, so that a new field cannot pass unchecked.
    let FaceSample {
        embeddings,
        quality,
        liveness,
    } = sample;
    check_embeddings(embeddings, manifest.embedders())?;
    check_quality(quality, SCORE_MIN)?;
    check_liveness(*liveness)
}

/// Checks the measures of frames; how many belong there is whose asked to know.
pub(super) fn frames(frames: &[FrameSample], manifest: &Manifest) -> Result<(), String> {
    frames.iter().try_for_each(|frame| {
        let FrameSample {
            face,
            yaw,
            pitch,
            eyes,
            place,
            picture,
            // Any bits are a print.
            print: _,
        } = frame;
        let FaceSample {
            embeddings,
            quality,
            liveness,
        } = face;
        check_embeddings(embeddings, manifest.embedders())?;
        // Below the gate as well: moving faces blur.
        check_quality(quality, 0.0)?;
        check_liveness(*liveness)?;
        within("yaw", *yaw, -100.0, 100.0)?;
        within("pitch", *pitch, -100.0, 100.0)?;
        for eye in eyes {
            within("eye", *eye, 0.0, 1.0)?;
        }
        for part in place {
            within("place", *part, -4.0, 4.0)?;
        }
        let pixels = u64::from(picture[0]) * u64::from(picture[1]);
        match (1..=FRAME_PIXELS_MAX).contains(&pixels) {
            true => Ok(()),
            false => Err("a frame of more pixels than it may have, or of none".into()),
        }
    })
}

fn check_liveness(liveness: Option<f32>) -> Result<(), String> {
    match liveness {
        Some(value) => within("liveness", value, 0.0, 1.0),
        None => Ok(()),
    }
}

/// Checks a voice against the manifest; the error says what was wrong.
pub(super) fn voice(sample: &VoiceSample, manifest: &Manifest) -> Result<(), String> {
    let VoiceSample {
        embeddings,
        quality,
    } = sample;
    check_embeddings(embeddings, manifest.voice_embedders())?;
    let VoiceQuality {
        speech_seconds,
        level_db,
        clipped,
        signal_to_noise_db,
        embedding_norm,
        score,
    } = *quality;
    within("speech_seconds", speech_seconds, 0.0, 3600.0)?;
    within("level_db", level_db, -200.0, 0.0)?;
    within("clipped", clipped, 0.0, 1.0)?;
    within("signal_to_noise_db", signal_to_noise_db, -200.0, 200.0)?;
    within("embedding_norm", embedding_norm, 0.0, f32::MAX)?;
    within("score", score, SCORE_MIN, 1.0)
}

/// Checks a voice that read digits against the manifest; the error says what was wrong.
pub(super) fn spoken(sample: &SpokenSample, manifest: &Manifest) -> Result<(), String> {
    let SpokenSample {
        voice: whole,
        words,
        halves,
    } = sample;
    voice(whole, manifest)?;
    if words.len() > WORDS_MAX {
        return Err(format!("{} words where {WORDS_MAX} are most", words.len()));
    }
    let mut end_ms = 0;
    for word in words {
        end_ms = check_word(word, end_ms)?;
    }
    match halves.len() {
        0 => Ok(()),
        2 if words.len() >= 2 => {
            let embedder = manifest.voice_embedders().first();
            let embedder = embedder.ok_or("halves of a voice where no model is for voices")?;
            let mut each = halves.iter();
            each.try_for_each(|half| check_embedding(half, embedder))
        }
        count => Err(format!("{count} halves of {} words", words.len())),
    }
}

/// Checks a word that begins at `after_ms` or later, and says where it ends.
fn check_word(word: &SpokenWord, after_ms: u32) -> Result<u32, String> {
    let SpokenWord {
        from_ms,
        to_ms,
        digits,
    } = *word;
    if !(after_ms <= from_ms && from_ms < to_ms && to_ms <= RECORDING_MS_MAX) {
        return Err("a word before the one before it, or beyond its recording".into());
    }
    for log in digits {
        within("digit's logarithm", log, f32::MIN, 0.0)?;
    }
    let sum = digits.iter().map(|log| log.exp()).sum();
    within("sum of digits", sum, 0.0, 1.0 + SUM_TOLERANCE)?;
    Ok(to_ms)
}

fn check_embeddings(embeddings: &[Embedding], expected: &[Embedder]) -> Result<(), String> {
    if embeddings.len() != expected.len() {
        let (actual, expected) = (embeddings.len(), expected.len());
        return Err(format!("{actual} embeddings where {expected} belong"));
    }
    let mut each = embeddings.iter().zip(expected);
    each.try_for_each(|(embedding, embedder)| check_embedding(embedding, embedder))
}

fn check_embedding(embedding: &Embedding, embedder: &Embedder) -> Result<(), String> {
    let Embedding { model, vector } = embedding;
    if *model != embedder.id {
        return Err(format!(
            "an embedding of another model where {} belongs",
            embedder.id
        ));
    }
    if vector.len() != embedder.dimension {
        let (actual, expected) = (vector.len(), embedder.dimension);
        return Err(format!(
            "an embedding of {actual} numbers where {expected} belong"
        ));
    }
    if !vector.iter().all(|value| value.is_finite()) {
        return Err("an embedding with a component that is not finite".into());
    }
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm.is_nan() || (norm - 1.0).abs() > NORM_TOLERANCE {
        return Err("an embedding that is not of unit norm".into());
    }
    Ok(())
}

fn check_quality(quality: &FaceQuality, score_min: f32) -> Result<(), String> {
    let FaceQuality {
        detection,
        eye_distance,
        brightness,
        sharpness,
        embedding_norm,
        score,
    } = *quality;
    within("detection", detection, 0.0, 1.0)?;
    within("eye_distance", eye_distance, 0.0, 100_000.0)?;
    within("brightness", brightness, 0.0, 255.5)?;
    within("sharpness", sharpness, 0.0, f32::MAX)?;
    within("embedding_norm", embedding_norm, 0.0, f32::MAX)?;
    within("score", score, score_min, 1.0)
}

fn within(measure: &str, value: f32, low: f32, high: f32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(format!("a {measure} outside {low} to {high}"))
    }
}
