//! Makes a development appliance: officers, identities, configuration.
//!
//! Protects against half-made state: everything is made once, in order, and the
//! signed configuration, written last, says that it is complete. An existing one
//! is resumed as it is, with the programs its genesis admits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::layout::Layout;
use crate::repo::Repo;
use crate::{digest, process, say};

/// The relying party of both tenants, and the pages that may ask its customers.
/// The first approval page is one of its own; the login page may ask too, which
/// a bank with one page needs.
const RP_ID: &str = "bank.example";
const ORIGINS: &str = "https://bank.example,https://login.bank.example";
const APPROVAL_ORIGINS: &str = "https://approve.bank.example,https://bank.example";
/// What the appliance's measurements cover.
const MEASURED: &[&str] = &["redoubt-enclave", "redoubt-worker"];

/// Whether everything was made.
pub(crate) fn is_complete(layout: &Layout) -> bool {
    layout.boot().join("config.json").exists()
}

/// Makes what is absent.
pub(crate) fn make(repo: &Repo, layout: &Layout) -> Result<()> {
    if is_complete(layout) {
        note_older_programs(repo, layout)?;
        return Ok(());
    }
    let sealed = fs::read_dir(layout.store())?.flatten().any(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "segment")
    });
    anyhow::ensure!(
        !sealed,
        "{} is gone, but the store holds entries that only its officers' shares open; \
         put it back, or name a new folder",
        layout.boot().join("config.json").display()
    );
    // Something was interrupted before anything was sealed: start it over.
    for folder in [layout.genesis_dir(), layout.credentials()] {
        let _ = fs::remove_dir_all(folder);
    }
    keep_programs(repo, layout)?;
    hold_ceremony(repo, layout)?;
    issue_credentials(repo, layout)?;
    sign_configuration(repo, layout)
}

fn keep_programs(repo: &Repo, layout: &Layout) -> Result<()> {
    for name in MEASURED {
        replace(&repo.bin(name), &layout.program(name))?;
    }
    replace(&repo.models_toml(), &layout.models_toml())
}

fn note_older_programs(repo: &Repo, layout: &Layout) -> Result<()> {
    for name in MEASURED {
        let (kept, built) = (layout.program(name), repo.bin(name));
        if digest::sha256_file(&kept)? != digest::sha256_file(&built)? {
            say(&format!(
                "note: {} is older than the {name} just built. The genesis admits the older one, \
                 so it goes on; a new folder runs the newest.",
                kept.display()
            ));
        }
    }
    Ok(())
}

fn hold_ceremony(repo: &Repo, layout: &Layout) -> Result<()> {
    let mut redoubt = Command::new(repo.bin("redoubt"));
    redoubt.args(["genesis", "init"]);
    redoubt.arg("--out").arg(layout.genesis_dir());
    redoubt.args(["--name", "development", "--emulated"]);
    redoubt.args(["--officers", "1", "--threshold", "1"]);
    redoubt
        .arg("--enclave-bin")
        .arg(layout.program("redoubt-enclave"));
    redoubt
        .arg("--worker-bin")
        .arg(layout.program("redoubt-worker"));
    process::output_of(&mut redoubt)?;
    let made = layout.genesis_dir().join("genesis.json");
    replace(&made, &layout.boot().join("genesis.json"))
}

/// Two tenants and the three offices, each under an anchor of its own.
fn issue_credentials(repo: &Repo, layout: &Layout) -> Result<()> {
    let mut redoubt = Command::new(repo.bin("redoubt"));
    redoubt.arg("dev-credentials");
    redoubt.arg("--out").arg(layout.credentials());
    redoubt
        .arg("--genesis")
        .arg(layout.boot().join("genesis.json"));
    redoubt.args(["--tenants", "bank,bank2", "--rp-id", RP_ID]);
    redoubt.args(["--origins", ORIGINS, "--approval-origins", APPROVAL_ORIGINS]);
    process::output_of(&mut redoubt).map(drop)
}

fn sign_configuration(repo: &Repo, layout: &Layout) -> Result<()> {
    let signed = layout.genesis_dir().join("config.json");
    let mut redoubt = Command::new(repo.bin("redoubt"));
    redoubt.args(["config", "sign"]);
    redoubt
        .arg("--genesis")
        .arg(layout.boot().join("genesis.json"));
    redoubt
        .arg("--config")
        .arg(layout.credentials().join("config.plain.json"));
    redoubt.arg("--officer-key").arg(officer_key(layout));
    redoubt.arg("--out").arg(&signed);
    process::output_of(&mut redoubt)?;
    replace(&signed, &layout.boot().join("config.json"))
}

/// The officer's share of the secret.
pub(crate) fn share(layout: &Layout) -> PathBuf {
    layout.genesis_dir().join("officer-1.share.json")
}

/// The key the officer signs with.
pub(crate) fn officer_key(layout: &Layout) -> PathBuf {
    layout.genesis_dir().join("officer-1.key.pem")
}

/// The officer's memory of the highest head they saw.
pub(crate) fn memory(layout: &Layout) -> PathBuf {
    layout.genesis_dir().join("officer-1.memory.json")
}

/// Copies in one step.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension("new");
    fs::copy(from, &temporary).with_context(|| from.display().to_string())?;
    fs::rename(&temporary, to).with_context(|| to.display().to_string())
}
