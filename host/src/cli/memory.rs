//! An officer's memory: the highest ledger head ever seen of this appliance.
//!
//! Protects against an appliance that is opened over an older copy of its own
//! store: a head below the remembered one, or another root at the same size, is
//! refused and never written.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use redoubt_attestation::binding::Head;
use serde::{Deserialize, Serialize};

use crate::files::write_atomically;

/// The file: `{"head": {"size": n, "root": hex} | null}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) head: Option<Head>,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use redoubt_attestation::encode::Digest32;

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
