//! `redoubt-attack`: makes every attack and writes how each ended.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use redoubt_attack::outcome::run_all;
use redoubt_attack::{Lab, Outcome, cases};
use redoubt_e2e::Environment;

/// Everything a hostile host can do to the ledger, done to the real enclave.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Write [{name, outcome, error}] here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only attacks whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("redoubt-attack: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let environment = Environment::find("redoubt-attack");
    let environment = environment.context("programs and models are needed: cargo xtask build")?;
    let start = Instant::now();
    let lab = Lab::new(&environment)?;
    let mut cases = cases::all();
    cases.retain(|case| format!("{}::{}", case.group, case.name).contains(&arguments.only));
    if Environment::with_media("attacks with photographs").is_none() {
        cases.retain(|case| !case.photographs);
    }
    ensure!(!cases.is_empty(), "no attack is named like that");
    println!("{} attacks", cases.len());
    let outcomes = run_all(&lab, &cases, |outcome| {
        let seconds = start.elapsed().as_secs_f64();
        let Outcome {
            name,
            outcome,
            error,
        } = outcome;
        println!("{seconds:7.1} s  {outcome:8}  {name}\n             {error}");
    });
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&outcomes)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    let count = |wanted: &str| outcomes.iter().filter(|o| o.outcome == wanted).count();
    let failed = count("failed");
    println!(
        "{} refused, {} harmless, {failed} failed, in {:.1} s",
        count("refused"),
        count("harmless"),
        start.elapsed().as_secs_f64()
    );
    if failed > 0 {
        lab.appliance.keep_files();
    }
    Ok(failed == 0)
}
