//! Makes a development appliance: officers, identities, configuration.
//!
//! Protects against half-made state: everything is made once, in order, and the
//! signed configuration, written last, says that it is complete. An existing one
//! is resumed as it is, with the programs its genesis admits.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::layout::Layout;
use crate::repo::Repo;
use crate::{digest, process, say};

/// Identity folders below `credentials/` and the names in their certificates.
const IDENTITIES: &[(&str, &str)] = &[
    ("bank", "back-end.bank.example"),
    ("bank2", "back-end.second.example"),
    ("auditor", "auditor.redoubt.example"),
    ("officer", "officer-1.redoubt.example"),
    ("operator", "operator.redoubt.example"),
];
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
    // Something was interrupted before anything was sealed: start it over.
    let _ = fs::remove_dir_all(layout.genesis_dir());
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

fn issue_credentials(repo: &Repo, layout: &Layout) -> Result<()> {
    let mut credentials = Command::new(repo.bin("redoubt-credentials"));
    credentials.arg(layout.credentials());
    for (name, san) in IDENTITIES {
        credentials.arg(format!("{name}={san}"));
    }
    process::output_of(&mut credentials).map(drop)
}

fn sign_configuration(repo: &Repo, layout: &Layout) -> Result<()> {
    let plain = layout.genesis_dir().join("config.plain.json");
    let text = serde_json::to_string_pretty(&configuration(layout)?)?;
    fs::write(&plain, text).with_context(|| plain.display().to_string())?;
    let mut redoubt = Command::new(repo.bin("redoubt"));
    redoubt.args(["config", "sign"]);
    redoubt
        .arg("--genesis")
        .arg(layout.boot().join("genesis.json"));
    redoubt.arg("--config").arg(&plain);
    redoubt.arg("--officer-key").arg(officer_key(layout)?);
    let signed = layout.genesis_dir().join("config.json");
    redoubt.arg("--out").arg(&signed);
    process::output_of(&mut redoubt)?;
    replace(&signed, &layout.boot().join("config.json"))
}

/// Two tenants of different banks, and the offices beside them.
fn configuration(layout: &Layout) -> Result<Value> {
    let anchor = |name: &str| read(&layout.credentials().join(name).join("anchor.pem"));
    let policy: Value = serde_json::from_str(&read(&layout.policy())?)?;
    let tenant = |id: &str, identity: &str, domain: &str| -> Result<Value> {
        Ok(json!({
            "id": id,
            "name": domain,
            "anchor": anchor(identity)?,
            "ledger": random_id()?,
            "rp": {
                "id": domain,
                "name": domain,
                "origins": [format!("https://{domain}"), format!("https://login.{domain}")],
                "approval_origins": [format!("https://approve.{domain}")],
            },
            "roles": [],
            "default_role": "bank",
        }))
    };
    Ok(json!({
        "type": "redoubt/config/v1",
        "genesis": policy["genesis"],
        "counter": 1,
        "server_names": ["localhost", "127.0.0.1"],
        "anchors": {
            "auditor": anchor("auditor")?,
            "officer": anchor("officer")?,
            "operator": anchor("operator")?,
        },
        "tenants": [
            tenant("bank", "bank", "bank.example")?,
            tenant("bank2", "bank2", "second.example")?,
        ],
        "appliance_ledger": random_id()?,
        "policy": {
            "face_false_matches_per_million": 100,
            "max_failed_attempts": 3,
            "lockout_minutes": 30,
            "accepted_tiers": ["process"],
            "enrollment_minutes": 30,
            "challenge_seconds": 300,
            "approval_seconds": 300,
        },
    }))
}

/// The officer's share of the secret.
pub(crate) fn share(layout: &Layout) -> Result<PathBuf> {
    the_one(&layout.genesis_dir(), "share")
}

/// The key the officer signs with.
pub(crate) fn officer_key(layout: &Layout) -> Result<PathBuf> {
    the_one(&layout.genesis_dir(), "key")
}

/// The officer's memory of the highest head they saw.
pub(crate) fn memory(layout: &Layout) -> PathBuf {
    layout.genesis_dir().join("officer-memory.json")
}

/// The one file of `dir` whose name has `word` in it.
fn the_one(dir: &Path, word: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains(word))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    let count = found.len();
    ensure!(
        count == 1,
        "{}: {count} files with {word:?} in their names",
        dir.display()
    );
    found.pop().context("just counted")
}

/// 128 random bits in hexadecimal.
fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Copies in one step.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension("new");
    fs::copy(from, &temporary).with_context(|| from.display().to_string())?;
    fs::rename(&temporary, to).with_context(|| to.display().to_string())
}
