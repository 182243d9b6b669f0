//! Where samples are compared: one embedder's vectors, or several fused into one.

use redoubt_shared::worker::Embedding;
use serde::Deserialize;

use super::CalibrationPoint;

/// One embedder's share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Whose vectors.
    pub model: String,
    /// What its cosine counts; those of a space are one together.
    pub weight: f32,
}

/// What a template's name stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// Manifest id, as templates name it.
    pub id: String,
    /// In the order of the vector's parts.
    pub parts: Vec<Part>,
    /// From loose to strict: rates fall, cosines rise.
    pub calibration: Vec<CalibrationPoint>,
}

impl Space {
    /// A sample here: each part times the root of its weight, so that a cosine here is
    /// the weighted sum of the parts' cosines. `None` if a part is absent.
    pub fn of(&self, embeddings: &[Embedding]) -> Option<Embedding> {
        let mut vector = Vec::new();
        for Part { model, weight } in &self.parts {
            let part = embeddings.iter().find(|e| e.model == *model)?;
            let root = weight.sqrt();
            vector.extend(part.vector.iter().map(|value| value * root));
        }
        Some(Embedding {
            model: self.id.clone(),
            vector,
        })
    }

    /// The cosine to reach so that at most one impostor in `1 / rate` passes;
    /// `None` where the table does not go that far.
    pub fn threshold(&self, rate: f64) -> Option<f32> {
        let strict_enough = |entry: &&CalibrationPoint| entry.false_match_rate <= rate;
        let entry = self.calibration.iter().find(strict_enough);
        entry.map(|entry| entry.cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::biometrics::protected_tests::{as_before, cosine, stored as template};

    fn sample(angles: [f32; 2]) -> Vec<Embedding> {
        let embedding = |(model, angle): (&str, f32)| Embedding {
            model: model.into(),
            vector: vec![angle.cos(), angle.sin()],
        };
        ["a", "b"].into_iter().zip(angles).map(embedding).collect()
    }

    fn space(parts: &[(&str, f32)]) -> Space {
        let part = |(model, weight): &(&str, f32)| Part {
            model: (*model).into(),
            weight: *weight,
        };
        Space {
            id: "s".into(),
            parts: parts.iter().map(part).collect(),
            calibration: Vec::new(),
        }
    }

    #[test]
    fn a_cosine_of_fused_vectors_is_the_weighted_sum_of_the_parts() {
        let (one, other) = (sample([0.1, 2.0]), sample([0.6, 3.1]));
        let fused = space(&[("a", 0.3), ("b", 0.7)]);
        let stored = template(&fused.of(&one).unwrap());
        assert_eq!((stored.model.as_str(), stored.dimension), ("s", 4));
        let found = cosine(&stored, &fused.of(&other).unwrap()).unwrap();
        let wanted = 0.3 * 0.5f32.cos() + 0.7 * 1.1f32.cos();
        assert!((found - wanted).abs() < 1e-3, "{found} {wanted}");
    }

    #[test]
    fn a_template_of_before_the_fusion_keeps_verifying_and_one_of_nobody_does_not() {
        let manifest = crate::worker_link::manifest::Manifest::built_in();
        let mut sample = sample([0.1, 2.0]);
        for (embedding, embedder) in sample.iter_mut().zip(manifest.embedders()) {
            embedding.model = embedder.id.clone();
        }
        let old = as_before(&sample[0]);
        let space = manifest.space(&old.model).unwrap();
        assert_eq!(space.parts.len(), 1);
        let found = cosine(&old, &space.of(&sample).unwrap()).unwrap();
        assert!(found > 0.999, "{found}");
        let made = &manifest.spaces()[0];
        assert_eq!(cosine(&old, &made.of(&sample).unwrap()), None);
        assert!(manifest.space("sface-2019").is_none());
    }

    #[test]
    fn one_part_alone_is_that_embedding_and_an_absent_part_is_nothing() {
        let sample = sample([0.1, 2.0]);
        let alone = space(&[("b", 1.0)]).of(&sample).unwrap();
        assert_eq!(alone.vector, sample[1].vector);
        assert_eq!(space(&[("a", 0.5), ("c", 0.5)]).of(&sample), None);
    }
}
