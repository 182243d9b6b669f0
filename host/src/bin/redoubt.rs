//! The operator's and officers' tool.

use std::process::ExitCode;

use clap::Parser;
use redoubt_host::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
