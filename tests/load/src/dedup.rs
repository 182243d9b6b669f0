//! A search among a tenant's faces beside the same search by FAISS: brute force over 8-bit
//! vectors of as many components, inner product, one thread, the nearest of all rows
//! (`IndexScalarQuantizer`, `QT_8bit`). Both take turns over the same vectors.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use redoubt_enclave::biometrics::{
    CalibrationPoint, Gallery, Made, Owner, Search, Transforms, View,
};
use redoubt_enclave::core::{Content, Event, Modality, Recorded, SubjectHandle, TenantKeySeeds};
use redoubt_shared::EnrollmentId;
use redoubt_shared::worker::Embedding;
use serde::Deserialize;

use crate::compare::embedding;
use crate::cpu;
use crate::draws::Draws;
use crate::rows::{Row, median};

const ROWS: usize = 100_000;
/// Samples of each turn: half of people who are there, at this cosine, half of strangers.
const SAMPLES: usize = 40;
const ALIKE: f64 = 0.8;
const TURNS: usize = 9;
const MODEL: &str = "m";
/// What strangers' cosines at random do not reach.
const TABLE: [CalibrationPoint; 1] = [CalibrationPoint {
    false_match_rate: 1e-6,
    cosine: 0.6,
}];
/// The interpreter of an environment with FAISS.
const PYTHON: &str = "REDOUBT_FAISS_PYTHON";

pub(crate) fn run() -> Result<Vec<Row>> {
    let python = std::env::var(PYTHON)
        .with_context(|| format!("{PYTHON} is not set; `cargo xtask bench dedup` sets it"))?;
    let mut rows = Vec::new();
    for components in [256, 512] {
        rows.extend(measure(&python, components)?);
    }
    Ok(rows)
}

fn seeds() -> TenantKeySeeds {
    TenantKeySeeds {
        es256: [1; 32],
        mldsa65: [2; 32],
    }
}

fn person(n: usize) -> SubjectHandle {
    let mut handle = [0xff; 16];
    handle[..8].copy_from_slice(&(n as u64).to_be_bytes());
    SubjectHandle(handle)
}

fn measure(python: &str, components: usize) -> Result<Vec<Row>> {
    let mut draws = Draws(components as u64);
    let people: Vec<Vec<f64>> = (0..ROWS).map(|_| draws.direction(components)).collect();
    let known = |at: usize| at.is_multiple_of(2).then_some((at * 7919) % ROWS);
    let sample = |at| match known(at) {
        Some(person) => draws.near(&people[person], ALIKE),
        None => draws.direction(components),
    };
    let samples: Vec<Vec<f64>> = (0..SAMPLES).map(sample).collect();
    let file = tempfile::NamedTempFile::new()?;
    let all = people.iter().chain(&samples).flatten();
    let bytes: Vec<u8> = all
        .flat_map(|value| (*value as f32).to_le_bytes())
        .collect();
    std::fs::write(file.path(), bytes)?;

    let enrolled = enrolled(&people)?;
    drop(people);
    let (mut gallery, before) = (Gallery::new(&seeds()), cpu::of_thread()?);
    enrolled.iter().for_each(|event| gallery.follow(event));
    let made = (cpu::of_thread()? - before) / ROWS as f64;
    drop(enrolled);
    ensure!(gallery.count() == ROWS, "faces are missing");
    let view = gallery.view(MODEL, components).context("no view")?;
    let samples: Vec<Embedding> = samples.iter().map(|one| embedding(one)).collect();
    let mut faiss = Faiss::start(python, file.path(), components)?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let before = cpu::of_thread()?;
        let found: Vec<_> = samples.iter().map(|one| search(&view, one)).collect();
        ours.push((cpu::of_thread()? - before) / SAMPLES as f64);
        let searched = faiss.search()?;
        theirs.push(searched.seconds * 1e6 / SAMPLES as f64);
        for (at, found) in found.into_iter().enumerate() {
            let settled = found.context("no search")?.settled(&gallery);
            let found = settled.context("the search is not settled")?.found;
            ensure!(
                found == known(at).map(person),
                "sample {at}: another was found"
            );
            let nearest = known(at).is_none_or(|person| searched.nearest[at] == person);
            ensure!(nearest, "sample {at}: FAISS found another");
        }
    }
    let what = format!("{ROWS} faces of {components} components, {}", faiss.told);
    let per_row = |all: &[f64]| median(all) * 1e3 / ROWS as f64;
    let name = format!("one search, processor time of a row: {what}");
    Ok(vec![
        Row::new(
            name,
            per_row(&ours),
            per_row(&theirs),
            "ns",
            TURNS * SAMPLES,
        )
        .at_most(1.0),
        Row::alone(
            format!("one search, {ROWS} faces of {components} components"),
            median(&ours) / 1e3,
            "ms",
            TURNS * SAMPLES,
        ),
        Row::alone(
            format!("a template of {components} components made into a row, one after the other"),
            made,
            "µs",
            ROWS,
        ),
    ])
}

/// Everybody's template, as a ledger tells of it.
fn enrolled(people: &[Vec<f64>]) -> Result<Vec<Recorded>> {
    let transforms = Transforms::new(&seeds());
    let made = Made {
        quality: 1.0,
        worker_tier: "process",
        at_ms: 0,
    };
    let enrolled = |(n, face): (usize, &Vec<f64>)| {
        let owner = Owner {
            subject: person(n),
            modality: Modality::Face,
        };
        let template = transforms.protected(&owner, 1, &embedding(face), made);
        let event = Event::FaceEnrolled {
            id: EnrollmentId::from_bytes([0; 16]),
            handle: person(n),
            template: Box::new(template.context("no template")?),
        };
        Ok(Recorded {
            owner: None,
            content: Content::State(Box::new(event)),
        })
    };
    people.iter().enumerate().map(enrolled).collect()
}

fn search(view: &View, sample: &Embedding) -> Option<Search> {
    black_box(view.search(person(ROWS), sample, &TABLE, 500_000))
}

/// FAISS in a process of its own, which searches when it is told to.
struct Faiss {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its version, and the instructions it is compiled for.
    told: String,
}

#[derive(Deserialize)]
struct Told {
    version: String,
    options: Vec<String>,
}

#[derive(Deserialize)]
struct Searched {
    seconds: f64,
    nearest: Vec<usize>,
}

impl Faiss {
    fn start(python: &str, vectors: &Path, components: usize) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("faiss/scan.py");
        let mut command = Command::new(python);
        command.arg("-I").arg(script).arg(vectors);
        command.args([ROWS, SAMPLES, components].map(|number| number.to_string()));
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("FAISS cannot be run")?;
        let orders = process.stdin.take().context("no pipe")?;
        let mut answers = BufReader::new(process.stdout.take().context("no pipe")?);
        let Told { version, options } = line(&mut answers)?;
        let told = format!("beside FAISS {version} ({})", options.join(" "));
        Ok(Self {
            process,
            orders,
            answers,
            told,
        })
    }

    fn search(&mut self) -> Result<Searched> {
        writeln!(self.orders)?;
        self.orders.flush()?;
        line(&mut self.answers)
    }
}

impl Drop for Faiss {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn line<T: serde::de::DeserializeOwned>(answers: &mut impl BufRead) -> Result<T> {
    let mut text = String::new();
    answers.read_line(&mut text)?;
    serde_json::from_str(&text).context("FAISS ended, or said something else; its message is above")
}
