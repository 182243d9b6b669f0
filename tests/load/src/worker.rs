//! The sealed worker as a service: times of requests beside their bounds, and what its
//! process holds while it serves.
//!
//! Times are of whole requests of a bank to a whole appliance on this machine, except
//! those of quality and passive liveness, which are parts of a job: their stages alone.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use redoubt_bank::load::{Kind, Measured, Plan};
use redoubt_bank::speech::{BASS, wav};
use redoubt_bank::{Bank, random_name};
use redoubt_e2e::{Appliance, Environment, Options};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Graphs, Pipeline, Settings};
use redoubt_worker::runtime;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::rows::{Row, percentile};

const FACE_MS: f64 = 300.0;
const ENROLMENT_MS: f64 = 500.0;
const QUALITY_MS: f64 = 100.0;
const LIVENESS_MS: f64 = 150.0;
const VOICE_MS: f64 = 150.0;
/// Requests of one kind, one after the other.
const ROUNDS: u32 = 40;
/// Jobs after which memory is looked at first.
pub(crate) const WARM: u64 = 1_000;
/// How long jobs run until it is looked at again.
const LONG: Duration = Duration::from_secs(240);
/// Most of the first figure that the second may be.
pub(crate) const GROWTH: f64 = 1.1;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<Vec<Row>> {
    let Some(environment) = Environment::with_media("worker") else {
        bail!("start this with cargo xtask bench")
    };
    let mut appliance = Appliance::serving(&environment, Options::default())?;
    let runtime = Runtime::new()?;
    let mut rows = Vec::new();
    for clients in [1, 8] {
        let measured = verified(&appliance, &runtime, clients, Duration::from_secs(15))?;
        let name = |share| format!("{share} of a face verification, {clients} clients");
        let (p50, p95) = (measured.p50_ms, measured.p95_ms);
        rows.push(Row::new(name("median"), p50, FACE_MS, "ms", measured.ok));
        rows.push(Row::new(name("p95"), p95, FACE_MS, "ms", measured.ok).at_most(1.0));
        let refused: usize = measured.errors.values().sum();
        let name = format!(
            "of these refused, {clients} clients ({:?})",
            measured.errors
        );
        rows.push(Row::alone(
            name,
            refused as f64,
            "requests",
            measured.ok + refused,
        ));
    }
    let bank = appliance.bank(&appliance.banks.a)?;
    rows.extend(runtime.block_on(enrolled(&appliance, &bank))?);
    rows.extend(runtime.block_on(spoken(&bank))?);
    rows.extend(stages(&environment)?);
    // None is renewed: what is measured is one process.
    appliance.set_policy(2, |policy| policy["worker_jobs_max"] = json!(1_000_000))?;
    rows.extend(memory(&appliance, &runtime)?);
    Ok(rows)
}

fn verified(
    appliance: &Appliance,
    runtime: &Runtime,
    clients: usize,
    duration: Duration,
) -> Result<Measured> {
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        kind: Kind::Verify,
        clients,
        duration,
        media: appliance.environment().media_dir().cloned(),
        receipts: dir.path().join("receipts"),
    };
    let bank = appliance.bank(&appliance.banks.a)?;
    let measured = runtime.block_on(redoubt_bank::load::run(&bank, &plan))?;
    ensure!(measured.ok > 0, "none succeeded: {:?}", measured.errors);
    Ok(measured)
}

/// Median and 95th percentile, beside the bound.
fn beside(what: &str, mut times: Vec<Duration>, bound: f64) -> [Row; 2] {
    times.sort_unstable();
    let row = |share: &str, part| {
        let name = format!("{share} of {what}");
        Row::new(name, percentile(&times, part), bound, "ms", times.len())
    };
    [row("median", 0.5), row("p95", 0.95).at_most(1.0)]
}

async fn enrolled(appliance: &Appliance, bank: &Bank) -> Result<[Row; 2]> {
    let media = appliance.environment().media()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (user, began) = (random_name("customer"), Instant::now());
        bank.enroll(&user, &media.person).await?;
        times.push(began.elapsed());
    }
    let what = "a face's enrolment, both requests";
    Ok(beside(what, times, ENROLMENT_MS))
}

/// Three seconds of something like speech.
fn three_seconds(seed: u32) -> Vec<u8> {
    let mut samples = BASS.says(seed);
    samples.truncate(3 * 16_000);
    wav(&samples, 16_000, 1)
}

async fn spoken(bank: &Bank) -> Result<[Row; 2]> {
    let user = random_name("customer");
    let said: Vec<_> = (1..=3)
        .map(|seed| wav(&BASS.says(seed), 16_000, 1))
        .collect();
    let said: Vec<&[u8]> = said.iter().map(Vec::as_slice).collect();
    bank.enroll_voice(&user, &said).await?;
    let mut times = Vec::new();
    for seed in 0..ROUNDS {
        let recording = three_seconds(10 + seed % 5);
        let began = Instant::now();
        match bank.verify_voice(&user, &recording).await {
            Ok(_) => times.push(began.elapsed()),
            // Cut words may be rejected, which takes the same time until it locks.
            Err(error) if error.code() == Some("account_locked") => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(beside(
        "a voice verification, 3 s of audio",
        times,
        VOICE_MS,
    ))
}

/// Of one thread with a portrait: decoding, detection, alignment and quality; and with
/// the passive liveness.
fn stages(environment: &Environment) -> Result<Vec<Row>> {
    let manifest = Manifest::open(&environment.manifest(), environment.models())?;
    let onnx = runtime::load(&manifest).map_err(|error| anyhow!("{error}"))?;
    let graphs = Graphs::read(&manifest)?;
    let mut pipeline = Pipeline::load(&onnx, &graphs, Settings::default(), &[])?;
    pipeline.warm_up()?;
    let portrait = environment.media()?.person;
    let (mut quality, mut liveness) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (seen, times) = pipeline.face(&portrait, true, Instant::now() + PATIENCE);
        seen.map_err(|refusal| anyhow!("the portrait was refused: {refusal:?}"))?;
        let measured = times.decode + times.detect + times.align;
        quality.push(measured);
        liveness.push(measured + times.liveness);
    }
    let quality = beside("a quality check, its stages alone", quality, QUALITY_MS);
    let what = "a passive liveness with all before it, its stages alone";
    let liveness = beside(what, liveness, LIVENESS_MS);
    Ok(quality.into_iter().chain(liveness).collect())
}

fn memory(appliance: &Appliance, runtime: &Runtime) -> Result<Vec<Row>> {
    let begun = appliance.enclave_counter("samples")?;
    let jobs = || -> Result<u64> { Ok(appliance.enclave_counter("samples")? - begun) };
    let end = Instant::now() + LONG;
    let worker = appliance.worker_pid()?;
    let mut first = None;
    while first.is_none() || Instant::now() < end {
        verified(appliance, runtime, 2, Duration::from_secs(10))?;
        if first.is_none() && jobs()? >= WARM {
            first = Some((jobs()?, resident(worker)?));
        }
    }
    let (early, before) = first.unwrap_or_default();
    ensure!(appliance.worker_pid()? == worker, "the worker was replaced");
    let (late, after) = (jobs()?, resident(worker)?);
    let name = format!("memory of a worker after {late} jobs, beside after {early}");
    let row = Row::new(name, after, before, "MiB", late as usize);
    Ok(vec![row.at_most(GROWTH)])
}

/// MiB that a process has in memory.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: f64 = kibibytes.ok_or_else(|| anyhow!("no VmRSS"))?.parse()?;
    Ok(kibibytes / 1024.0)
}
