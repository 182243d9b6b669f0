//! `cargo xtask boot-test`: the real image in an emulated Nitro machine.
//!
//! Makes the machine, builds the programs, and hands both to `redoubt-boot`,
//! which founds an appliance on the image's measurements and tells the story.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::repo::Repo;
use crate::{process, programs, say, tools};

/// Flags of `cargo xtask boot-test`.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// Where the report goes
    #[arg(long, value_name = "OUT")]
    json: PathBuf,
    /// The enclave's image
    #[arg(long, value_name = "FILE")]
    eif: PathBuf,
    /// QEMU's source archive, where Debian does not serve it any more
    #[arg(long, value_name = "FILE")]
    source_archive: Option<PathBuf>,
    /// Make the emulated machine and stop
    #[arg(long)]
    tools_only: bool,
    /// Use the programs that were built last
    #[arg(long)]
    no_build: bool,
}

/// Whether the image booted and did everything it must.
pub(crate) fn run(repo: &Repo, args: &BootArgs) -> Result<bool> {
    let tools = tools::make(repo, args.source_archive.as_deref())?;
    if args.tools_only {
        say(&format!(
            "the emulated machine is made: {}",
            tools.qemu().display()
        ));
        return Ok(true);
    }
    ensure!(
        args.eif.exists(),
        "{}: no such image; make one with `cargo xtask image`",
        args.eif.display()
    );
    if !args.no_build {
        programs::build(repo)?;
    }
    let mut boot = Command::new(repo.bin("redoubt-boot"));
    boot.arg("--eif").arg(&args.eif);
    boot.arg("--json").arg(&args.json);
    boot.arg("--qemu").arg(tools.qemu());
    boot.arg("--vsock-backend").arg(tools.vsock());
    boot.arg("--firmware").arg(tools.firmware());
    boot.arg("--tools-record").arg(tools.record());
    boot.env("REDOUBT_BIN_DIR", repo.bin_dir());
    Ok(process::wait_in_foreground(&mut boot)?.success())
}
