//! `redoubt-fuzz`: every parser that meets outside bytes, under bent input.
//!
//! Exit status: 0 nothing panicked, 1 something did, 2 wrong usage, 3 an input
//! does not end.

mod coverage;
mod engine;
mod mutate;
mod paper;
mod rng;
mod targets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use engine::{Report, Run};
use targets::{TARGETS, Target};

/// Bends inputs and watches what reads them.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 no panic, 1 a panic, 2 usage, 3 a hang."
)]
struct Arguments {
    /// A target, or `all`; without one, their names
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Where randomness begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for kept inputs and for those that panic
    #[arg(long, env = "REDOUBT_FUZZ_DIR", default_value = "target/fuzz")]
    dir: PathBuf,
    /// Run one input once, outside the search, and let a panic be a panic
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// What was found
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("redoubt-fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing panicked.
fn run(arguments: &Arguments) -> Result<bool> {
    let Some(name) = &arguments.target else {
        TARGETS
            .iter()
            .for_each(|target| println!("{}", target.name));
        return Ok(true);
    };
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| name == "all" || name == target.name)
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no target {name:?}; `redoubt-fuzz` lists them"
    );
    if let Some(path) = &arguments.input {
        let input = std::fs::read(path).with_context(|| path.display().to_string())?;
        chosen
            .iter()
            .for_each(|target| (target.prepare)().0(&input));
        return Ok(true);
    }
    let mut reports = Vec::new();
    for target in chosen {
        let report = engine::run(&Run {
            target,
            time: Duration::from_secs(arguments.seconds),
            seed: arguments.seed,
            folder: &arguments.dir.join(target.name),
        })?;
        say(&report);
        reports.push(report);
    }
    if let Some(path) = &arguments.json {
        write(path, &reports)?;
    }
    Ok(reports.iter().all(|report| report.panics.is_empty()))
}

fn say(report: &Report) {
    let edges = report.edges.map_or("not counted".into(), |(taken, total)| {
        format!("{taken} of {total}")
    });
    println!(
        "{:20} {:>9} inputs, {:>7} a second, edges {edges}, kept {}, longest {} ms, {} panics",
        report.target,
        report.executions,
        report.per_second,
        report.corpus,
        report.longest_ms,
        report.panics.len(),
    );
    for panic in &report.panics {
        println!("  panic at {}: {}", panic.place, panic.file.display());
    }
}

fn write(path: &Path, reports: &[Report]) -> Result<()> {
    let text = serde_json::to_string_pretty(reports)? + "\n";
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
