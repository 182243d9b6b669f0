//! The public tool `eif_build` packs the same parts: another program, written by
//! others, must come to the same measurements.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::compile;
use super::debian::Scratch;
use super::report::Description;
use crate::repo::{self, Repo};
use crate::{digest, process, say};

const VERSION: &str = "0.2.1";

/// An error unless `eif_build` measures what we measured.
pub(crate) fn agrees(repo: &Repo, packer: &Path, eif: &Path, ours: &Description) -> Result<()> {
    let program = installed(repo)?;
    say("packing once more, with eif_build");
    let scratch = Scratch::new(eif.with_extension(format!("parts.{}", std::process::id())))?;
    let mut split = Command::new(packer);
    split.arg("split").arg(eif).arg("--out").arg(&scratch.0);
    process::output_of(&mut split)?;
    let part = |name: &str| scratch.0.join(name);
    let mut pack = Command::new(&program);
    pack.arg("--kernel").arg(part("kernel"));
    pack.args(["--cmdline", &ours.command_line]);
    for number in 1..=ours.ramdisks.len() {
        pack.arg("--ramdisk")
            .arg(part(&format!("ramdisk-{number}")));
    }
    pack.arg("--output").arg(part("theirs.eif"));
    let said = process::output_of(&mut pack)?;
    let at = said.find('{').context("eif_build said no JSON")?;
    let said: Value = serde_json::from_str(&said[at..])?;
    let said = said.get("Measurements").unwrap_or(&said);
    for (name, value) in &ours.measurements {
        let theirs = &said[name.to_uppercase()];
        ensure!(
            theirs == value,
            "eif_build {VERSION} measures {name} as {theirs}, we as {value}"
        );
    }
    say("  eif_build comes to the same measurements");
    Ok(())
}

/// Builds it once into the cache.
fn installed(repo: &Repo) -> Result<PathBuf> {
    let key = digest::sha256_hex(format!("eif_build {VERSION}").as_bytes());
    let root = repo::cache_dir()?.join(key);
    let program = root.join("bin/eif_build");
    if program.exists() {
        return Ok(program);
    }
    say(&format!("building eif_build {VERSION}"));
    let mut cargo = compile::cargo(repo, "install");
    cargo.args(["eif_build", "--version", VERSION, "--locked"]);
    cargo.arg("--root").arg(&root);
    let status = process::wait_in_foreground(&mut cargo)?;
    ensure!(
        status.success(),
        "eif_build cannot be built; it needs: apt-get install -y libssl-dev pkg-config"
    );
    Ok(program)
}
