//! Files that the user has where the archive has them no more.
//!
//! Protects against a file that is taken for what it is called: each is known by
//! its digest alone, and serves the one pin that has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::digest;

/// Files by their SHA-256.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(BTreeMap<String, PathBuf>);

impl Given {
    /// Reads every file once.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self> {
        let named = |file: &PathBuf| Ok((digest::sha256_file(file)?, file.clone()));
        files.iter().map(named).collect::<Result<_>>().map(Self)
    }

    /// The file of this digest.
    pub(crate) fn file(&self, sha256: &str) -> Option<&Path> {
        self.0.get(sha256).map(PathBuf::as_path)
    }

    /// What was given, for whoever wonders why it was not taken.
    pub(crate) fn said(&self) -> String {
        if self.0.is_empty() {
            return "no file was given with --source-archive".into();
        }
        let line = |(digest, file): (&String, &PathBuf)| format!("{} ({digest})", file.display());
        let lines: Vec<_> = self.0.iter().map(line).collect();
        format!("given with --source-archive: {}", lines.join(", "))
    }
}
