//! The embeddings that the worker computes, so that a search can look for them.
//!
//! Nobody outside the enclave and its worker sees an embedding; here the
//! worker's own pipeline runs in the test to learn what must not be seen.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use redoubt_bank::blindness::{Markers, NamedVector};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Graphs, Pipeline, Settings};
use redoubt_worker::runtime;

const PATIENCE: Duration = Duration::from_secs(60);

/// Adds the embeddings of every marker image that shows one usable face;
/// answers how many there are.
pub fn add(models: &Path, manifest: &Path, markers: &mut Markers) -> Result<usize> {
    let manifest = Manifest::open(manifest, models)?;
    let onnx = runtime::load(&manifest).map_err(|error| anyhow!("{error}"))?;
    let mut pipeline = Pipeline::load(&onnx, &Graphs::read(&manifest)?, Settings::default(), &[])?;
    let built_in = redoubt_enclave::worker_link::manifest::Manifest::built_in();
    let spaces: Vec<_> = built_in
        .spaces()
        .iter()
        .filter(|s| s.parts.len() > 1)
        .collect();
    let before = markers.vectors.len();
    for image in &markers.images {
        let bytes = std::fs::read(&image.path).with_context(|| image.path.display().to_string())?;
        // A sample that is refused has no embedding that could leak.
        let Ok(face) = pipeline.face(&bytes, Instant::now() + PATIENCE).0 else {
            continue;
        };
        // What templates are made of, too.
        let fused = spaces.iter().filter_map(|space| space.of(&face.embeddings));
        let all = face.embeddings.iter().cloned().chain(fused);
        markers.vectors.extend(all.map(|embedding| NamedVector {
            name: format!("embedding of {} by {}", image.name, embedding.model),
            values: embedding.vector,
        }));
    }
    Ok(markers.vectors.len() - before)
}
