//! Voices: all pairs of recordings, through the worker's own process and the enclave's
//! own end of its stream.

pub(crate) mod cache;
mod embed;
mod figures;
mod report;
pub(crate) mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use redoubt_enclave::worker_link::manifest::Manifest;

use cache::{Cache, Outcome};
use figures::Figures;
use tree::Recording;

use crate::faces::{Start, times};

/// What to evaluate, and with what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A folder of recordings for each speaker.
    pub root: PathBuf,
    /// Where the answers are kept, and the report goes.
    pub report: PathBuf,
    /// How the worker is started.
    pub start: Start,
}

/// Recordings and what came of them.
pub(crate) struct Run {
    pub(crate) recordings: Vec<Recording>,
    /// In their order.
    pub(crate) outcomes: Vec<Outcome>,
    /// Of all jobs.
    pub(crate) times: Vec<times::Stages>,
    /// The embedder.
    pub(crate) model: String,
    /// SHA-256 of the model manifest.
    pub(crate) models: String,
}

impl Run {
    pub(crate) fn speakers(&self) -> u32 {
        let last = self.recordings.last();
        last.map_or(0, |recording| recording.speaker + 1)
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.recordings.iter().zip(&self.outcomes);
        all.filter_map(|(recording, outcome)| match outcome {
            Outcome::Refused(reason) => Some((recording.name.as_str(), reason.as_str())),
            Outcome::Embedded(_) => None,
        })
    }
}

/// Evaluates, writes the report and the page beside it; the page's place.
pub fn evaluate(plan: &Plan) -> Result<PathBuf> {
    let run = run(plan)?;
    println!("comparing all with all");
    let figures = Figures::count(&run);
    figures.say();
    let json = report::json(&run, &figures);
    write(&plan.report, &serde_json::to_string_pretty(&json)?)?;
    let page = plan.report.with_extension("html");
    write(&page, &report::page(&run, &figures, &json))?;
    Ok(page)
}

/// Everything up to the scores.
pub(crate) fn run(plan: &Plan) -> Result<Run> {
    let manifest = Manifest::built_in();
    let model = manifest.voice_embedders().first();
    let model = model.context("images/models.toml has no voice_embedder")?;
    let recordings = tree::recordings(&plan.root)?;
    let models = hex::encode(manifest.digest().0);
    let program = std::fs::read(&plan.start.program)
        .with_context(|| format!("{}: run `cargo xtask build`", plan.start.program.display()))?;
    let basis = cache::key(&[models.as_bytes(), &program]);
    let mut cache = Cache::open(&cache::path(&plan.report, &basis))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcomes = embed::embed(&recordings, &plan.start, &manifest, &mut cache);
    Ok(Run {
        outcomes: runtime.block_on(outcomes)?,
        times: cache.times().to_vec(),
        recordings,
        model: model.id.clone(),
        models,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
