//! Every recording through the worker, or from what it answered before.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use redoubt_enclave::worker_link::WorkerError;
use redoubt_enclave::worker_link::manifest::Manifest;

use super::cache::{Cache, Outcome, key};
use super::tree::Recording;
use crate::faces::{Start, Worker};

/// Jobs under way at once: enough for every core, few enough that none waits long.
const UNDER_WAY: usize = 4;
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What came of each recording, in their order. The cache is one of these models and
/// this program.
pub(super) async fn embed(
    recordings: &[Recording],
    start: &Start,
    manifest: &Manifest,
    cache: &mut Cache,
) -> Result<Vec<Outcome>> {
    let mut keys = Vec::with_capacity(recordings.len());
    for recording in recordings {
        let bytes = std::fs::read(&recording.path).with_context(|| recording.name.clone())?;
        keys.push(key(&[&bytes]));
    }
    let all = 0..recordings.len();
    let open: Vec<usize> = all.filter(|at| cache.get(&keys[*at]).is_none()).collect();
    println!(
        "{} recordings of {} speakers; {} known from before",
        recordings.len(),
        recordings
            .last()
            .map_or(0, |recording| recording.speaker + 1),
        recordings.len() - open.len()
    );
    if !open.is_empty() {
        let worker = Worker::start(start, manifest).await?;
        let jobs = open.iter().map(|at| {
            let worker = &worker;
            async move { (*at, one(worker, &recordings[*at]).await) }
        });
        let mut answers = stream::iter(jobs).buffer_unordered(UNDER_WAY);
        let (began, mut said, mut done) = (Instant::now(), Instant::now(), 0);
        while let Some((at, outcome)) = answers.next().await {
            let outcome = outcome.with_context(|| recordings[at].name.clone())?;
            cache.put(keys[at].clone(), outcome)?;
            done += 1;
            if said.elapsed() >= SAY_EVERY || done == open.len() {
                cache.put_times(worker.times())?;
                said = Instant::now();
                let rate = f64::from(done as u32) / began.elapsed().as_secs_f64();
                let left = (open.len() - done) as f64 / rate;
                println!(
                    "  {done} of {}, {rate:.1} a second, {left:.0} s left",
                    open.len()
                );
            }
        }
    }
    let known = keys.iter().map(|key| cache.get(key).cloned());
    let known: Option<Vec<Outcome>> = known.collect();
    known.context("a recording without an answer")
}

async fn one(worker: &Worker, recording: &Recording) -> Result<Outcome> {
    let audio = std::fs::read(&recording.path)?;
    match worker.voice(audio).await {
        Ok(sample) => {
            let first = sample.embeddings.into_iter().next();
            let first = first.context("an answer without an embedding")?;
            Ok(Outcome::Embedded(first.vector))
        }
        Err(WorkerError::Refused(refusal)) => Ok(Outcome::Refused(format!("{refusal:?}"))),
        Err(error) => Err(error.into()),
    }
}
