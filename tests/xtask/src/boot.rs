//! `cargo xtask boot-test`: the real images in emulated Nitro machines.
//!
//! Makes the machine, builds the programs, and hands both to `redoubt-boot`,
//! which founds an appliance on the images' measurements and tells the story.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::apt::Given;
use crate::image::Kind;
use crate::repo::Repo;
use crate::{image, process, programs, say, tools};

/// Flags of `cargo xtask boot-test`.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// Where the report goes
    #[arg(long, value_name = "OUT")]
    pub(crate) json: PathBuf,
    /// The enclave's image [default: both are built as `cargo xtask image` does]
    #[arg(long, value_name = "FILE")]
    pub(crate) eif: Option<PathBuf>,
    /// The worker's image; with --eif and without this, no worker is booted
    #[arg(long, value_name = "FILE", requires = "eif")]
    pub(crate) worker_eif: Option<PathBuf>,
    /// A file that Debian's archive does not serve any more, such as QEMU's sources;
    /// repeat
    #[arg(long, value_name = "FILE")]
    pub(crate) source_archive: Vec<PathBuf>,
    /// Make the emulated machine and stop
    #[arg(long)]
    pub(crate) tools_only: bool,
    /// Use the programs that were built last
    #[arg(long)]
    pub(crate) no_build: bool,
}

/// Whether the images booted and did everything they must.
pub(crate) fn run(repo: &Repo, args: &BootArgs) -> Result<bool> {
    let tools = tools::make(repo, &Given::read(&args.source_archive)?)?;
    if args.tools_only {
        say(&format!(
            "the emulated machine is made: {}",
            tools.qemu().display()
        ));
        return Ok(true);
    }
    let (eif, worker) = match &args.eif {
        Some(eif) => (eif.clone(), args.worker_eif.clone()),
        None => build_images(repo, args)?,
    };
    for image in [Some(&eif), worker.as_ref()].into_iter().flatten() {
        ensure!(
            image.exists(),
            "{}: no such image; make one with `cargo xtask image`",
            image.display()
        );
    }
    if !args.no_build {
        programs::build(repo)?;
    }
    let mut boot = Command::new(repo.bin("redoubt-boot"));
    boot.arg("--eif").arg(&eif);
    if let Some(worker) = &worker {
        boot.arg("--worker-eif").arg(worker);
    }
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

/// From these sources, whether or not they measure what is committed: that is
/// `cargo xtask image --check`'s question.
fn build_images(repo: &Repo, args: &BootArgs) -> Result<(PathBuf, Option<PathBuf>)> {
    let options = image::Options {
        source_archive: args.source_archive.clone(),
        ..image::Options::default()
    };
    let built = image::build(repo, &options)?;
    let file = |kind| built.images[&kind].eif.clone();
    Ok((file(Kind::Enclave), Some(file(Kind::Worker))))
}
