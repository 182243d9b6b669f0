//! Faces: LFW's protocol and all pairs, through the worker's own process and the
//! enclave's own comparison.

pub mod cache;
pub mod calibrate;
mod duplicates;
pub(crate) mod embed;
mod matrix;
pub mod outcome;
pub mod pairs;
mod report;
pub mod times;
pub mod tree;
mod worker;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use redoubt_enclave::biometrics::Space;
use redoubt_enclave::worker_link::manifest::Manifest;
use redoubt_shared::worker::Embedding;

use cache::{Cache, Outcome};
pub use matrix::Samples;
use tree::Image;
pub use worker::{Start, Worker};

/// What to evaluate, and with what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A folder of images for each person.
    pub root: PathBuf,
    /// A list of pairs; `pairs.txt` of the root if there is one and none is said.
    pub pairs: Option<PathBuf>,
    /// Where the answers are kept, and the report goes.
    pub report: PathBuf,
    /// In which of the manifest's spaces; the one templates are made in unless said.
    pub space: Option<String>,
    /// How the worker is started.
    pub start: Start,
}

/// Images, what came of them, and their vectors in the space.
pub struct Run {
    /// As found.
    pub images: Vec<Image>,
    /// In their order.
    pub outcomes: Vec<Outcome>,
    /// In their order.
    pub samples: Samples,
    /// Where they are compared.
    pub space: Space,
    /// Of all jobs.
    pub times: Vec<times::Stages>,
    /// SHA-256 of the model manifest.
    pub models: String,
}

/// Everything up to the scores.
pub fn run(plan: &Plan) -> Result<Run> {
    let manifest = Manifest::built_in();
    let space = match &plan.space {
        None => manifest.spaces().first(),
        Some(id) => manifest.space(id),
    };
    let space = space.with_context(|| {
        let known: Vec<&str> = manifest.spaces().iter().map(|s| s.id.as_str()).collect();
        format!(
            "no such space in images/models.toml; it has {}",
            known.join(", ")
        )
    })?;
    let images = tree::images(&plan.root)?;
    let models = hex::encode(manifest.digest().0);
    let program = std::fs::read(&plan.start.program)
        .with_context(|| format!("{}: run `cargo xtask build`", plan.start.program.display()))?;
    let mirrored = [u8::from(plan.start.mirrored)];
    let basis = cache::key(&[models.as_bytes(), &program, &mirrored]);
    let mut cache = Cache::open(&cache::path(&plan.report, &basis))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcomes = runtime.block_on(embed::embed(
        &images,
        &plan.start,
        &basis,
        &manifest,
        &mut cache,
    ))?;
    let persons = images.iter().map(|image| image.person).collect();
    let vectors = outcomes.iter().map(|outcome| vector(space, outcome));
    let samples = Samples::new(persons, vectors.collect::<Result<_>>()?);
    Ok(Run {
        samples,
        space: space.clone(),
        times: cache.times().to_vec(),
        images,
        outcomes,
        models,
    })
}

/// An answer in a space.
fn vector(space: &Space, outcome: &Outcome) -> Result<Option<Vec<f32>>> {
    let Outcome::Embedded { vectors, .. } = outcome else {
        return Ok(None);
    };
    let embedding = |(model, vector): &(String, Vec<f32>)| Embedding {
        model: model.clone(),
        vector: vector.clone(),
    };
    let embeddings: Vec<_> = vectors.iter().map(embedding).collect();
    let made = space.of(&embeddings).context("an answer without a part")?;
    Ok(Some(made.vector))
}

/// Evaluates, writes the report and the page beside it; the page's place.
pub fn evaluate(plan: &Plan) -> Result<PathBuf> {
    // Read first: a wrong list ends the run before its work.
    let images = tree::images(&plan.root)?;
    let list = plan.pairs.clone().or_else(|| {
        let usual = plan.root.join("pairs.txt");
        usual.exists().then_some(usual)
    });
    let list = list.map(|path| {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        pairs::read(&text, &images).with_context(|| path.display().to_string())
    });
    let list = list.transpose()?;
    let run = run(plan)?;
    println!("comparing all with all");
    let outcome = outcome::Figures::count(&run, list)?;
    let mut json = report::json(&run, &outcome, plan.start.mirrored);
    json["duplicates"] = duplicates::count(&run)?.into();
    write(&plan.report, &serde_json::to_string_pretty(&json)?)?;
    let page = plan.report.with_extension("html");
    write(&page, &report::page(&run, &outcome, &json))?;
    outcome.say();
    Ok(page)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
