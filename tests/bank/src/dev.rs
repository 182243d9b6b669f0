//! `dev.json`: where a running appliance is and which credentials open it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// A running appliance, as its starter describes it. Unknown members are left alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Dev {
    /// `https://…` of the appliance.
    pub url: String,
    /// The CA certificate to pin, as `redoubt-audit trust` wrote it.
    pub ca: PathBuf,
    /// The client policy that pins the genesis.
    pub policy: PathBuf,
    /// The first tenant's client identity.
    pub bank: Identity,
    /// The second tenant's client identity.
    pub bank2: Identity,
    /// The running processes.
    #[serde(default)]
    pub pids: Pids,
    /// The folder that `redoubt-audit trust` wrote; the CA's folder if absent.
    #[serde(default)]
    pub trust_dir: Option<PathBuf>,
    /// Where the host answers `/metrics`.
    #[serde(default)]
    pub metrics_url: Option<String>,
}

/// A client certificate and its key, both PEM files.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// PKCS#8 key.
    pub key: PathBuf,
}

/// Process ids of the three parts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Pids {
    /// The untrusted host.
    #[serde(default)]
    pub host: u32,
    /// The enclave.
    #[serde(default)]
    pub enclave: u32,
    /// The sealed worker.
    #[serde(default)]
    pub worker: u32,
}

impl Dev {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "{}: start the appliance first (cargo xtask dev --dir DIR)",
                path.display()
            )
        })?;
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
    }

    /// The folder that holds the auditor's trust.
    pub fn trust_dir(&self) -> PathBuf {
        let beside = || self.ca.parent().map(Path::to_path_buf).unwrap_or_default();
        self.trust_dir.clone().unwrap_or_else(beside)
    }
}
