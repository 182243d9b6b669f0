//! Spoken digits: recordings of six digits, put together of recordings of single ones, go
//! through the worker's own process and the enclave's own rule. How often those who read
//! what was asked are accepted, and how often a recording of something else is.

mod compose;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use redoubt_enclave::biometrics::Space;
use redoubt_enclave::biometrics::spoken::{self, DIGITS};
use redoubt_enclave::worker_link::WorkerError;
use redoubt_enclave::worker_link::manifest::Manifest;
use redoubt_shared::worker::SpokenSample;
use serde_json::Value;

use crate::faces::{Start, Worker};
use crate::stats::SplitMix;
use compose::{Speakers, Trial};

/// Jobs under way at once.
const UNDER_WAY: usize = 2;

/// What to evaluate, and with what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `DIGIT_SPEAKER_N.wav` at any depth.
    pub root: PathBuf,
    /// Recordings of six digits for each speaker.
    pub trials: usize,
    /// What is put together of what.
    pub seed: u64,
    /// Where the report goes.
    pub report: PathBuf,
    /// How the worker is started.
    pub start: Start,
}

/// What came of one recording, judged as what it is and as attacks.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) speaker: usize,
    pub(crate) kind: Kind,
    /// Words found; none where the recording was refused.
    pub(crate) words: Option<usize>,
    /// Of words found where six belong: which are the digit that was spoken.
    pub(crate) right: Option<[bool; DIGITS]>,
    /// Mean logarithm, by how much a word is beaten, and cosine of the halves.
    pub(crate) measures: Option<[f32; 3]>,
    /// By the rule that serves; the reason where it is refused.
    pub(crate) outcome: Result<(), String>,
    /// The whole voice and both halves, of unit length.
    pub(crate) voices: Option<[Vec<f32>; 3]>,
    pub(crate) millis: f64,
}

/// What was asked, beside what was spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The digits asked for.
    Genuine,
    /// Each digit another.
    AllOther,
    /// One digit another.
    OneOther,
    /// The digits asked for, the second three by somebody else.
    TwoVoices,
}

/// Measures, and writes and returns the report.
pub fn evaluate(plan: &Plan) -> Result<Value> {
    let speakers = Speakers::find(&plan.root)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let judged = runtime.block_on(judge_all(plan, &speakers))?;
    let report = report::of(&judged, &speakers, plan);
    std::fs::write(&plan.report, format!("{report:#}\n"))
        .with_context(|| plan.report.display().to_string())?;
    Ok(report)
}

async fn judge_all(plan: &Plan, speakers: &Speakers) -> Result<Vec<Judged>> {
    let manifest = Manifest::built_in();
    anyhow::ensure!(
        manifest.has_digits(),
        "images/models.toml has no models for spoken digits"
    );
    let spaces = manifest.voice_spaces().first();
    let space = &spaces
        .context("images/models.toml has no voice_embedder")?
        .single;
    let worker = Worker::start(&plan.start, &manifest).await?;
    let mut draw = SplitMix::new(plan.seed);
    let mut trials = Vec::new();
    for speaker in 0..speakers.count() {
        for _ in 0..plan.trials {
            trials.extend(speakers.trial(speaker, &mut draw)?);
        }
    }
    let all = trials.len();
    println!("{all} recordings of {} speakers", speakers.count());
    let jobs = trials.into_iter().map(|trial| judge(&worker, trial, space));
    let mut answers = stream::iter(jobs).buffered(UNDER_WAY);
    let (mut judged, mut done) = (Vec::new(), 0);
    while let Some(answer) = answers.next().await {
        judged.extend(answer?);
        done += 1;
        if done % 100 == 0 || done == all {
            println!("  {done} of {all}");
        }
    }
    Ok(judged)
}

/// One recording through the worker, judged against each list of digits it stands for.
async fn judge(worker: &Worker, trial: Trial, space: &Space) -> Result<Vec<Judged>> {
    let began = Instant::now();
    let heard = match worker.spoken(trial.file).await {
        Ok(sample) => Ok(sample),
        Err(WorkerError::Refused(refusal)) => Err(format!("{refusal:?}")),
        Err(error) => return Err(error.into()),
    };
    let millis = began.elapsed().as_secs_f64() * 1e3;
    let each = trial.asked.into_iter().map(|(kind, asked)| Judged {
        speaker: trial.speaker,
        kind,
        words: heard.as_ref().ok().map(|sample| sample.words.len()),
        right: heard
            .as_ref()
            .ok()
            .and_then(|sample| right(sample, &trial.spoken)),
        measures: heard
            .as_ref()
            .ok()
            .and_then(|sample| measures(sample, &asked, space)),
        outcome: heard.as_ref().map_err(Clone::clone).and_then(|sample| {
            spoken::judge(&asked, sample, space).map_err(|lapse| format!("{lapse:?}"))
        }),
        voices: heard.as_ref().ok().and_then(voices),
        millis,
    });
    Ok(each.collect())
}

fn voices(sample: &SpokenSample) -> Option<[Vec<f32>; 3]> {
    let whole = sample.voice.embeddings.first()?;
    let [one, other] = &sample.halves[..] else {
        return None;
    };
    Some([whole, one, other].map(|embedding| embedding.vector.clone()))
}

fn right(sample: &SpokenSample, spoken: &[u8; DIGITS]) -> Option<[bool; DIGITS]> {
    let six = sample.words.len() == DIGITS;
    let likeliest = |at: usize| {
        let digits = &sample.words[at].digits;
        (0..10u8).max_by(|a, b| digits[usize::from(*a)].total_cmp(&digits[usize::from(*b)]))
    };
    six.then(|| std::array::from_fn(|at| likeliest(at) == Some(spoken[at])))
}

fn measures(sample: &SpokenSample, asked: &[u8; DIGITS], space: &Space) -> Option<[f32; 3]> {
    let (score, beaten) = spoken::score(asked, sample).zip(spoken::beaten(asked, sample))?;
    Some([score, beaten, spoken::halves(sample, space)?])
}
