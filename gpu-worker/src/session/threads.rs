//! Job threads: each owns its networks and takes one job at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use redoubt_shared::JobId;
use redoubt_shared::worker::{FrameRefusal, SampleRefusal, WorkerResponse};
use tokio::sync::mpsc::UnboundedSender;

use super::{Kind, Queue, Work};
use crate::pipeline::Pipeline;
use crate::sandbox::{end, forbid_files};
use crate::voice::VoiceTimes;

/// What to look at or listen to.
#[derive(Debug)]
pub enum Sample {
    /// A picture's bytes, and whether its passive liveness is wanted.
    Face {
        /// JPEG, PNG or WebP.
        image: Vec<u8>,
        /// Asked for.
        liveness: bool,
    },
    /// A recording's bytes.
    Voice(Vec<u8>),
    /// A recording of somebody who reads digits.
    Spoken(Vec<u8>),
    /// Frames of one face, and whether their passive liveness is wanted.
    Frames {
        /// JPEG, PNG or WebP.
        frames: Vec<Vec<u8>>,
        /// Asked for.
        liveness: bool,
    },
}

impl Sample {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Face { image: bytes, .. } | Self::Voice(bytes) | Self::Spoken(bytes) => {
                bytes.len()
            }
            Self::Frames { frames, .. } => frames.iter().map(Vec::len).sum(),
        }
    }

    /// What it is to a thread.
    pub(super) fn work(&self) -> Work {
        let (kind, pieces) = match self {
            Self::Face {
                liveness: false, ..
            } => (Kind::Face, 1),
            Self::Face { liveness: true, .. } => (Kind::LiveFace, 1),
            Self::Voice(_) => (Kind::Voice, 1),
            Self::Spoken(_) => (Kind::Spoken, 1),
            Self::Frames {
                frames,
                liveness: false,
            } => (Kind::Frames, frames.len()),
            Self::Frames {
                frames,
                liveness: true,
            } => (Kind::LiveFrames, frames.len()),
        };
        Work {
            kind,
            pieces: u32::try_from(pieces).unwrap_or(u32::MAX),
        }
    }
}

/// One sample to embed.
#[derive(Debug)]
pub struct Job {
    /// As the peer named it.
    pub id: JobId,
    /// The sample.
    pub sample: Sample,
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
    queue.join();
    while let Some((ticket, job)) = queue.pop() {
        let measured = run(pipeline, job);
        queue.done(&ticket, measured);
    }
}

impl Job {
    /// Answers without an embedding.
    pub(super) fn refuse(self, refusal: SampleRefusal) {
        let job = self.id;
        let answer = match self.sample {
            Sample::Face { .. } => WorkerResponse::Face {
                job,
                outcome: Err(refusal),
            },
            Sample::Voice(_) => WorkerResponse::Voice {
                job,
                outcome: Err(refusal),
            },
            Sample::Spoken(_) => WorkerResponse::Spoken {
                job,
                outcome: Err(refusal),
            },
            Sample::Frames { .. } => WorkerResponse::Frames {
                job,
                outcome: Err(FrameRefusal {
                    frame: 0,
                    why: refusal,
                }),
            },
        };
        // Nobody is left to tell when the session is over.
        let _ = self.reply.send(answer);
    }
}

/// Whether the sample was measured.
fn run(pipeline: &mut Pipeline, job: Job) -> bool {
    // A decoder that panics on a crafted sample costs that sample its answer, not
    // the worker its thread.
    let work = AssertUnwindSafe(|| match &job.sample {
        Sample::Face { image, liveness } => {
            let (outcome, times) = pipeline.face(image, *liveness, job.deadline);
            tracing::debug!(
                decode = times.decode.as_micros(),
                detect = times.detect.as_micros(),
                align = times.align.as_micros(),
                liveness = times.liveness.as_micros(),
                embed = times.embed.as_micros(),
                "job done, microseconds"
            );
            WorkerResponse::Face {
                job: job.id,
                outcome,
            }
        }
        Sample::Voice(audio) => {
            let (outcome, times) = pipeline.voice(audio, job.deadline);
            tell(&times);
            WorkerResponse::Voice {
                job: job.id,
                outcome,
            }
        }
        Sample::Spoken(audio) => {
            let (outcome, times) = pipeline.spoken(audio, job.deadline);
            tell(&times);
            WorkerResponse::Spoken {
                job: job.id,
                outcome,
            }
        }
        Sample::Frames { frames, liveness } => {
            let began = Instant::now();
            let outcome = pipeline.frames(frames, *liveness, job.deadline);
            let (frames, micros) = (frames.len(), began.elapsed().as_micros());
            tracing::debug!(frames, micros, "frames done, microseconds");
            WorkerResponse::Frames {
                job: job.id,
                outcome,
            }
        }
    });
    match catch_unwind(work) {
        Ok(answer) => {
            let measured = is_measured(&answer);
            drop(job.reply.send(answer));
            measured
        }
        Err(_) => {
            job.refuse(SampleRefusal::Failed);
            false
        }
    }
}

/// Says what each stage of a recording took.
fn tell(times: &VoiceTimes) {
    tracing::debug!(
        decode = times.decode.as_micros(),
        activity = times.activity.as_micros(),
        features = times.features.as_micros(),
        embed = times.embed.as_micros(),
        digits = times.digits.as_micros(),
        "voice done, microseconds"
    );
}

fn is_measured(answer: &WorkerResponse) -> bool {
    match answer {
        WorkerResponse::Face { outcome, .. } => outcome.is_ok(),
        WorkerResponse::Voice { outcome, .. } => outcome.is_ok(),
        WorkerResponse::Spoken { outcome, .. } => outcome.is_ok(),
        WorkerResponse::Frames { outcome, .. } => outcome.is_ok(),
        WorkerResponse::Evidence { .. } => false,
    }
}
