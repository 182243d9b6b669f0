//! `cargo xtask boot-test`: the real image in an emulated Nitro machine.
//!
//! Makes the machine, builds the programs, and hands both to `redoubt-boot`,
//! which founds an appliance on the image's measurements and tells the story.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::repo::Repo;
use crate::{image, process, programs, say, tools};

/// Flags of `cargo xtask boot-test`.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// Where the report goes
    #[arg(long, value_name = "OUT")]
    pub(crate) json: PathBuf,
    /// The enclave's image [default: built as `cargo xtask image` does]
    #[arg(long, value_name = "FILE")]
    pub(crate) eif: Option<PathBuf>,
    /// QEMU's source archive, where Debian does not serve it any more
    #[arg(long, value_name = "FILE")]
    pub(crate) source_archive: Option<PathBuf>,
    /// Make the emulated machine and stop
    #[arg(long)]
    pub(crate) tools_only: bool,
    /// Use the programs that were built last
    #[arg(long)]
    pub(crate) no_build: bool,
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
    let eif = match &args.eif {
        Some(eif) => eif.clone(),
        None => build_image(repo)?,
    };
    ensure!(
        eif.exists(),
        "{}: no such image; make one with `cargo xtask image`",
        eif.display()
    );
    if !args.no_build {
        programs::build(repo)?;
    }
    let mut boot = Command::new(repo.bin("redoubt-boot"));
    boot.arg("--eif").arg(&eif);
    boot.arg("--json").arg(&args.json);
    boot.arg("--qemu").arg(tools.qemu());
    boot.arg("--vsock-backend").arg(tools.vsock());
    boot.arg("--firmware").arg(tools.firmware());
    boot.arg("--tools-record").arg(tools.record());
    let committed = repo.root.join("images/measurements.json");
    if committed.exists() {
        boot.arg("--committed").arg(committed);
    }
    boot.env("REDOUBT_BIN_DIR", repo.bin_dir());
    Ok(process::wait_in_foreground(&mut boot)?.success())
}

/// From these sources, whether or not it measures what is committed: that is
/// `cargo xtask image --check`'s question.
fn build_image(repo: &Repo) -> Result<PathBuf> {
    let out = repo.report_dir("eif");
    let options = image::Options {
        out: Some(out.clone()),
        ..image::Options::default()
    };
    image::run(repo, &options)?;
    Ok(out.join("enclave.eif"))
}
