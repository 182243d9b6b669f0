//! `redoubt-bench [NAME] --json OUT`: every figure beside a peer or a limit
//! measured in the same run. Figures of a loaded machine mean little; ratios
//! survive it better.

mod bare;
mod compare;
mod cpu;
mod dedup;
mod documents;
mod draws;
mod durable;
mod face;
mod jobs;
mod ledger;
mod login;
mod policy;
mod rows;
mod webauthn;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use rows::Row;

/// Measure, and report ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// One benchmark: login, durable, face, documents, compare, dedup, webauthn, worker or ledger [default: all]
    name: Option<String>,
    /// Where the rows go.
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// Of `ledger`: entries of history to go up to [default: 1000000, among all: 100000]
    #[arg(long, value_name = "N")]
    entries_max: Option<u64>,
    /// Of `ledger`: subjects to go up to [default: 1000000, among all: 100000]
    #[arg(long, value_name = "N")]
    subjects_max: Option<u64>,
    /// Of `worker`: only the memory of one process, over so many jobs of all kinds
    #[arg(long, value_name = "N")]
    jobs: Option<u64>,
    /// Internal: be the bare TLS server that others are compared with.
    #[arg(long, hide = true, value_name = "DIR")]
    bare_server: Option<PathBuf>,
}

impl Arguments {
    /// Asked for by name, the ledger's rows go all the way.
    fn limits(&self) -> ledger::Limits {
        let most = if self.name.is_some() {
            1_000_000
        } else {
            100_000
        };
        ledger::Limits {
            entries: self.entries_max.unwrap_or(most),
            subjects: self.subjects_max.unwrap_or(most),
        }
    }
}

type Bench = fn(&Arguments) -> Result<Vec<Row>>;

const ALL: [(&str, Bench); 9] = [
    ("login", |_| login::run()),
    ("durable", |_| durable::run()),
    ("face", |_| face::run()),
    ("documents", |_| documents::run()),
    ("compare", |_| compare::run()),
    ("dedup", |_| dedup::run()),
    ("webauthn", |_| webauthn::run()),
    ("worker", |arguments| match arguments.jobs {
        Some(jobs) => jobs::run(jobs),
        None => worker::run(),
    }),
    ("ledger", |arguments| ledger::run(arguments.limits())),
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
        bail!(
            "no such benchmark; use login, durable, face, documents, compare, dedup, webauthn, worker or ledger"
        );
    }
    let mut all = Vec::new();
    // Logins are rows of webauthn too, and measured once.
    let once = |name: &str| arguments.name.is_some() || name != "login";
    for (name, bench) in ALL.iter().filter(|(name, _)| wanted(name) && once(name)) {
        println!("{name}");
        for row in bench(arguments).with_context(|| (*name).to_owned())? {
            println!("  {row}");
            all.push(row);
        }
    }
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(&arguments.json, text).with_context(|| arguments.json.display().to_string())
}
