//! The folder that `redoubt-audit trust` writes and `verify` reads.

use std::path::Path;

use anyhow::{Context, Result};
use redoubt_attestation::appraise::{AppraisalPolicy, PolicyError, VerifiedAppraisalPolicy};
use redoubt_attestation::artefact::Trust;
use redoubt_attestation::encode::b64u;
use redoubt_attestation::genesis::{Genesis, VerifiedGenesis};
use serde_json::json;

use crate::fetch::{AttestedConnection, Pinned};

/// What clients pin for TLS.
pub const CA: &str = "ca.pem";
/// The manifest as its officers signed it.
pub const GENESIS: &str = "genesis.json";
/// What this auditor pinned.
pub const POLICY: &str = "policy.json";
/// The document, preimage and session that were appraised.
pub const EVIDENCE: &str = "evidence.json";
/// The last appraisal policy that was used, as its officers signed it.
pub const APPRAISAL: &str = "appraisal.json";

/// What a trust folder remembers of the last run.
#[derive(Default)]
pub struct Remembered {
    /// The appraisal policy that was used.
    policy: Option<Vec<u8>>,
    /// The manifest of then, whose officers signed it.
    genesis: Option<VerifiedGenesis>,
}

impl Remembered {
    /// Reads it. What is there but cannot be read is no reason to forget it.
    pub fn read(folder: &Path) -> Result<Self> {
        let genesis = read_if_there(&folder.join(GENESIS))?;
        let genesis = genesis.map(|bytes| Genesis::verify(&bytes)).transpose();
        Ok(Self {
            policy: read_if_there(&folder.join(APPRAISAL))?,
            genesis: genesis.with_context(|| folder.join(GENESIS).display().to_string())?,
        })
    }

    /// The appraisal policy to use, with its bytes: the one given, unless it is older
    /// than the remembered one; the remembered one if none is given. Where officers
    /// changed the manifest, the one given must be of the new manifest.
    pub fn appraisal(
        self,
        given: Option<&[u8]>,
        genesis: &VerifiedGenesis,
    ) -> Result<Option<(Vec<u8>, VerifiedAppraisalPolicy)>, PolicyError> {
        let Some(given) = given else {
            let kept = self.policy.map(|bytes| {
                let policy = AppraisalPolicy::verify(&bytes, genesis)?;
                Ok((bytes, policy))
            });
            return kept.transpose();
        };
        let last = self.policy.map(|bytes| {
            let now = AppraisalPolicy::verify(&bytes, genesis);
            match (now, &self.genesis) {
                (Err(_), Some(then)) if then.digest != genesis.digest => {
                    AppraisalPolicy::verify(&bytes, then)
                }
                (now, _) => now,
            }
        });
        let last = last.transpose()?.map(|policy| policy.mark());
        let policy = AppraisalPolicy::verify(given, genesis)?.after(last)?;
        Ok(Some((given.to_vec(), policy)))
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Remembers the policy that is used now.
pub fn remember(folder: &Path, policy: &[u8]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    replace(&folder.join(APPRAISAL), policy)
}

/// Writes the folder; `ca` is the certificate to pin, PEM.
pub fn write(folder: &Path, pinned: &Pinned, proven: &AttestedConnection, ca: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let evidence = json!({
        "type": "redoubt/evidence/v1",
        "document": b64u(&proven.reply.document),
        "preimage": b64u(&proven.reply.preimage),
        "client_nonce": b64u(&proven.client_nonce),
        "exporter": b64u(&proven.exporter),
        "phase": proven.reply.phase,
        "config": proven.reply.config,
    });
    let put = |name: &str, bytes: &[u8]| replace(&folder.join(name), bytes);
    put(GENESIS, &pinned.genesis.envelope.to_json())?;
    put(POLICY, &pinned.policy.to_json())?;
    put(EVIDENCE, &serde_json::to_vec_pretty(&evidence)?)?;
    // Last, since its presence tells scripts that trust was established.
    put(CA, ca.as_bytes())
}

/// Writes beside and renames, so that nobody reads half a file.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, bytes)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| path.display().to_string())
}

/// Reads what `verify` needs of the folder: the policy, with its manifest inside.
pub fn read(folder: &Path) -> Result<Trust> {
    let path = folder.join(POLICY);
    let bytes = std::fs::read(&path)
        .with_context(|| format!("{}: run redoubt-audit trust first", path.display()))?;
    Trust::from_policy(&bytes).with_context(|| path.display().to_string())
}
