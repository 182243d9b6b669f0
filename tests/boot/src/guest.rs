//! Appliances whose enclave is a booted image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use redoubt_attestation::binding::Purpose;
use redoubt_audit::fetch::{AttestedConnection, FetchError, Pinned};
use redoubt_e2e::appliance::{Emulator, Founded, Machine, WorkerElsewhere, wait_for};
use redoubt_e2e::{Appliance, Environment, Options};
use redoubt_shared::Endpoint;
use serde_json::{Map, Value};

use crate::report::Boot;

/// How long a guest may take to answer; an image that boots does so in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);
/// The image's supervisor port, the first thing it listens on.
const SUPERVISE: u32 = 5001;

/// The image, the machine it is booted in, and the programs around it.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) environment: Environment,
    pub(crate) emulator: Emulator,
    pub(crate) image: PathBuf,
    pub(crate) memory_mib: u32,
    /// The worker's image, if it is to be booted.
    pub(crate) worker_image: Option<PathBuf>,
    /// How long it serves before the kill, beside what the story takes.
    pub(crate) soak: Duration,
}

impl Tools {
    /// An appliance whose officers signed these measurements; nothing is started.
    pub(crate) fn found(&self, measurements: &Path, founded: Founded) -> Result<Appliance> {
        self.found_with(measurements, founded, None)
    }

    /// The same with a worker in a machine of its own.
    pub(crate) fn found_with(
        &self,
        measurements: &Path,
        founded: Founded,
        worker: Option<WorkerElsewhere>,
    ) -> Result<Appliance> {
        let options = Options {
            without_worker: worker.is_none(),
            machine: Some(Machine {
                emulator: self.emulator.clone(),
                image: self.image.clone(),
                measurements: measurements.to_path_buf(),
                memory_mib: self.memory_mib,
                founded,
                worker,
            }),
            ..Options::default()
        };
        Appliance::prepare(&self.environment, options)
    }
}

/// Writes measurements as image tools print them.
pub(crate) fn write_measurements(pcrs: &BTreeMap<u8, String>, path: &Path) -> Result<()> {
    let pairs = pcrs.iter();
    let named: Map<String, Value> = pairs
        .map(|(index, value)| (format!("PCR{index}"), value.as_str().into()))
        .collect();
    std::fs::write(path, Value::Object(named).to_string())?;
    Ok(())
}

/// What the clients of an appliance pin.
pub(crate) fn pinned(appliance: &Appliance) -> Result<Pinned> {
    Ok(Pinned::from_policy(&std::fs::read(appliance.policy())?)?)
}

/// Boots, and waits until a client has accepted the guest's evidence.
pub(crate) fn boot(appliance: &mut Appliance) -> Result<(Boot, AttestedConnection)> {
    let pinned = pinned(appliance)?;
    let start = Instant::now();
    appliance.start()?;
    until_alive(appliance, "an answer on its vsock", answers)?;
    let first_vsock_byte_seconds = start.elapsed().as_secs_f64();
    let connection = until_alive(appliance, "attested answer", |appliance| {
        attested(appliance, &pinned)
    })?;
    let boot = Boot {
        first_vsock_byte_seconds,
        first_attested_byte_seconds: start.elapsed().as_secs_f64(),
    };
    Ok((boot, connection))
}

/// Asks until there is an answer, the guest is gone or patience ends.
fn until_alive<T>(
    appliance: &mut Appliance,
    what: &str,
    mut ask: impl FnMut(&Appliance) -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask(appliance)? {
            return Ok(answer);
        }
        if !appliance.enclave_is_alive() {
            bail!(
                "the guest ended before there was {what}; its console said:\n{}",
                console(appliance)
            );
        }
        ensure!(
            Instant::now() < end,
            "no {what} within {PATIENCE:?}; the guest's console said:\n{}",
            console(appliance)
        );
        std::thread::sleep(STEP);
    }
}

/// The vsock back end passes a stream on only when the guest takes it.
fn answers(appliance: &Appliance) -> Result<Option<()>> {
    let endpoint = Endpoint::UnixConnect {
        path: appliance.vsock(),
        port: SUPERVISE,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(1), endpoint.connect()).await });
    Ok(answer.is_ok_and(|stream| stream.is_ok()).then_some(()))
}

/// What the guest says about itself will not change by asking again.
fn attested(appliance: &Appliance, pinned: &Pinned) -> Result<Option<AttestedConnection>> {
    match AttestedConnection::open(&appliance.url(), pinned, Purpose::Unseal, None) {
        Ok(connection) => Ok(Some(connection)),
        Err(error @ (FetchError::Refused(_) | FetchError::Status { .. })) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Waits for a guest that must not go on, and returns what its console said.
pub(crate) fn ends(appliance: &mut Appliance) -> Result<String> {
    wait_for(PATIENCE, "the guest's end", || {
        (!appliance.enclave_is_alive()).then_some(())
    })?;
    Ok(console(appliance))
}

/// What the guest's operating system takes the time to be: its log's first stamp.
pub(crate) fn own_clock(appliance: &Appliance) -> Option<String> {
    let is_stamp = |word: &&str| word.len() > 20 && word.contains('T') && word.ends_with('Z');
    let console = console(appliance);
    let stamp = console.split_whitespace().find(is_stamp);
    stamp.map(str::to_owned)
}

/// The guest's serial console.
pub(crate) fn console(appliance: &Appliance) -> String {
    let log = appliance.log_dir().join("enclave.log");
    let text = std::fs::read(&log)
        .context("no console")
        .unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}
