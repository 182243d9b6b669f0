//! A ledger checked by somebody who has no key: from a copy of the host's store
//! folder, or from an export.
//!
//! Protects everyone against a history that was changed after the fact: every
//! record's place and root follow from those before it, and heads that somebody
//! else kept (notes, receipts) must be heads of exactly this history. Reads once
//! from front to back, with memory for the edge of each tree only.
//!
//! Not covered: whether sealed bodies open. Only the enclave can tell.

pub mod command;
mod export;
mod heads;
mod history;
mod progress;
mod record;
mod segments;

pub use export::{Export, ExportFacts};
pub use heads::{Heads, Source};
pub use history::{History, LedgerFacts};
pub use progress::Progress;
pub use segments::{Folder, FolderFacts, verify_folder};

/// What was found wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable snake_case reason.
    pub code: &'static str,
    /// In words, with the place.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    pub(crate) fn at(mut self, place: impl std::fmt::Display) -> Self {
        self.text = format!("{place}: {}", self.text);
        self
    }
}

/// Why there is no verdict, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is not what it should be.
    #[error("{}", .0.text)]
    Found(Finding),
    /// It could not be read.
    #[error("{0}")]
    Io(String),
}

impl From<Finding> for LedgerError {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}
