//! `redoubt-eval voices`: error rates over data of one's own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use redoubt_eval::voices;

/// Measure error rates.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Voices: all pairs of recordings, through the sealed worker
    Voices {
        /// A folder of WAV and FLAC files for each speaker, at any depth
        dir: PathBuf,
        /// Where the report goes; a page and what the worker answered go beside it
        #[arg(long, value_name = "OUT")]
        json: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redoubt-eval: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let folder = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        found.with_context(|| format!("{name} is not set; start this with cargo xtask eval"))
    };
    match task {
        Task::Voices { dir, json } => {
            let plan = voices::Plan {
                root: dir,
                report: json,
                start: voices::Start {
                    program: folder("REDOUBT_BIN_DIR")?.join("redoubt-worker"),
                    models: folder("REDOUBT_MODELS_DIR")?,
                },
            };
            let page = voices::evaluate(&plan)?;
            println!("a page to look at: {}", page.display());
        }
    }
    Ok(())
}
