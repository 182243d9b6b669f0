//! The model manifest, compiled in.
//!
//! Protects against a worker that runs other models, and against scores read
//! with another model's calibration: the digest is what the worker's evidence
//! must name, and each embedder's table travels with it.

use redoubt_attestation::encode::{Digest32, sha256};
use serde::Deserialize;

use crate::biometrics::CalibrationPoint;

const TEXT: &str = include_str!("../../../images/models.toml");

/// Why the manifest this program was built with cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or a field is missing.
    #[error("images/models.toml: {0}; mend it and build again")]
    Format(#[from] toml::de::Error),
    /// Says something impossible.
    #[error("images/models.toml: {0}; mend it and build again")]
    Content(String),
}

/// A model that turns an aligned face, or a voice, into a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedder {
    /// Manifest id, as embeddings and templates name it.
    pub id: String,
    /// Length of its vectors.
    pub dimension: usize,
    /// From loose to strict: rates fall, cosines rise.
    pub calibration: Vec<CalibrationPoint>,
}

impl Embedder {
    /// The cosine to reach so that at most one impostor in `1 / rate` passes;
    /// `None` where the table was not measured that far.
    pub fn threshold(&self, rate: f64) -> Option<f32> {
        let strict_enough = |entry: &&CalibrationPoint| entry.false_match_rate <= rate;
        self.calibration
            .iter()
            .find(strict_enough)
            .map(|entry| entry.cosine)
    }
}

/// What the enclave needs to know of the models.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    digest: Digest32,
    embedders: Vec<Embedder>,
    voices: Vec<Embedder>,
}

#[derive(Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    model: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    role: String,
    dimension: usize,
    #[serde(default)]
    calibration: Vec<Calibration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calibration {
    false_match_rate: f64,
    cosine: f32,
}

impl Manifest {
    /// The manifest this enclave was built with. Parse it once, at boot.
    pub fn built_in() -> Self {
        Self::parse(TEXT).expect("a constant of this program, which its tests parse")
    }

    fn parse(text: &str) -> Result<Self, ManifestError> {
        let document: Document = toml::from_str(text)?;
        if document.format != 1 {
            return Err(ManifestError::Content(format!(
                "format {} is not 1",
                document.format
            )));
        }
        let (voices, models): (Vec<_>, Vec<_>) = document
            .model
            .into_iter()
            .partition(|model| model.role == "voice_embedder");
        let voices = voices.into_iter().map(embedder);
        let models = models.into_iter();
        let embedders = models
            .filter(|model| model.role == "face_embedder")
            .map(embedder)
            .collect::<Result<Vec<_>, _>>()?;
        if embedders.is_empty() {
            return Err(ManifestError::Content("there is no face_embedder".into()));
        }
        Ok(Self {
            digest: sha256(&[text.as_bytes()]),
            embedders,
            voices: voices.collect::<Result<_, _>>()?,
        })
    }

    /// SHA-256 of the manifest's bytes: the `models` of bindings and receipts.
    pub fn digest(&self) -> Digest32 {
        self.digest
    }

    /// Embedders of faces in the manifest's order, which is that of a sample's embeddings.
    pub fn embedders(&self) -> &[Embedder] {
        &self.embedders
    }

    /// Embedders of voices in the manifest's order, which is that of a sample's embeddings.
    pub fn voice_embedders(&self) -> &[Embedder] {
        &self.voices
    }

    /// One embedder of faces by its id.
    pub fn embedder(&self, model: &str) -> Option<&Embedder> {
        self.embedders.iter().find(|embedder| embedder.id == model)
    }

    /// The table of a model, from loose to strict.
    pub fn calibration(&self, model: &str) -> Option<&[CalibrationPoint]> {
        self.embedder(model)
            .map(|embedder| embedder.calibration.as_slice())
    }
}

fn embedder(model: Model) -> Result<Embedder, ManifestError> {
    let wrong = |problem: &str| ManifestError::Content(format!("model {}: {problem}", model.id));
    if model.dimension == 0 {
        return Err(wrong("dimension is zero"));
    }
    if model.calibration.is_empty() {
        return Err(wrong("an embedder needs a calibration table"));
    }
    let calibration: Vec<_> = model
        .calibration
        .iter()
        .map(|entry| CalibrationPoint {
            false_match_rate: entry.false_match_rate,
            cosine: entry.cosine,
        })
        .collect();
    let possible = |entry: &CalibrationPoint| {
        (0.0..1.0).contains(&entry.false_match_rate) && (-1.0..=1.0).contains(&entry.cosine)
    };
    let stricter = |pair: &[CalibrationPoint]| {
        pair[0].false_match_rate > pair[1].false_match_rate && pair[0].cosine < pair[1].cosine
    };
    if !calibration.iter().all(possible) || !calibration.windows(2).all(stricter) {
        return Err(wrong(
            "calibration must run from loose to strict within its ranges",
        ));
    }
    Ok(Embedder {
        id: model.id,
        dimension: model.dimension,
        calibration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_manifest_is_usable_and_reaches_one_in_ten_thousand() {
        let manifest = Manifest::built_in();
        let sface = manifest.embedder("sface-2021dec").unwrap();
        assert_eq!(sface.dimension, 128);
        assert_eq!(sface.threshold(1e-4), Some(0.415));
        assert_eq!(sface.threshold(5e-5), Some(0.466));
        assert_eq!(sface.threshold(1e-9), None);
        assert_eq!(manifest.calibration("nobody"), None);
        let [voice] = manifest.voice_embedders() else {
            panic!("one embedder of voices");
        };
        assert_eq!((voice.dimension, voice.threshold(1e-3)), (192, Some(0.451)));
        // Not measured: nobody is accepted there by voice alone.
        assert_eq!(voice.threshold(1e-4), None);
        assert_eq!(manifest.embedder(&voice.id), None);
    }

    #[test]
    fn tables_that_do_not_run_from_loose_to_strict_are_refused() {
        let text = |table: &str| {
            format!(
                "format = 1\n[[model]]\nid = \"m\"\nrole = \"face_embedder\"\ndimension = 2\n\
                 calibration = [{table}]\n"
            )
        };
        let entry = |rate: &str, cosine: &str| {
            format!("{{ false_match_rate = {rate}, cosine = {cosine} }}")
        };
        let good = [entry("1e-2", "0.3"), entry("1e-3", "0.4")].join(",");
        assert!(Manifest::parse(&text(&good)).is_ok());
        for wrong in [
            String::new(),
            [entry("1e-3", "0.3"), entry("1e-2", "0.4")].join(","),
            [entry("1e-2", "0.4"), entry("1e-3", "0.3")].join(","),
            entry("1.0", "0.3"),
            entry("nan", "0.3"),
            entry("1e-2", "1.5"),
        ] {
            let refused = Manifest::parse(&text(&wrong));
            assert!(matches!(refused, Err(ManifestError::Content(_))), "{wrong}");
        }
    }
}
