//! Builds every program once and puts the finished ones into one folder.
//!
//! Protects against doing the work twice: the same selection of features serves
//! the programs and the tests, and the two static programs differ from the
//! others in their last link only (see `link-static.sh`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::elf::{self, Linkage};
use crate::repo::Repo;
use crate::say;

/// Every program and how it must be linked.
const PROGRAMS: &[(&str, Linkage)] = &[
    ("redoubt-enclave", Linkage::Static),
    ("redoubt-audit", Linkage::Static),
    ("redoubt-worker", Linkage::Dynamic),
    ("redoubt-host", Linkage::Dynamic),
    ("redoubt", Linkage::Dynamic),
    ("redoubt-bank", Linkage::Dynamic),
    ("redoubt-conformance", Linkage::Dynamic),
    ("redoubt-bench", Linkage::Dynamic),
    ("redoubt-attack", Linkage::Dynamic),
    ("redoubt-chaos", Linkage::Dynamic),
    ("redoubt-boot", Linkage::Dynamic),
    ("redoubt-image", Linkage::Dynamic),
    ("redoubt-fuzz", Linkage::Dynamic),
    ("redoubt-eval", Linkage::Dynamic),
];

/// A line of cargo's JSON output, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Cargo over the whole workspace, set up so that all stages share their outputs.
pub(crate) fn cargo(repo: &Repo, subcommand: &str) -> Command {
    let mut cargo = repo.cargo(subcommand);
    cargo.args(["--release", "--locked", "--workspace"]).env(
        "RUSTC_WORKSPACE_WRAPPER",
        repo.root.join("tests/xtask/link-static.sh"),
    );
    cargo
}

/// Builds, checks linkage, copies into [`Repo::bin_dir`].
pub(crate) fn build(repo: &Repo) -> Result<()> {
    let start = Instant::now();
    say("building (release, locked)");
    let made = cargo_build(repo)?;
    let dir = repo.bin_dir();
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let absent: Vec<_> = PROGRAMS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !made.contains_key(*name))
        .collect();
    ensure!(
        absent.is_empty(),
        "the build made no {}",
        absent.join(", no ")
    );
    for (name, wanted) in PROGRAMS {
        let from = &made[*name];
        let found = elf::linkage(from)?;
        ensure!(
            found == *wanted,
            "{name} is {found:?} but must be {wanted:?}; remove {} and build again",
            from.display()
        );
        install(from, &dir.join(name))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    say(&format!(
        "  {} programs in {}, {seconds:.1} s",
        PROGRAMS.len(),
        dir.display()
    ));
    Ok(())
}

fn cargo_build(repo: &Repo) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = cargo(repo, "build");
    // Naming one test brings the tests' feature selection, so that `test` after
    // `demo` compiles no dependency a second time.
    cargo.args(["--bins", "--test", "selection"]);
    executables(&mut cargo)
}

/// Runs a build; every program it made, by name.
pub(crate) fn executables(cargo: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    cargo.arg("--message-format=json-render-diagnostics");
    let out = cargo.stderr(Stdio::inherit()).output().context("cargo")?;
    ensure!(
        out.status.success(),
        "the build failed; cargo's message is above"
    );
    let mut made = BTreeMap::new();
    for line in out.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Message>(line) else {
            continue;
        };
        if let (Some(executable), Some(target)) = (message.executable, message.target)
            && target.kind == ["bin"]
        {
            made.insert(target.name, executable);
        }
    }
    Ok(made)
}

/// Copies every finished program from one folder to another.
pub(crate) fn install_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for (name, _) in PROGRAMS {
        install(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

/// Copies so that a program that is running keeps its own file.
pub(crate) fn install(from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension(format!("{}.tmp", std::process::id()));
    fs::copy(from, &temporary).with_context(|| from.display().to_string())?;
    fs::rename(&temporary, to).with_context(|| to.display().to_string())
}
