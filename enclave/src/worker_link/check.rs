//! What a well-formed answer is.
//!
//! Protects the comparison from a worker that lies: a vector of another model
//! or length, not of unit norm, or with a number that is none, could turn a
//! cosine into anything. A lie ends the session; it is never repaired.

use redoubt_shared::worker::{Embedding, FaceQuality, FaceSample};

use super::manifest::{Embedder, Manifest};

/// How far a norm may be from one.
const NORM_TOLERANCE: f32 = 1e-3;
/// Where the worker's quality gate passes.
const SCORE_MIN: f32 = 0.5;

/// Checks a sample against the manifest; the error says what was wrong.
pub(super) fn sample(sample: &FaceSample, manifest: &Manifest) -> Result<(), String> {
    // Taken apart completely, so that a new field cannot pass unchecked.
    let FaceSample {
        embeddings,
        quality,
        liveness,
    } = sample;
    let expected = manifest.embedders();
    if embeddings.len() != expected.len() {
        let (actual, expected) = (embeddings.len(), expected.len());
        return Err(format!("{actual} embeddings where {expected} belong"));
    }
    for (embedding, embedder) in embeddings.iter().zip(expected) {
        check_embedding(embedding, embedder)?;
    }
    check_quality(quality)?;
    match liveness {
        Some(value) => within("liveness", *value, 0.0, 1.0),
        None => Ok(()),
    }
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

fn check_quality(quality: &FaceQuality) -> Result<(), String> {
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
    within("score", score, SCORE_MIN, 1.0)
}

fn within(measure: &str, value: f32, low: f32, high: f32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(format!("a {measure} outside {low} to {high}"))
    }
}
