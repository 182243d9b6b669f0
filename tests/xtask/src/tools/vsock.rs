//! The back end of the emulated machine's vsock device, from the crates registry.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::pins::Crate;
use super::work::{Work, copy_into};
use crate::digest;
use crate::repo::Repo;

/// Builds the pinned version into `out/bin`.
pub(super) fn build(repo: &Repo, work: &Work, pin: &Crate, out: &Path) -> Result<()> {
    let root = work.folder("vsock")?;
    let title = format!("{} {}", pin.name, pin.version);
    let mut cargo = repo.cargo("install");
    cargo.args([
        "--locked",
        &pin.name,
        "--version",
        &format!("={}", pin.version),
    ]);
    cargo.arg("--root").arg(&root);
    cargo.env("CARGO_TARGET_DIR", work.path("vsock-target"));
    cargo.env_remove("RUSTFLAGS");
    work.run(&format!("building {title}"), &mut cargo)?;
    digest::require(&fetched(pin)?, &pin.sha256, &title)?;
    fs::create_dir_all(out.join("bin"))?;
    copy_into(&root.join("bin").join(&pin.name), &out.join("bin"))
}

/// The archive that cargo built from.
fn fetched(pin: &Crate) -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let cache = home.context("no home folder")?.join("registry/cache");
    let name = format!("{}-{}.crate", pin.name, pin.version);
    let registries = fs::read_dir(&cache).with_context(|| cache.display().to_string())?;
    let found = registries
        .flatten()
        .map(|entry| entry.path().join(&name))
        .find(|path| path.exists());
    ensure!(
        found.is_some(),
        "{}: cargo kept no {name}, so its digest cannot be checked",
        cache.display()
    );
    Ok(found.unwrap_or_default())
}
