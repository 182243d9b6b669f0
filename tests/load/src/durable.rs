//! Durable writes: what the disk gives, and commits through enclave and store.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use redoubt_bank::load::{Kind, Plan};
use redoubt_e2e::{Appliance, Environment, Options};

use crate::rows::Row;

const BYTES: usize = 4096;

/// Times of appending 4 KiB and `fdatasync`, sorted.
pub(crate) fn raw_appends(count: usize) -> Result<Vec<Duration>> {
    let mut file: File = tempfile::tempfile()?;
    let block = [7u8; BYTES];
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

pub(crate) fn run() -> Result<Vec<Row>> {
    let Some(environment) = Environment::find("durable") else {
        bail!("start this with cargo xtask bench")
    };
    let appliance = Appliance::serving(&environment, Options::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    [1usize, 64]
        .into_iter()
        .map(|clients| row(&appliance, &runtime, clients))
        .collect()
}

/// Logins a second, each a durable commit, beside raw durable appends a second.
fn row(appliance: &Appliance, runtime: &tokio::runtime::Runtime, clients: usize) -> Result<Row> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        kind: Kind::Assert,
        clients,
        duration: Duration::from_secs(5),
        media: None,
        receipts: dir.path().join("receipts"),
    };
    let measured = runtime.block_on(redoubt_bank::load::run(&bank, &plan))?;
    let raw = raw_appends(400)?;
    let per_second = raw.len() as f64 / raw.iter().sum::<Duration>().as_secs_f64();
    let name =
        format!("logins a second, {clients} clients, against raw 4 KiB durable appends one by one");
    Ok(Row::new(
        name,
        measured.per_second,
        per_second,
        "1/s",
        measured.ok,
    ))
}
