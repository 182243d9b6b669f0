//! Face verification alone: the 95th percentile beside its bound of 300 ms, and the
//! processor time of all its processes beside that of its networks alone.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use redoubt_bank::load::{Kind, Plan};
use redoubt_bank::media::Media;
use redoubt_e2e::{Appliance, Environment, Options};
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Graphs, Inputs, Pipeline, Settings};
use redoubt_worker::runtime;

use crate::cpu;
use crate::rows::Row;

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
    let inputs = pipeline.inputs(&Media::read(media)?.person_again);
    let inputs = inputs.map_err(|refusal| anyhow!("the portrait was refused: {refusal:?}"))?;
    let mut rows = Vec::new();
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
        let name = format!("p95 of a face verification, {clients} clients, against its bound");
        rows.push(Row::new(name, measured.p95_ms, BOUND_MS, "ms", measured.ok));
        let name = format!(
            "processor time of a face verification, {clients} clients, beside its networks alone"
        );
        let alone = alone(&mut pipeline, &inputs)?;
        rows.push(Row::new(name, each, alone, "ms", measured.ok).at_most(CPU_BOUND));
    }
    Ok(rows)
}

/// Milliseconds of one thread's processor time, the median of some runs.
fn alone(pipeline: &mut Pipeline, inputs: &Inputs) -> Result<f64> {
    let mut all = Vec::new();
    for _ in 0..RUNS {
        let before = cpu::of_thread()?;
        pipeline.networks_alone(inputs)?;
        all.push((cpu::of_thread()? - before) / 1000.0);
    }
    all.sort_by(f64::total_cmp);
    Ok(all[RUNS / 2])
}
