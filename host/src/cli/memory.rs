//! An officer's memory: the highest ledger head ever seen of this appliance, and the
//! last appraisal policy it was judged by.
//!
//! Protects against an appliance that is opened over an older copy of its own
//! store: a head below the remembered one, or another root at the same size, is
//! refused and never written. And against yesterday's rules: once images were
//! judged by a policy, they are never again by an older one or by none.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use redoubt_attestation::appraise::{AppraisalPolicy, PolicyMark, VerifiedAppraisalPolicy};
use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::VerifiedGenesis;
use serde::{Deserialize, Serialize};

use super::read;
use crate::files::write_atomically;

/// The file: `{"head": {"size": n, "root": hex} | null, "appraisal"?}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) head: Option<Head>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    appraisal: Option<Mark>,
}

/// The last appraisal policy that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    counter: u64,
    digest: Digest32,
}

impl Memory {
    /// `NAME.memory.json` beside `NAME.share.json`.
    pub(super) fn path_beside(share: &Path) -> PathBuf {
        let name = share.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(".share.json").unwrap_or(&name);
        share.with_file_name(format!("{stem}.memory.json"))
    }

    /// Reads the file; one that is not there yet remembers nothing.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Refuses a head that is not this one's future, as far as two heads can show.
    pub(super) fn check(&self, seen: Option<Head>) -> anyhow::Result<()> {
        let Some(remembered) = self.head else {
            return Ok(());
        };
        let Some(seen) = seen else {
            bail!(
                "the appliance shows no ledger; {} entries are remembered: it was rolled back",
                remembered.size
            );
        };
        if seen.size < remembered.size {
            bail!(
                "the appliance shows a ledger of {} entries; {} are remembered: it was rolled back",
                seen.size,
                remembered.size
            );
        }
        if seen.size == remembered.size && seen.root != remembered.root {
            bail!(
                "the appliance shows another ledger of {} entries than the one remembered: it was forked",
                seen.size
            );
        }
        Ok(())
    }

    /// Remembers a head after [`Self::check`].
    pub(super) fn advance(&mut self, seen: Option<Head>, path: &Path) -> anyhow::Result<()> {
        self.check(seen)?;
        if seen.is_some() && seen != self.head {
            self.head = seen;
            write_atomically(path, &serde_json::to_vec(self)?)?;
        }
        Ok(())
    }

    /// The policy to judge by, remembered before anything is judged.
    pub(super) fn judge_by(
        &mut self,
        policy: Option<&Path>,
        genesis: &VerifiedGenesis,
        path: &Path,
    ) -> anyhow::Result<Option<VerifiedAppraisalPolicy>> {
        let last = self
            .appraisal
            .map(|Mark { counter, digest }| PolicyMark { counter, digest });
        let Some(file) = policy else {
            return match last {
                None => Ok(None),
                Some(last) => bail!(
                    "an appraisal policy with counter {} was used before: give it, or a later \
                     one, with --appraisal",
                    last.counter
                ),
            };
        };
        let policy = appraisal(file, genesis)?.after(last)?;
        if last != Some(policy.mark()) {
            let PolicyMark { counter, digest } = policy.mark();
            self.appraisal = Some(Mark { counter, digest });
            write_atomically(path, &serde_json::to_vec(self)?)?;
        }
        Ok(Some(policy))
    }
}

/// Reads an appraisal policy that the manifest's officers signed.
pub(super) fn appraisal(
    path: &Path,
    genesis: &VerifiedGenesis,
) -> anyhow::Result<VerifiedAppraisalPolicy> {
    AppraisalPolicy::verify(&read(path)?, genesis).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64, root: u8) -> Option<Head> {
        let root = Digest32([root; 32]);
        Some(Head { size, root })
    }

    #[test]
    fn a_lower_head_and_another_root_are_refused_and_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = Memory::path_beside(&folder.path().join("officer-1.share.json"));
        assert!(path.ends_with("officer-1.memory.json"));
        let mut memory = Memory::load(&path).unwrap();
        assert_eq!(memory, Memory::default());
        memory.advance(None, &path).unwrap();
        memory.advance(head(7, 1), &path).unwrap();
        memory.advance(head(7, 1), &path).unwrap();
        for (wrong, why) in [
            (head(6, 1), "rolled back"),
            (None, "rolled back"),
            (head(7, 2), "forked"),
        ] {
            let error = memory.advance(wrong, &path).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        memory.advance(head(9, 3), &path).unwrap();
        assert_eq!(Memory::load(&path).unwrap().head, head(9, 3));
    }
}
