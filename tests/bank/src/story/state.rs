//! What the bank remembers between the parts of the story.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authenticator::StoredPasskey;

/// File name of the state, beside the report.
pub(super) const STATE_FILE: &str = "story-state.json";
/// File name of the markers for the blindness search.
pub(super) const MARKERS_FILE: &str = "markers.json";
/// File name of the approval's artefact.
pub(super) const ARTEFACT_FILE: &str = "artefact.json";

/// Customers, their passkeys, and everything acknowledged so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// The customer of the story.
    pub customer: String,
    /// Their passkeys.
    pub passkeys: Vec<StoredPasskey>,
    /// A customer locked by three failures.
    pub locked: String,
    /// When that lock ends, as the appliance said.
    pub locked_until: String,
    /// A customer whose attempts two hundred parallel samples spent.
    pub raced: String,
    /// Every acknowledged receipt.
    pub receipts: Vec<Value>,
    /// The login assertion already used once.
    pub used_assertion: Value,
}

impl State {
    /// Reads it back.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(STATE_FILE);
        let bytes = std::fs::read(&path)
            .with_context(|| format!("{}: tell part one first", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Writes it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(STATE_FILE);
        std::fs::write(&path, serde_json::to_vec(self)?).with_context(|| path.display().to_string())
    }
}
