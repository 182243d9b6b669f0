//! The host daemon.

use std::process::ExitCode;

use clap::Parser;
use redoubt_host::daemon::{self, RunArgs};

/// Carries bank traffic to the enclave, keeps its sealed ledger, runs its
/// sealed worker. Sees ciphertext only.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Run until SIGTERM or SIGINT
    Run(Box<RunArgs>),
}

fn main() -> ExitCode {
    let Command::Run(args) = Command::parse();
    let level = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,sled=warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(daemon::run(*args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redoubt-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}
