//! Job threads: each owns its networks and takes one job at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use redoubt_shared::JobId;
use redoubt_shared::worker::{SampleRefusal, WorkerResponse};
use tokio::sync::mpsc::UnboundedSender;

use super::Queue;
use crate::pipeline::Pipeline;
use crate::sandbox::{end, forbid_files};

/// One picture to look at.
#[derive(Debug)]
pub struct Job {
    /// As the peer named it.
    pub id: JobId,
    /// The picture's bytes.
    pub image: Vec<u8>,
    /// When nobody waits any longer.
    pub deadline: Instant,
    /// Where the answer goes.
    pub reply: UnboundedSender<WorkerResponse>,
}

/// When networks run for the first time, which is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstRun {
    /// Before anybody is served: whoever started this worker did so in advance.
    Awaited,
    /// In the background, while the session proves itself.
    Behind,
}

/// Starts one thread per pipeline. Returns when all of them have given up files and
/// are as far as `first` asks; an error if one is not. Where a first run in the
/// background fails the process ends, since no job would do better.
pub fn spawn(
    pipelines: Vec<Pipeline>,
    queue: &Arc<Queue<Job>>,
    first: FirstRun,
) -> Result<(), Box<dyn std::error::Error>> {
    let ready = Arc::new(Barrier::new(pipelines.len() + 1));
    let (failures, failed) = std::sync::mpsc::channel();
    for (number, mut pipeline) in pipelines.into_iter().enumerate() {
        let (queue, ready, failures) = (Arc::clone(queue), Arc::clone(&ready), failures.clone());
        std::thread::Builder::new()
            .name(format!("job-{number}"))
            .spawn(move || {
                let prepared = prepare(&mut pipeline, first);
                let usable = prepared.is_ok();
                if let Err(error) = prepared {
                    let _ = failures.send(error);
                }
                ready.wait();
                if usable {
                    work(&mut pipeline, &queue, first);
                }
            })?;
    }
    ready.wait();
    match failed.try_recv() {
        Ok(error) => Err(error.into()),
        Err(_) => Ok(()),
    }
}

fn prepare(pipeline: &mut Pipeline, first: FirstRun) -> Result<(), String> {
    forbid_files().map_err(|error| error.to_string())?;
    match first {
        FirstRun::Awaited => pipeline.warm_up().map_err(|error| error.to_string()),
        FirstRun::Behind => Ok(()),
    }
}

fn work(pipeline: &mut Pipeline, queue: &Queue<Job>, first: FirstRun) {
    if first == FirstRun::Behind {
        let began = Instant::now();
        if let Err(error) = pipeline.warm_up() {
            tracing::error!("the networks do not run: {error}");
            end(1);
        }
        let millis = began.elapsed().as_millis();
        tracing::info!(millis, "the networks have run once");
    }
    while let Some(job) = queue.pop() {
        run(pipeline, job);
    }
}

fn run(pipeline: &mut Pipeline, job: Job) {
    let Job {
        id,
        image,
        deadline,
        reply,
    } = job;
    // A decoder that panics on a crafted picture costs that picture its answer,
    // not the worker its thread.
    let work = AssertUnwindSafe(|| pipeline.face(&image, deadline));
    let outcome = match catch_unwind(work) {
        Ok((outcome, times)) => {
            let micros = |stage: Duration| stage.as_micros() as u64;
            let [decode, detect, align, embed] =
                [times.decode, times.detect, times.align, times.embed].map(micros);
            tracing::debug!(decode, detect, align, embed, "job done, microseconds");
            outcome
        }
        Err(_) => Err(SampleRefusal::Failed),
    };
    // Nobody is left to tell when the session is over.
    let _ = reply.send(WorkerResponse::Face { job: id, outcome });
}
