//! What the enclave keeps of an embedding: int8 under a transform.

use redoubt_enclave::biometrics::{Made, Owner, Transforms};
use redoubt_enclave::core::{Modality, SubjectHandle, Template, TenantKeySeeds};
use redoubt_shared::worker::Embedding;

/// Seeds of a tenant that there is not.
const SEEDS: TenantKeySeeds = TenantKeySeeds {
    es256: [1; 32],
    mldsa65: [2; 32],
};
/// Whose templates are made here: all numbers are one customer's.
pub(crate) const OWNER: Owner = Owner {
    subject: SubjectHandle([3; 16]),
    modality: Modality::Face,
};

/// The transforms of that tenant.
pub(crate) fn transforms() -> Transforms {
    Transforms::new(&SEEDS)
}

/// A vector as the enclave stores it, under the transform of this number, from 1.
pub(crate) fn stored(transforms: &Transforms, number: u32, vector: &[f32]) -> Option<Template> {
    let made = Made {
        quality: 1.0,
        worker_tier: "process",
        at_ms: 0,
    };
    transforms.protected(&OWNER, number, &embedding(vector), made)
}

/// What is kept of a vector, of unit length, as its angles are compared.
pub(crate) fn kept(transforms: &Transforms, number: u32, vector: &[f32]) -> Vec<f32> {
    let template = stored(transforms, number, vector);
    let kept = template.and_then(|template| transforms.revealed(&OWNER, &template));
    unit(&kept.unwrap_or_default())
}

pub(crate) fn embedding(vector: &[f32]) -> Embedding {
    Embedding {
        model: String::new(),
        vector: vector.to_vec(),
    }
}

pub(crate) fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    let long = norm.max(f32::MIN_POSITIVE);
    vector.iter().map(|v| v / long).collect()
}
