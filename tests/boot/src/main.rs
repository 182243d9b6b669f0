//! `redoubt-boot --eif FILE --json OUT …`: the real images of enclave and worker in
//! emulated Nitro machines, with the real host between them.
//!
//! Protects against an image that measures as it should and does not work, and
//! against tools that take an emulated machine's word for a real one's. Everything
//! it starts ends with it, by process id.

mod day;
mod eif;
mod guest;
mod report;
mod story;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use redoubt_e2e::Environment;
use redoubt_e2e::appliance::Emulator;
use serde_json::Value;

use guest::Tools;
use report::Report;

/// Boot the enclave's image, found an appliance on it and tell a customer's story.
#[derive(Debug, Parser)]
struct Arguments {
    /// The enclave's image
    #[arg(long, value_name = "FILE")]
    eif: PathBuf,
    /// The worker's image; without it no worker is booted
    #[arg(long, value_name = "FILE")]
    worker_eif: Option<PathBuf>,
    /// The emulator with its nitro-enclave machine
    #[arg(long, value_name = "FILE")]
    qemu: PathBuf,
    /// The back end of the emulator's vsock device
    #[arg(long, value_name = "FILE")]
    vsock_backend: PathBuf,
    /// What the emulator loads at start
    #[arg(long, value_name = "DIR")]
    firmware: PathBuf,
    /// How the emulated machine was made, copied into the report
    #[arg(long, value_name = "FILE")]
    tools_record: Option<PathBuf>,
    /// What the repository says the image measures; told in the report, not required
    #[arg(long, value_name = "FILE")]
    committed: Option<PathBuf>,
    /// Serve for so long before the kill, across readings of the module's clock
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    soak: u64,
    /// Memory of the enclave's machine
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u32,
    /// Where the report goes
    #[arg(long, value_name = "OUT")]
    json: PathBuf,
    /// The built programs
    #[arg(long, env = "REDOUBT_BIN_DIR", value_name = "DIR")]
    bin_dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("redoubt-boot: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the whole story was told.
fn run(arguments: &Arguments) -> Result<bool> {
    let mut report = Report::new(
        arguments.eif.display().to_string(),
        record(arguments.tools_record.as_deref())?,
    );
    let tools = Tools {
        environment: Environment::of_programs(arguments.bin_dir.clone()),
        emulator: Emulator {
            qemu: arguments.qemu.clone(),
            vsock_backend: arguments.vsock_backend.clone(),
            firmware: arguments.firmware.clone(),
        },
        image: arguments.eif.clone(),
        memory_mib: arguments.memory,
        worker_image: arguments.worker_eif.clone(),
        soak: Duration::from_secs(arguments.soak),
    };
    let committed = record(arguments.committed.as_deref())?;
    let told = story::tell(&tools, &mut report);
    report.compare_with(&committed);
    report.finish(told.is_ok());
    let out = &arguments.json;
    std::fs::write(out, serde_json::to_vec_pretty(&report)?)
        .with_context(|| out.display().to_string())?;
    println!("equal to the committed measurements: {}", report.equal());
    println!(
        "{:.1} s in all; report in {}",
        report.wall_seconds,
        out.display()
    );
    told?;
    Ok(report.passed)
}

fn record(path: Option<&std::path::Path>) -> Result<Value> {
    let Some(path) = path else {
        return Ok(Value::Null);
    };
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}
