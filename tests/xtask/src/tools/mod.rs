//! The emulated machine that real images are booted in: QEMU and the back end of
//! its vsock device, made once into `~/.cache/redoubt/<digest>`.
//!
//! Protects against two runs that differ because their tools did: the folder's
//! name is the digest of every pin and of the recipe, and only a complete folder
//! gets it.

mod pins;
mod qemu;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::apt::{Given, NotHere};
use crate::crate_source::Crate;
use crate::fetch;
use crate::repo::{self, Repo};
use crate::work::{Scratch, Work, copy_into};
use crate::{digest, preflight, process, say};
use pins::Pins;

/// The recipe: where it changes, the tools are made anew. What packages and crates
/// bring, the pins say.
const RECIPE: &str = include_str!("qemu.rs");
/// What a complete folder says of itself.
const RECORD: &str = "tools.json";

/// Made tools.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    folder: PathBuf,
}

/// How they were made, kept beside them.
#[derive(Debug, Serialize)]
struct Record {
    qemu: String,
    qemu_seconds: f64,
    vsock: String,
    vsock_seconds: f64,
    /// Debian packages that were not installed.
    unpacked: Vec<String>,
}

impl Tools {
    /// The emulator.
    pub(crate) fn qemu(&self) -> PathBuf {
        self.folder.join("bin/qemu-system-x86_64")
    }

    /// The vsock device's back end.
    pub(crate) fn vsock(&self) -> PathBuf {
        self.folder.join("bin/vhost-device-vsock")
    }

    /// What the emulator loads at start.
    pub(crate) fn firmware(&self) -> PathBuf {
        self.folder.join("firmware")
    }

    /// How they were made, and how long that took.
    pub(crate) fn record(&self) -> PathBuf {
        self.folder.join(RECORD)
    }
}

/// Makes the tools unless they are there. What was `given` is taken before what the
/// archive serves.
pub(crate) fn make(repo: &Repo, given: &Given) -> Result<Tools> {
    let pins = repo.tools_toml();
    let folder = repo::cache_dir()?.join(name(&fs::read(&pins)?));
    let tools = Tools { folder };
    fs::create_dir_all(repo::cache_dir()?)?;
    fetch::clear_leftovers()?;
    let _alone = fetch::lock(&tools.folder.with_extension("lock"))?;
    if tools.record().exists() {
        return Ok(tools);
    }
    let needed = ["cc", "make", "venv (python3 -m venv)", "pkg-config"];
    preflight::check_for(&needed).map_err(|lacks| NotHere(lacks.to_string()))?;
    say("making the emulated machine (once; some minutes)");
    let partial = tools.folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    build(repo, &Pins::read(&pins)?, given, &partial)?;
    fs::rename(&partial, &tools.folder)?;
    say(&format!("  in {}", tools.folder.display()));
    Ok(tools)
}

fn build(repo: &Repo, pins: &Pins, given: &Given, out: &Path) -> Result<()> {
    let work = Work::new(out.join("work"))?;
    let title = format!("{} {}", pins.vsock.name, pins.vsock.version);
    let ((), vsock_seconds) = timed(&title, || keep_program(repo, &work, &pins.vsock, out))?;
    let title = format!("{} {}", pins.qemu.source, pins.qemu.version);
    let (unpacked, qemu_seconds) = timed(&title, || qemu::build(&work, pins, given, out))?;
    let record = Record {
        qemu: pins.qemu.version.clone(),
        qemu_seconds,
        vsock: pins.vsock.version.clone(),
        vsock_seconds,
        unpacked,
    };
    fs::remove_dir_all(out.join("work"))?;
    let text = serde_json::to_vec_pretty(&record)?;
    let path = out.join(RECORD);
    fs::write(&path, text)?;
    File::open(&path)?
        .sync_all()
        .with_context(|| path.display().to_string())
}

/// Builds a program of the crates registry into `out/bin`.
fn keep_program(repo: &Repo, work: &Work, pin: &Crate, out: &Path) -> Result<()> {
    let program = pin.build(repo, work)?;
    fs::create_dir_all(out.join("bin"))?;
    copy_into(&program, &out.join("bin"))
}

/// The public tool `eif_build`, built once into the cache.
pub(crate) fn eif_build(repo: &Repo) -> Result<PathBuf> {
    let pin = Pins::read(&repo.tools_toml())?.eif_build;
    let folder = repo::cache_dir()?.join(&pin.sha256);
    fs::create_dir_all(repo::cache_dir()?)?;
    let _alone = fetch::lock(&folder.with_extension("lock"))?;
    let program = folder.join("bin").join(&pin.name);
    if program.exists() {
        return Ok(program);
    }
    let mut probe = Command::new("pkg-config");
    if process::output_of(probe.args(["--exists", "openssl"])).is_err() {
        let hint = "eif_build cannot be built; it needs: apt-get install -y libssl-dev pkg-config";
        return Err(NotHere(hint.into()).into());
    }
    say(&format!("building {} {}", pin.name, pin.version));
    let partial = Scratch::new(folder.with_extension("partial"))?;
    let work = Work::new(partial.0.join("work"))?;
    let made = partial.0.join("made");
    keep_program(repo, &work, &pin, &made)?;
    fs::rename(&made, &folder)?;
    Ok(program)
}

fn timed<T>(title: &str, make: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    say(&format!("  {title}"));
    let start = Instant::now();
    let made = make()?;
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("    {seconds:.1} s"));
    Ok((made, seconds))
}

/// The folder's name.
fn name(pins: &[u8]) -> String {
    let all = digest::sha256_hex(pins) + &digest::sha256_hex(RECIPE.as_bytes());
    digest::sha256_hex(all.as_bytes())
}

/// How many compilers at once: as many as cargo may use.
fn jobs() -> usize {
    let said = std::env::var("CARGO_BUILD_JOBS").ok();
    let said = said.and_then(|jobs| jobs.parse().ok());
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    said.filter(|jobs| *jobs > 0).unwrap_or_else(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_part_in_the_folders_name() {
        assert_eq!(name(b"a"), name(b"a"));
        assert_ne!(name(b"a"), name(b"b"));
        assert_eq!(name(b"a").len(), 64);
    }
}
