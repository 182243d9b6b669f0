//! What a witness remembers of one ledger, and when it cosigns.
//!
//! Protects against rollback and forks, whoever asks: heads only grow, terms only
//! rise, and of two copies of an appliance the older one's lease is over before
//! the newer one gets a cosignature. Pure: the caller writes the record that a
//! step returns to disk, and only then takes it over and answers.

use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::{Digest32, as_text};
use redoubt_attestation::jwk::OkpEd25519Jwk;
use redoubt_attestation::ledger::Hash;
use redoubt_attestation::ledger::checkpoint::Checkpoint;
use redoubt_attestation::ledger::merkle::{empty_root, verify_consistency};
use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};

/// Why nothing is cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogRefusal {
    /// A newer term was introduced.
    #[error("superseded by term {term}")]
    Superseded {
        /// The newest term.
        term: u64,
    },
    /// Another boot already opened this term.
    #[error("term {term} was introduced under another key: superseded by term {term}")]
    OtherKey {
        /// The term.
        term: u64,
    },
    /// The old size is larger than the head's.
    #[error("the old size is larger than the checkpoint's")]
    OldTooLarge,
    /// The lease of the term before is not over.
    #[error("the lease of the term before runs for {wait_ms} ms more")]
    Wait {
        /// How long.
        wait_ms: u64,
    },
    /// The head cosigned last has another size.
    #[error("the head cosigned last has size {size}")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// The same size with another root: a fork.
    #[error("another root was cosigned at size {size}: this is a fork or a rollback")]
    OtherRoot {
        /// The size.
        size: u64,
    },
    /// The head did not grow out of the last one, or the proof does not say so.
    #[error("the proof does not show that the checkpoint extends the head cosigned last")]
    Inconsistent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum RecordType {
    #[serde(rename = "redoubt/witness-log/v1")]
    V1,
}

/// For whom the last cosignature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    term: u64,
    /// The longest lease this term may count on.
    lease_ms: u64,
}

/// What is on disk about one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRecord {
    #[serde(rename = "type")]
    kind: RecordType,
    /// Which ledger.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
    /// The newest term introduced.
    pub term: u64,
    /// Its boot key: the only one whose checkpoints are cosigned.
    pub key: OkpEd25519Jwk,
    /// The head cosigned last.
    pub head: Option<Head>,
    holder: Option<Holder>,
}

/// The record, and what only this run of the witness knows. Times are
/// milliseconds of a monotonic clock that began with this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    record: LogRecord,
    /// When the holder got its last cosignature. 0, the start of this run, for
    /// what happened before it: so a restarted witness waits a whole lease.
    cosigned_at_ms: u64,
}

/// A head to cosign.
#[derive(Debug, Clone, Copy)]
pub struct Growth<'a> {
    /// The head; its signature was verified under the newest key.
    pub checkpoint: &'a Checkpoint,
    /// Size it claims to extend.
    pub old_size: u64,
    /// Consistency proof.
    pub proof: &'a [Hash],
}

impl Log {
    /// The first introduction of a ledger.
    pub fn first(ledger: LedgerId, term: u64, key: OkpEd25519Jwk) -> LogRecord {
        LogRecord {
            kind: RecordType::V1,
            ledger,
            term,
            key,
            head: None,
            holder: None,
        }
    }

    /// From a record on disk, or one just written there.
    pub fn restored(record: LogRecord) -> Self {
        Self {
            record,
            cosigned_at_ms: 0,
        }
    }

    /// What is on disk.
    pub fn record(&self) -> &LogRecord {
        &self.record
    }

    /// How long the newest term must still wait.
    pub fn wait_ms(&self, now_ms: u64) -> u64 {
        match self.record.holder {
            Some(Holder { term, lease_ms }) if term != self.record.term => self
                .cosigned_at_ms
                .saturating_add(lease_ms)
                .saturating_sub(now_ms),
            _ => 0,
        }
    }

    /// A term introduces its key: newer than the one known, or the same again.
    pub fn introduce(&self, term: u64, key: &OkpEd25519Jwk) -> Result<LogRecord, LogRefusal> {
        let known = &self.record;
        if term < known.term {
            return Err(LogRefusal::Superseded { term: known.term });
        }
        if term == known.term && *key != known.key {
            return Err(LogRefusal::OtherKey { term });
        }
        Ok(LogRecord {
            term,
            key: key.clone(),
            ..known.clone()
        })
    }

    /// A head by the newest key is to be cosigned.
    pub fn cosign(
        &self,
        growth: Growth<'_>,
        lease_ms: u64,
        now_ms: u64,
    ) -> Result<LogRecord, LogRefusal> {
        let Growth {
            checkpoint,
            old_size,
            proof,
        } = growth;
        if old_size > checkpoint.size {
            return Err(LogRefusal::OldTooLarge);
        }
        let wait_ms = self.wait_ms(now_ms);
        if wait_ms > 0 {
            return Err(LogRefusal::Wait { wait_ms });
        }
        let (size, root) = match self.record.head {
            Some(head) => (head.size, head.root.0),
            None => (0, empty_root()),
        };
        if old_size != size {
            return Err(LogRefusal::Conflict { size });
        }
        if checkpoint.size == size && checkpoint.root != root {
            return Err(LogRefusal::OtherRoot { size });
        }
        if !verify_consistency(size, checkpoint.size, &root, &checkpoint.root, proof) {
            return Err(LogRefusal::Inconsistent);
        }
        let term = self.record.term;
        // An enclave may still count on the longer lease of a manifest before.
        let before = self.record.holder.filter(|holder| holder.term == term);
        let lease_ms = before.map_or(lease_ms, |holder| holder.lease_ms.max(lease_ms));
        Ok(LogRecord {
            head: Some(Head {
                size: checkpoint.size,
                root: Digest32(checkpoint.root),
            }),
            holder: Some(Holder { term, lease_ms }),
            ..self.record.clone()
        })
    }

    /// Takes over a record that is on disk now, after an introduction.
    pub fn introduced(&mut self, record: LogRecord) {
        self.record = record;
    }

    /// Takes over a record that is on disk now, at the moment its cosignature is made.
    pub fn cosigned(&mut self, record: LogRecord, now_ms: u64) {
        self.record = record;
        self.cosigned_at_ms = now_ms;
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
