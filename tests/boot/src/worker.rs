//! The worker's image in a machine of its own, as far as its attested handshake:
//! emulation is too slow for what networks compute.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use redoubt_e2e::Appliance;
use redoubt_e2e::appliance::{Founded, Guest, WorkerElsewhere, endpoint};
use serde_json::{Value, json};

use crate::eif::Image;
use crate::guest::{self, Tools, write_measurements};
use crate::report::{Report, WorkerReport};
use crate::story::{SIGN_OF_LIFE, measurements_of_another, unsealed};

/// Weights and library, twice: as files and loaded.
const MEMORY_MIB: u32 = 768;
/// Its networks run once while they are loaded, which emulation makes long.
const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(50);

/// What the parts say of it on their consoles.
const LISTENS: &str = "waiting for the one stream";
const SEALED: &str = "sealed and ready";
const AGAIN: &str = "is started again";
const ACCEPTED: &str = "a sealed worker proved itself";
const REFUSED: &str = "a sealed worker was refused";

/// A booted worker. Its machine ends with it.
struct Worker {
    guest: Guest,
    folder: tempfile::TempDir,
    image: Image,
    measurements: PathBuf,
}

/// Where the worker's image is at hand: boots it, lets the real enclave judge it.
pub(crate) fn tell(tools: &Tools, enclave: &Path, report: &mut Report) -> Result<()> {
    let Some(image) = &tools.worker_image else {
        return Ok(());
    };
    let (mut worker, loaded_seconds) = report.step("the worker's image boots and loads", || {
        let start = Instant::now();
        let mut worker = Worker::boot(tools, image)?;
        worker.says(LISTENS, 1)?;
        let loaded_seconds = start.elapsed().as_secs_f64();
        let sign = worker.guest.sign_of_life();
        ensure!(sign == Some(SIGN_OF_LIFE), "its sign of life is {sign:?}");
        let detail = json!({ "seconds": loaded_seconds });
        Ok(((worker, loaded_seconds), detail))
    })?;
    let accepted_seconds = accepted(tools, enclave, &mut worker, report)?;
    let next_session_seconds = loaded_again(&mut worker, report)?;
    refused(tools, enclave, &worker, report)?;
    report.worker = Some(WorkerReport {
        image: image.display().to_string(),
        image_bytes: std::fs::metadata(image)?.len(),
        pcrs: worker.image.pcrs(),
        equal_to_committed: None,
        loaded_seconds,
        accepted_seconds,
        next_session_seconds,
    });
    Ok(())
}

impl Worker {
    fn boot(tools: &Tools, file: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rdw").tempdir()?;
        let image = Image::read(file)?;
        let measurements = folder.path().join("measurements.json");
        write_measurements(&image.pcrs(), &measurements)?;
        let at = folder.path();
        let guest = tools.emulator.boot(file, MEMORY_MIB, at, at, "worker")?;
        Ok(Self {
            guest,
            folder,
            image,
            measurements,
        })
    }

    /// An appliance in front of this worker, whose officers signed `measurements`.
    fn appliance(&self, tools: &Tools, enclave: &Path, signed: &Path) -> Result<Appliance> {
        let worker = WorkerElsewhere {
            measurements: signed.to_path_buf(),
            endpoint: endpoint(self.folder.path(), "worker"),
        };
        tools.found_with(enclave, Founded::Emulated, Some(worker))
    }

    fn console(&self) -> String {
        let log = std::fs::read(self.folder.path().join("worker.log"));
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    /// Waits until its console has said something so many times.
    fn says(&mut self, text: &str, times: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.console().matches(text).count() < times {
            if let Some(status) = self.guest.ended() {
                bail!(
                    "the worker's machine ended with {status}:\n{}",
                    self.console()
                );
            }
            let console = || self.console();
            ensure!(
                Instant::now() < end,
                "not {text:?} {times} times:\n{}",
                console()
            );
            std::thread::sleep(STEP);
        }
        Ok(())
    }
}

/// The enclave's image accepts the worker's, measured as computed.
fn accepted(
    tools: &Tools,
    enclave: &Path,
    worker: &mut Worker,
    report: &mut Report,
) -> Result<f64> {
    let mut ours = report.step("officers found an appliance on both images", || {
        let signed = worker.measurements.clone();
        Ok((worker.appliance(tools, enclave, &signed)?, Value::Null))
    })?;
    report.step("its enclave boots", || {
        Ok((guest::boot(&mut ours)?, Value::Null))
    })?;
    let start = Instant::now();
    unsealed(&ours, report)?;
    report.step("the enclave accepts the worker's evidence", || {
        let line = said(&mut ours, ACCEPTED)?;
        ensure!(line.contains("enclave"), "not at tier enclave: {line}");
        worker.says(SEALED, 1)?;
        Ok((start.elapsed().as_secs_f64(), line.into()))
    })
}

/// After a session, init starts a new process in the same machine.
fn loaded_again(worker: &mut Worker, report: &mut Report) -> Result<f64> {
    let start = Instant::now();
    report.step("the next session gets a new process", || {
        worker.says(AGAIN, 1)?;
        worker.says(LISTENS, 2)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok((seconds, json!({ "seconds": seconds })))
    })
}

/// The same worker is refused where officers signed another.
fn refused(tools: &Tools, enclave: &Path, worker: &Worker, report: &mut Report) -> Result<()> {
    let mut other = report.step(
        "an appliance that allows another worker's image boots",
        || {
            let signed = measurements_of_another(&worker.measurements)?;
            let mut other = worker.appliance(tools, enclave, &signed)?;
            guest::boot(&mut other)?;
            other.unseal()?;
            Ok((other, Value::Null))
        },
    )?;
    report.step("its enclave refuses the worker, naming its PCR0", || {
        let line = said(&mut other, REFUSED)?;
        let pcr0 = &worker.image.pcrs()[&0];
        ensure!(line.contains(pcr0.as_str()), "{line}; computed {pcr0}");
        Ok(((), line.into()))
    })
}

/// Waits for a line of the enclave's console.
fn said(appliance: &mut Appliance, text: &str) -> Result<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let console = guest::console(appliance);
        if let Some(line) = console.lines().find(|line| line.contains(text)) {
            return Ok(line.trim().to_owned());
        }
        ensure!(appliance.enclave_is_alive(), "the guest ended:\n{console}");
        if Instant::now() >= end {
            return Err(anyhow::anyhow!("{console}")).context(format!("nobody said {text:?}"));
        }
        std::thread::sleep(STEP);
    }
}
