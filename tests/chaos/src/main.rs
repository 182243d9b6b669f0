//! `redoubt-chaos --rounds N --seed S --json OUT`: a whole appliance under load,
//! SIGKILL to enclave, host or both at random moments, and after each restart
//! the question whether anything that was acknowledged is gone or a counter went back.
//!
//! Power loss is another matter, since a killed process loses no page cache:
//! `host/tests/` put a disk under the store that forgets what no completed
//! `fdatasync` covers.

mod check;
mod draw;
mod faces;
mod kept;
mod load;
mod machine;
mod rounds;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Kill and restart an appliance under load, and look for losses.
#[derive(Debug, Parser)]
struct Arguments {
    /// Kills
    #[arg(long, value_name = "N", default_value_t = 200)]
    rounds: u32,
    /// Of the moments, the victims and the samples; the same seed draws the same ones
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Where the report goes
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("redoubt-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let report = rounds::run(arguments.rounds, arguments.seed)?;
    let text = serde_json::to_string_pretty(&report)?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    println!("{text}");
    Ok(report.lost == 0 && report.rewound == 0)
}
