//! The Python that runs `attestation/verify-py` and what judges the interface:
//! virtual environments in the cache, each named after what it holds.
//!
//! Protects against a verifier that depends on what a machine happens to have:
//! every wheel is pinned by digest, and only a complete environment is used.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::repo::{Repo, cache_dir};
use crate::{digest, process, say};

/// What `attestation/verify-py` needs.
pub(crate) const VERIFIER: &str = "attestation/verify-py/requirements.txt";
/// What judges the interface: its document and the appliance behind it.
pub(crate) const CONTRACT: &str = "tests/contract/requirements.txt";
/// What searches are measured beside.
pub(crate) const FAISS: &str = "tests/load/faiss/requirements.txt";

/// The interpreter of the environment, made if it is not there yet.
pub(crate) fn fetch(repo: &Repo, requirements: &str) -> Result<PathBuf> {
    let requirements = repo.root.join(requirements);
    let pinned = digest::sha256_file(&requirements)?;
    // Wheels differ between versions of Python, so an environment belongs to one.
    let folder = cache_dir()?.join(format!("python{}-{pinned}", version()?));
    make(&requirements, &folder)?;
    Ok(folder.join("bin/python"))
}

fn version() -> Result<String> {
    let mut python = Command::new("python3");
    python.args(["-I", "-c"]);
    python.arg("import sys; print('%d%d' % sys.version_info[:2])");
    let out = python.stdin(Stdio::null()).output();
    let out = out.context("python3 cannot be run; see `cargo xtask preflight`")?;
    ensure!(out.status.success(), "python3 cannot say its version");
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

fn make(requirements: &Path, folder: &Path) -> Result<()> {
    let parent = folder.parent().context("the cache folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    if folder.exists() {
        return Ok(());
    }
    say(&format!(
        "making the Python environment of {}",
        requirements.display()
    ));
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--without-pip"]).arg(&partial);
    run(&mut venv, "python3 -m venv")?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--python"])
        .arg(partial.join("bin/python"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-input", "--require-hashes", "--only-binary=:all:"]);
    pip.arg("--requirement").arg(requirements);
    run(&mut pip, "pip install")?;
    // The interpreter finds its packages beside itself, so it may be moved.
    fs::rename(&partial, folder)?;
    File::open(parent)?.sync_all()?;
    Ok(())
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = process::wait_in_foreground(command).context(what.to_owned())?;
    ensure!(status.success(), "{what}: {status}; its message is above");
    Ok(())
}
