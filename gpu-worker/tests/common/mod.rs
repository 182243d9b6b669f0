//! What the tests of the worker share.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod audio;
pub(crate) mod client;
pub(crate) mod graphdef;
pub(crate) mod opus;
pub(crate) mod picture;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ort::environment::Environment;
use redoubt_shared::worker::FaceSample;
use redoubt_worker::cuda::{Compared, Cuda};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Graphs, Pipeline, Settings};
use redoubt_worker::runtime;

/// The folder an environment variable names; says so and gives `None` if it is unset.
pub(crate) fn folder(variable: &str, test: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        println!("skipped: {test}: {variable} is not set");
    }
    found
}

/// The committed model manifest.
pub(crate) fn manifest_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/models.toml")
}

/// A pipeline on one thread; with REDOUBT_GPU, the folder of the CUDA compiler, its
/// embedders run on the NVIDIA GPU. The environment must live as long.
pub(crate) fn pipeline(models: &Path) -> (Environment, Pipeline) {
    let manifest = Manifest::open(&manifest_path(), models).unwrap();
    let environment = runtime::load(&manifest).unwrap();
    let graphs = Graphs::read(&manifest).unwrap();
    let gpu = std::env::var_os("REDOUBT_GPU").map(|compiler| {
        let compared = Compared::all(&environment, &graphs).unwrap();
        let cuda = Cuda::open(Path::new(&compiler)).unwrap();
        cuda.embedders(compared).unwrap()
    });
    let gpu = gpu.unwrap_or_default();
    let mut pipeline = Pipeline::load(&environment, &graphs, Settings::default(), &gpu).unwrap();
    pipeline.warm_up().unwrap();
    (environment, pipeline)
}

/// A deadline no test reaches.
pub(crate) fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Cosine of the first embeddings of two samples.
pub(crate) fn cosine(a: &FaceSample, b: &FaceSample) -> f32 {
    let (a, b) = (&a.embeddings[0].vector, &b.embeddings[0].vector);
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
