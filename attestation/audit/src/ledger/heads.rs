//! Heads that somebody kept, to be met by the history.
//!
//! Protects against a history that is whole but another, or shorter than what
//! was once shown: a note or a receipt from outside pins one root at one size.

use std::collections::BTreeMap;

use redoubt_attestation::ledger::checkpoint::read_unverified;
use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::{Checkpoint, NoteError};
use redoubt_shared::LedgerId;

use super::Finding;

/// One head and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the file, and which note of it.
    pub name: String,
    /// What it says.
    pub head: Checkpoint,
    met: bool,
}

/// All heads to be met.
#[derive(Debug, Clone, Default)]
pub struct Heads {
    sources: Vec<Source>,
    at: BTreeMap<(LedgerId, u64), Vec<usize>>,
}

impl Heads {
    /// Adds the head of a note.
    pub fn add(&mut self, name: &str, note: &str) -> Result<(), NoteError> {
        let head = read_unverified(note)?;
        self.put(name.to_owned(), head);
        Ok(())
    }

    fn put(&mut self, name: String, head: Checkpoint) {
        let key = (head.ledger, head.size);
        self.at.entry(key).or_default().push(self.sources.len());
        self.sources.push(Source {
            name,
            head,
            met: false,
        });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Tells the root of a ledger at a size.
    pub(super) fn meet(&mut self, ledger: LedgerId, size: u64, root: &Hash) -> Result<(), Finding> {
        for at in self.at.get(&(ledger, size)).into_iter().flatten() {
            let source = &mut self.sources[*at];
            if source.head.root != *root {
                let text = format!(
                    "{}: at size {size} of ledger {ledger} the root is {}, the checkpoint says {}",
                    source.name,
                    hex::encode(root),
                    hex::encode(source.head.root)
                );
                return Err(Finding::new("other_history", text));
            }
            source.met = true;
        }
        Ok(())
    }

    /// The first head that the history never came to.
    pub(super) fn unmet(&self, covered: impl Fn(&Checkpoint) -> bool) -> Result<(), Finding> {
        let Some(source) = self.sources.iter().find(|source| !source.met) else {
            return Ok(());
        };
        let Checkpoint { ledger, size, .. } = source.head;
        Err(match covered(&source.head) {
            true => Finding::new(
                "checkpoint_not_covered",
                format!(
                    "{}: the root of ledger {ledger} at size {size} cannot be recomputed from what is here",
                    source.name
                ),
            ),
            false => Finding::new(
                "shorter_than_checkpoint",
                format!(
                    "{}: ledger {ledger} had {size} entries; there are fewer here",
                    source.name
                ),
            ),
        })
    }

    /// All of them, in the order given.
    pub fn list(&self) -> &[Source] {
        &self.sources
    }
}
