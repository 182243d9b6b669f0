//! Witnesses and custodians on the command line of a ceremony.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redoubt_attestation::genesis::{Genesis, PeerEntry, WitnessMode, WitnessPolicy};

use super::read;

/// How fresh every receipt must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Freshness {
    /// Every answer waits for the witnesses
    Strict,
    /// Answers go out while the witnesses' last word is younger than the lease
    Lease,
}

/// Who witnesses the ledger and who keeps the epoch secret.
#[derive(Debug, clap::Args)]
pub(super) struct PeerArgs {
    /// A witness: the JSON entry that `redoubt-audit witness --init` printed; repeat for each
    #[arg(long, value_name = "FILE")]
    pub(super) witness: Vec<PathBuf>,
    /// Witnesses that must agree; 2k > n + f [default: the fewest that do]
    #[arg(long, value_name = "K", requires = "witness")]
    pub(super) witness_k: Option<u8>,
    /// Witnesses that may lie or lose their state without harm
    #[arg(long, value_name = "F", default_value_t = 0, requires = "witness")]
    pub(super) witness_f: u8,
    /// When what witnesses saw counts as fresh
    #[arg(long, value_enum, default_value = "strict", requires = "witness")]
    pub(super) freshness: Freshness,
    /// How long a witness's word is good for, and how long a restarted enclave waits
    #[arg(long, value_name = "MS", default_value_t = 2000, requires = "witness")]
    pub(super) lease_ms: u64,
    /// A custodian of the epoch secret: an entry as for --witness; repeat for each
    #[arg(long, value_name = "FILE")]
    pub(super) custodian: Vec<PathBuf>,
    /// Custodians that restore the epoch secret [default: more than half]
    #[arg(long, value_name = "T", requires = "custodian")]
    pub(super) custodian_threshold: Option<u8>,
}

impl PeerArgs {
    /// Names the peers given; a list that was not given stays as it is.
    pub(super) fn put_into(&self, manifest: &mut Genesis) -> anyhow::Result<()> {
        if !self.witness.is_empty() {
            manifest.witnesses = entries(&self.witness)?;
            manifest.witness_policy = Some(self.witness_policy());
        }
        if !self.custodian.is_empty() {
            manifest.custodians = entries(&self.custodian)?;
            let majority = manifest.custodians.len() / 2 + 1;
            let threshold = self.custodian_threshold.unwrap_or(as_u8(majority));
            manifest.custodian_threshold = Some(threshold);
        }
        Ok(())
    }

    fn witness_policy(&self) -> WitnessPolicy {
        let fewest = (self.witness.len() + usize::from(self.witness_f)) / 2 + 1;
        WitnessPolicy {
            k: self.witness_k.unwrap_or(as_u8(fewest)),
            f: self.witness_f,
            mode: match self.freshness {
                Freshness::Strict => WitnessMode::Strict,
                Freshness::Lease => WitnessMode::Lease,
            },
            lease_ms: self.lease_ms,
        }
    }
}

/// Lists too long for a byte are refused by the manifest's own check.
fn as_u8(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn entries(files: &[PathBuf]) -> anyhow::Result<Vec<PeerEntry>> {
    files.iter().map(|file| entry(file)).collect()
}

/// The entry in a file.
pub(super) fn entry(file: &Path) -> anyhow::Result<PeerEntry> {
    serde_json::from_slice(&read(file)?).with_context(|| {
        format!(
            "{}: no peer entry as `redoubt-audit witness --init` prints it",
            file.display()
        )
    })
}
