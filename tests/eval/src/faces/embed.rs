//! Every image through the worker, or from what it answered before.

use std::io::Cursor;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use image::ImageFormat;
use redoubt_enclave::worker_link::WorkerError;
use redoubt_enclave::worker_link::manifest::Manifest;
use redoubt_shared::worker::{FaceSample, SampleRefusal};

use super::cache::{Cache, Outcome, key};
use super::tree::Image;
use super::worker::{Start, Worker};

/// Jobs underway at once: enough for every core, few enough that none waits long.
pub(crate) const UNDERWAY: usize = 6;
/// Sides of the middle that is sent where a whole image shows several people, as
/// shares of the shorter side: the first with one face counts. In LFW the person meant
/// stands in the middle.
const MIDDLES: [f64; 3] = [0.6, 0.75, 0.5];
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What came of each image, in their order.
pub(super) async fn embed(
    images: &[Image],
    start: &Start,
    basis: &str,
    manifest: &Manifest,
    cache: &mut Cache,
) -> Result<Vec<Outcome>> {
    let mut keys = Vec::with_capacity(images.len());
    for image in images {
        let bytes = std::fs::read(&image.path).with_context(|| image.name.clone())?;
        keys.push(key(&[basis.as_bytes(), &bytes]));
    }
    let open: Vec<usize> = (0..images.len())
        .filter(|at| cache.get(&keys[*at]).is_none())
        .collect();
    println!(
        "{} images of {} persons; {} known from before",
        images.len(),
        images.last().map_or(0, |image| image.person + 1),
        images.len() - open.len()
    );
    if !open.is_empty() {
        let worker = Worker::start(start, manifest).await?;
        let jobs = open.iter().map(|at| {
            let worker = &worker;
            async move { (*at, one(worker, &images[*at]).await) }
        });
        let mut answers = stream::iter(jobs).buffer_unordered(UNDERWAY);
        let mut progress = Progress::new(open.len());
        while let Some((at, outcome)) = answers.next().await {
            let outcome = outcome.with_context(|| images[at].name.clone())?;
            cache.put(keys[at].clone(), outcome)?;
            if progress.step() {
                cache.put_times(worker.times())?;
            }
        }
        drop(answers);
        cache.put_times(worker.times())?;
    }
    let known = keys.iter().map(|key| cache.get(key).cloned());
    known
        .collect::<Option<_>>()
        .context("an image without an answer")
}

async fn one(worker: &Worker, image: &Image) -> Result<Outcome> {
    let whole = std::fs::read(&image.path)?;
    match send(worker, whole.clone()).await? {
        Err(SampleRefusal::ManyFaces) => of_the_middle(worker, &whole).await,
        answer => Ok(outcome(answer, false)),
    }
}

async fn of_the_middle(worker: &Worker, whole: &[u8]) -> Result<Outcome> {
    for part in MIDDLES.iter().filter_map(|share| middle(whole, *share)) {
        if let Ok(sample) = send(worker, part).await? {
            return Ok(outcome(Ok(sample), true));
        }
    }
    Ok(outcome(Err(SampleRefusal::ManyFaces), false))
}

async fn send(worker: &Worker, image: Vec<u8>) -> Result<Result<FaceSample, SampleRefusal>> {
    match worker.face(image).await {
        Ok(sample) => Ok(Ok(sample)),
        Err(WorkerError::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(error.into()),
    }
}

fn outcome(answer: Result<FaceSample, SampleRefusal>, cropped: bool) -> Outcome {
    match answer {
        Ok(sample) => {
            let vectors = sample.embeddings.into_iter().map(|e| (e.model, e.vector));
            Outcome::Embedded {
                vectors: vectors.collect(),
                cropped,
            }
        }
        Err(refusal) => Outcome::Refused(format!("{refusal:?}")),
    }
}

/// The middle of an image, without loss.
fn middle(bytes: &[u8], share: f64) -> Option<Vec<u8>> {
    let whole = image::load_from_memory(bytes).ok()?;
    let side = (f64::from(whole.width().min(whole.height())) * share) as u32;
    let (left, top) = ((whole.width() - side) / 2, (whole.height() - side) / 2);
    let mut out = Cursor::new(Vec::new());
    let part = whole.crop_imm(left, top, side, side);
    part.write_to(&mut out, ImageFormat::Png).ok()?;
    Some(out.into_inner())
}

pub(crate) struct Progress {
    all: usize,
    done: usize,
    began: Instant,
    said: Instant,
}

impl Progress {
    pub(crate) fn new(all: usize) -> Self {
        let (began, done) = (Instant::now(), 0);
        let said = began;
        Self {
            all,
            done,
            began,
            said,
        }
    }

    /// One more; whether it was said.
    pub(crate) fn step(&mut self) -> bool {
        self.done += 1;
        if self.said.elapsed() < SAY_EVERY && self.done < self.all {
            return false;
        }
        self.said = Instant::now();
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = self.done as f64 / seconds;
        let left = (self.all - self.done) as f64 / rate;
        println!(
            "  {} of {} images, {rate:.1} a second, {left:.0} s left",
            self.done, self.all
        );
        true
    }
}
