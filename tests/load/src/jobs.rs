//! What one process of the sealed worker holds after many jobs: faces, frames, voices and
//! digits, samples that it refuses, and files that are hurt, each time otherwise.
//!
//! The worker is the real program in a process of its own, which nobody renews; the other
//! end of its stream is the enclave's, without an appliance around it.

use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use futures::stream::{self, StreamExt};
use redoubt_bank::media::{Media, decode, encode, scaled};
use redoubt_bank::moving::{Camera, Portrait};
use redoubt_bank::speech::{BASS, CHILD, wav};
use redoubt_e2e::Environment;
use redoubt_enclave::worker_link::WorkerError;
use redoubt_enclave::worker_link::manifest::Manifest;
use redoubt_eval::faces::{Start, Worker};
use tokio::runtime::Runtime;

use crate::draws::Draws;
use crate::rows::Row;
use crate::worker::{GROWTH, WARM, resident};

/// Jobs at once: one more than there are threads on two cores.
const AT_ONCE: usize = 3;
/// Jobs after which memory is a row of its own.
const ROW: u64 = 10_000;
/// Rows of pixels of the portraits, beside their own.
const HEIGHTS: [u32; 4] = [260, 360, 480, 700];
const FRAMES: usize = 8;

pub(crate) fn run(jobs: u64) -> Result<Vec<Row>> {
    let Some(environment) = Environment::with_media("worker") else {
        bail!("start this with cargo xtask bench")
    };
    ensure!(jobs > WARM, "--jobs: more than {WARM} are needed");
    let samples = Samples::make(&environment.media()?)?;
    Runtime::new()?.block_on(memory(&environment, &samples, jobs))
}

async fn memory(environment: &Environment, samples: &Samples, jobs: u64) -> Result<Vec<Row>> {
    let start = Start {
        program: environment.program("redoubt-worker"),
        models: environment.models().clone(),
        mirrored: false,
    };
    let worker = Worker::start(&start, &Manifest::built_in()).await?;
    let (mut counts, mut first, mut rows) = (Counts::default(), None, Vec::new());
    let began = Instant::now();
    let all = (0..jobs).map(|number| samples.job(number).done_by(&worker));
    let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
    while let Some(answer) = all.next().await {
        let done = counts.take(answer)?;
        if !done.is_multiple_of(WARM) && done != jobs {
            continue;
        }
        // Times are of no interest here.
        drop(worker.times());
        let held = resident(worker.pid())?;
        let seconds = began.elapsed().as_secs();
        println!("  {done} jobs, {held:.1} MiB, {seconds} s: {counts:?}");
        let before = *first.get_or_insert(held);
        if done.is_multiple_of(ROW) || done == jobs {
            let name = format!("memory of a worker after {done} jobs, beside after {WARM}");
            rows.push(Row::new(name, held, before, "MiB", done as usize).at_most(GROWTH));
        }
    }
    Ok(rows)
}

/// What became of jobs.
#[derive(Debug, Default)]
struct Counts {
    measured: u64,
    refused: u64,
}

impl Counts {
    /// Counts one, and says how many there were.
    fn take(&mut self, answer: Result<(), WorkerError>) -> Result<u64> {
        match answer {
            Ok(()) => self.measured += 1,
            Err(WorkerError::Refused(_) | WorkerError::FrameRefused(..)) => self.refused += 1,
            Err(none) => return Err(anyhow!("{none}")),
        }
        Ok(self.measured + self.refused)
    }
}

enum Job {
    Face(Vec<u8>),
    LiveFace(Vec<u8>),
    Frames(Vec<Vec<u8>>),
    Voice(Vec<u8>),
    Digits(Vec<u8>),
}

impl Job {
    async fn done_by(self, worker: &Worker) -> Result<(), WorkerError> {
        match self {
            Self::Face(image) => worker.face(image).await.map(drop),
            Self::LiveFace(image) => worker.live(image).await.map(drop),
            Self::Frames(frames) => worker.frames(frames).await.map(drop),
            Self::Voice(audio) => worker.voice(audio).await.map(drop),
            Self::Digits(audio) => worker.spoken(audio).await.map(drop),
        }
    }
}

/// What jobs are made of.
struct Samples {
    portraits: Vec<Vec<u8>>,
    /// Pictures that show no face, two, or one that is dark, far away or no picture.
    poor: Vec<Vec<u8>>,
    /// Of one second to eight.
    recordings: Vec<Vec<u8>>,
    film: Vec<Vec<u8>>,
}

impl Samples {
    fn make(media: &Media) -> Result<Self> {
        let photographs = [&media.person, &media.person_again, &media.other];
        let mut portraits: Vec<_> = photographs.into_iter().cloned().collect();
        for photograph in photographs {
            let photograph = decode(photograph)?;
            for height in HEIGHTS {
                portraits.push(encode(&scaled(&photograph, height))?);
            }
        }
        let poor = [
            &media.no_face,
            &media.two_faces,
            &media.dark,
            &media.tiny,
            &media.not_an_image,
        ];
        let portrait = Portrait::person(&media.person)?;
        let film = Camera::new(1).film(&portrait, &["turn_left", "look_up"])?;
        ensure!(film.len() >= FRAMES, "a film of {} frames", film.len());
        Ok(Self {
            portraits,
            poor: poor.into_iter().cloned().collect(),
            recordings: (1..=8).map(recording).collect(),
            film,
        })
    }

    /// The same for the same number.
    fn job(&self, number: u64) -> Job {
        let mut dice = Dice(Draws(number));
        match dice.0.below(100) {
            0..30 => Job::LiveFace(dice.one_of(&self.portraits)),
            30..45 => Job::Face(dice.one_of(&self.portraits)),
            45..57 => Job::Voice(dice.one_of(&self.recordings)),
            57..59 => Job::Digits(dice.one_of(&self.recordings)),
            59 => {
                let from = dice.0.below(self.film.len() - FRAMES + 1);
                Job::Frames(self.film[from..from + FRAMES].to_vec())
            }
            60..75 => Job::LiveFace(dice.one_of(&self.poor)),
            75..91 => Job::LiveFace(dice.hurt(&self.portraits)),
            91..98 => Job::Voice(dice.hurt(&self.recordings)),
            _ => Job::Digits(dice.hurt(&self.recordings)),
        }
    }
}

/// So many seconds of something like speech; those of a child are refused.
fn recording(seconds: usize) -> Vec<u8> {
    let speaker = if seconds == 3 { CHILD } else { BASS };
    let seeds = (1..=2).map(|part| speaker.says((10 * seconds + part) as u32));
    let mut samples: Vec<f32> = seeds.flatten().collect();
    samples.truncate(seconds * 16_000);
    wav(&samples, 16_000, 1)
}

/// Which sample, and how it is hurt.
struct Dice(Draws);

impl Dice {
    fn one_of(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        all[self.0.below(all.len())].clone()
    }

    /// Cut short, or with some bytes changed.
    fn hurt(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(all);
        if self.0.below(3) == 0 {
            bytes.truncate(self.0.below(bytes.len()));
            return bytes;
        }
        for _ in 0..=self.0.below(16) {
            let at = self.0.below(bytes.len());
            bytes[at] = self.0.below(256) as u8;
        }
        bytes
    }
}
