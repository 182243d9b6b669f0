//! Face verification alone: median and 95th percentile beside the bound of 300 ms, and the
//! processor time of all its processes beside that of its models' networks alone, in the
//! same runtime on the same face: as their files have them, and as they serve.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use redoubt_bank::load::{Kind, Plan};
use redoubt_bank::media::Media;
use redoubt_e2e::{Appliance, Environment, Options};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Alone, Form, Graphs, Inputs, Pipeline, Settings};
use redoubt_worker::runtime;

use crate::cpu;
use crate::rows::{Row, median};

const BOUND_MS: f64 = 300.0;
/// Most processor time of all processes, beside that of the networks.
const CPU_BOUND: f64 = 1.3;
const RUNS: usize = 31;

pub(crate) fn run() -> Result<Vec<Row>> {
    let Some(environment) = Environment::with_media("face") else {
        bail!("start this with cargo xtask bench")
    };
    let appliance = Appliance::serving(&environment, Options::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let bank = appliance.bank(&appliance.banks.a)?;
    let spent = || -> Result<f64> {
        let each = appliance.pids()?.into_iter().map(cpu::of_process);
        each.sum()
    };
    let manifest = Manifest::open(&environment.manifest(), environment.models())?;
    let onnx = runtime::load(&manifest).map_err(|error| anyhow!("{error}"))?;
    let graphs = Graphs::read(&manifest)?;
    let mut pipeline = Pipeline::load(&onnx, &graphs, Settings::default(), &[])?;
    pipeline.warm_up()?;
    let media = environment.media_dir().context("no media")?;
    let portrait = Media::read(media)?.person_again;
    let inputs = pipeline.inputs(&portrait);
    let inputs = inputs.map_err(|refusal| anyhow!("the portrait was refused: {refusal:?}"))?;
    let mut networks = [
        Alone::load(&onnx, &graphs, Form::AsItComes)?,
        Alone::load(&onnx, &graphs, Form::AsServed)?,
    ];
    let [_, served] = alone(&mut networks, &inputs)?;
    let mut rows = job(&mut pipeline, &portrait, served)?;
    for clients in [1usize, 8] {
        let dir = tempfile::tempdir()?;
        let plan = Plan {
            kind: Kind::Verify,
            clients,
            duration: Duration::from_secs(10),
            media: environment.media_dir().cloned(),
            receipts: dir.path().join("receipts"),
        };
        let before = spent()?;
        let measured = runtime.block_on(redoubt_bank::load::run(&bank, &plan))?;
        if measured.ok == 0 {
            bail!("no verification succeeded: {:?}", measured.errors);
        }
        let each = (spent()? - before) / 1000.0 / measured.ok as f64;
        let name = format!("median of a face verification, {clients} clients, against its bound");
        rows.push(Row::new(name, measured.p50_ms, BOUND_MS, "ms", measured.ok));
        let name = format!("p95 of a face verification, {clients} clients, against its bound");
        rows.push(Row::new(name, measured.p95_ms, BOUND_MS, "ms", measured.ok));
        let [come, served] = alone(&mut networks, &inputs)?;
        let name = |beside| {
            format!("processor time of a face verification, {clients} clients, beside its {beside}")
        };
        let beside = name("models' networks as they come");
        rows.push(Row::new(beside, each, come, "ms", measured.ok).at_most(CPU_BOUND));
        let beside = name("networks as they serve");
        rows.push(Row::new(beside, each, served, "ms", measured.ok));
    }
    Ok(rows)
}

/// A job of the worker on this thread alone, and its stages, beside its networks.
fn job(pipeline: &mut Pipeline, portrait: &[u8], alone: f64) -> Result<Vec<Row>> {
    let (mut whole, mut stages) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let deadline = Instant::now() + Duration::from_secs(60);
        let before = cpu::of_thread()?;
        let (_, times) = pipeline.face(portrait, true, deadline);
        whole.push((cpu::of_thread()? - before) / 1000.0);
        stages.push([
            times.decode,
            times.detect,
            times.align,
            times.liveness,
            times.embed,
        ]);
    }
    let name = "processor time of a face in the worker's thread, beside its networks alone";
    let mut rows = vec![Row::new(name, median(&whole), alone, "ms", RUNS)];
    for (at, stage) in ["decode", "detect", "align", "liveness", "embed"]
        .iter()
        .enumerate()
    {
        let times = stages.iter().map(|times| times[at].as_secs_f64() * 1000.0);
        let times: Vec<_> = times.collect();
        let name = format!("its stage {stage}, by the clock");
        rows.push(Row::new(name, median(&times), alone, "ms", RUNS));
    }
    Ok(rows)
}

/// Milliseconds of one thread's processor time, each the median of some runs, taken in turns.
fn alone(networks: &mut [Alone; 2], inputs: &Inputs) -> Result<[f64; 2]> {
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (networks, all) in networks.iter_mut().zip(&mut all) {
            let before = cpu::of_thread()?;
            networks.run(inputs)?;
            all.push((cpu::of_thread()? - before) / 1000.0);
        }
    }
    Ok(all.map(|times| median(&times)))
}
