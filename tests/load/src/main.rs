//! `redoubt-bench [NAME] --json OUT`: every figure beside a peer or a limit
//! measured in the same run. Figures of a loaded machine mean little; ratios
//! survive it better.

mod bare;
mod cpu;
mod documents;
mod durable;
mod face;
mod login;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use rows::Row;

/// Measure, and report ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// One benchmark: login, durable, face or documents [default: all]
    name: Option<String>,
    /// Where the rows go.
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// Internal: be the bare TLS server that others are compared with.
    #[arg(long, hide = true, value_name = "DIR")]
    bare_server: Option<PathBuf>,
}

type Bench = fn() -> Result<Vec<Row>>;

const ALL: [(&str, Bench); 4] = [
    ("login", login::run),
    ("durable", durable::run),
    ("face", face::run),
    ("documents", documents::run),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.bare_server {
        Some(dir) => bare::serve(dir),
        None => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redoubt-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let wanted = |name: &str| {
        arguments
            .name
            .as_deref()
            .is_none_or(|wanted| wanted == name)
    };
    if !ALL.iter().any(|(name, _)| wanted(name)) {
        bail!("no such benchmark; use login, durable, face or documents");
    }
    let mut all = Vec::new();
    for (name, bench) in ALL.iter().filter(|(name, _)| wanted(name)) {
        println!("{name}");
        for row in bench().with_context(|| (*name).to_owned())? {
            println!("  {row}");
            all.push(row);
        }
    }
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(&arguments.json, text).with_context(|| arguments.json.display().to_string())
}
