//! Face and voice together, beside each alone, over the same pairs.
//!
//! Protects against a gain nobody has: there is no set of people with faces and voices, so
//! each person of one set is given a speaker of another. Such *chimeric* customers are an
//! old practice, since databases of several modalities of one person are small (Ross,
//! Nandakumar and Jain, Handbook of Multibiometrics, 2006), and its weakness is known:
//! it assumes that a person's face and voice err independently of each other (Poh and
//! Bengio, "Using chimeric users to construct fusion classifiers in biometric
//! authentication tasks", ICASSP 2006). Of people's own pairs nothing is said here.

mod chimera;
mod figures;
mod fisher;
mod report;
mod trials;
mod voice;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redoubt_enclave::biometrics::{Multimodal, VoiceSpaces};
use redoubt_enclave::worker_link::manifest::Manifest;

use crate::faces::{self, Start};
use crate::voices;
use chimera::Customers;
use figures::Figures;
use voice::Voices;

/// What to evaluate, and with what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A folder of images for each person.
    pub faces: PathBuf,
    /// A folder of recordings for each speaker.
    pub voices: PathBuf,
    /// Where the answers are kept, and the report goes.
    pub report: PathBuf,
    /// Who is given whose voice, and which recordings are compared.
    pub seed: u64,
    /// How the worker is started.
    pub start: Start,
}

/// Images and recordings, what came of them, and who has which.
struct Run {
    faces: faces::Run,
    heard: voices::Run,
    voices: Voices,
    customers: Customers,
    both: Multimodal,
    /// Where a face and where a voice is accepted alone.
    alone: Alone,
    seed: u64,
}

/// The calibrations of each alone.
struct Alone {
    face: redoubt_enclave::biometrics::Space,
    voice: redoubt_enclave::biometrics::Space,
}

/// Evaluates, writes the report and the page beside it; the page's place.
pub fn evaluate(plan: &Plan) -> Result<PathBuf> {
    let run = run(plan)?;
    println!(
        "{} persons, each with the voice of one of {} speakers",
        run.customers.persons(),
        run.voices.speakers()
    );
    let figures = Figures::count(&run);
    figures.say();
    let json = report::json(&run, &figures);
    write(&plan.report, &serde_json::to_string_pretty(&json)?)?;
    let page = plan.report.with_extension("html");
    write(&page, &report::page(&run, &figures, &json))?;
    Ok(page)
}

fn run(plan: &Plan) -> Result<Run> {
    let manifest = Manifest::built_in();
    let both = manifest.newest_multimodal().cloned();
    let both = both.context("images/models.toml has no [[multimodal]] of its first spaces")?;
    let found = manifest.voice_spaces().first().cloned();
    let spaces: VoiceSpaces = found.context("images/models.toml has no voice_embedder")?;
    let face = manifest.space(&both.face.space).cloned();
    let alone = Alone {
        face: face.context("a fusion without its space of faces")?,
        voice: spaces.template.clone(),
    };
    let heard = voices::run(&voices::Plan {
        root: plan.voices.clone(),
        report: plan.report.clone(),
        start: plan.start.clone(),
    })?;
    let faces = faces::run(&faces::Plan {
        root: plan.faces.clone(),
        pairs: None,
        report: plan.report.clone(),
        space: Some(both.face.space.clone()),
        start: plan.start.clone(),
    })?;
    let voices = Voices::new(&heard, &spaces, plan.seed);
    ensure!(
        voices.speakers() >= 2,
        "{}: two speakers are needed with {} recordings each that agree, and one more",
        plan.voices.display(),
        spaces.recordings
    );
    let persons = faces.images.last().map_or(0, |image| image.person + 1);
    Ok(Run {
        customers: Customers::new(persons as usize, voices.speakers(), plan.seed),
        faces,
        heard,
        voices,
        both,
        alone,
        seed: plan.seed,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
