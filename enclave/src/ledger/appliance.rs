//! The appliance's own ledger: its CA, its terms with their evidence, and the
//! heads of every tenant's ledger.
//!
//! Protects against rolling back one tenant alone: each batch records the heads
//! it leads to, and recovery must meet them exactly.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The CA for TLS leaves, sealed in the ledger.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize)]
#[zeroize(drop)]
pub struct CaSecret {
    /// Private key, PKCS#8 DER.
    pub pkcs8: Vec<u8>,
    /// Certificate, DER.
    pub certificate: Vec<u8>,
}

/// One term: who wrote from here on, and the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermRecord {
    /// The term, from 1.
    pub term: u64,
    /// When it began, Unix milliseconds.
    pub at_ms: u64,
    /// The serve document of this boot (COSE).
    pub document: Vec<u8>,
    /// The JSON whose SHA-384 is its `user_data`.
    pub preimage: Vec<u8>,
    /// Digest of the genesis manifest in force.
    pub genesis: [u8; 32],
    /// Its counter.
    pub genesis_counter: u64,
    /// Digest of the configuration in force.
    pub config: [u8; 32],
    /// Its counter.
    pub config_counter: u64,
}

impl TermRecord {
    /// The digest claims name the document by.
    pub fn document_digest(&self) -> Digest32 {
        sha256(&[&self.document])
    }
}

/// What the appliance's ledger records. Variants are append-only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplianceEvent {
    /// The ledger opened under this genesis.
    Opened {
        /// Digest of the genesis manifest.
        genesis: [u8; 32],
        /// The CA of the appliance.
        ca: CaSecret,
    },
    /// A term began.
    TermBegan(TermRecord),
    /// Where a tenant's ledger that this batch touched stands after it: one
    /// event for each, so that one can be shown without the others.
    Heads(Vec<(LedgerId, u64, Hash)>),
    /// Everything from here on is sealed in this epoch.
    EpochBegan {
        /// The epoch.
        epoch: u32,
        /// When, Unix milliseconds.
        at_ms: u64,
        /// Digest of the genesis manifest whose officers open it.
        genesis: [u8; 32],
    },
    /// Custodians deleted the secrets of epochs below this one.
    EpochRetired {
        /// First epoch not deleted.
        below: u32,
        /// Their signed statements, as received.
        statements: Vec<Vec<u8>>,
    },
    /// A snapshot was written; its first blob has this digest.
    SnapshotTaken {
        /// SHA-256 of the first blob.
        name: [u8; 32],
        /// Entries of this ledger that it covers.
        size: u64,
    },
    /// This ledger goes on from another whose end was lost, by officers' order.
    Restored {
        /// How many times that happened, this one included.
        count: u32,
        /// The ledger it goes on from, its entries and root as found.
        from: (LedgerId, u64, Hash),
        /// Highest head the officers knew of it.
        lost: (u64, Hash),
    },
    /// Digest of the custodians and their threshold: they stay, since those of
    /// before would keep what those of now are asked to delete.
    Custodians([u8; 32]),
}

/// The fold of the appliance's ledger.
#[derive(Clone, Default)]
pub struct ApplianceState {
    /// Digest of the genesis the ledger opened under, and the CA.
    pub opened: Option<([u8; 32], CaSecret)>,
    /// Every term.
    pub terms: Vec<Arc<TermRecord>>,
    /// Last recorded head of each tenant's ledger.
    pub heads: HashMap<LedgerId, (u64, Hash)>,
    /// Last deletion by custodians: first epoch not deleted, their statements.
    pub retired: Option<(u32, Vec<Vec<u8>>)>,
    /// The last restore, as recorded.
    pub restored: Option<ApplianceEvent>,
    /// Digest of the custodians and their threshold.
    pub custodians: Option<[u8; 32]>,
}

impl ApplianceState {
    /// Folds one event.
    pub fn apply(&mut self, event: &ApplianceEvent) {
        match event {
            ApplianceEvent::Opened { genesis, ca } => self.opened = Some((*genesis, ca.clone())),
            ApplianceEvent::TermBegan(term) => self.terms.push(Arc::new(term.clone())),
            ApplianceEvent::Heads(heads) => {
                for (ledger, size, root) in heads {
                    self.heads.insert(*ledger, (*size, *root));
                }
            }
            ApplianceEvent::EpochRetired { below, statements } => {
                self.retired = Some((*below, statements.clone()));
            }
            // For auditors: headers tell the epoch, the store names the snapshot.
            ApplianceEvent::EpochBegan { .. } | ApplianceEvent::SnapshotTaken { .. } => {}
            ApplianceEvent::Restored { .. } => self.restored = Some(event.clone()),
            ApplianceEvent::Custodians(digest) => self.custodians = Some(*digest),
        }
    }

    /// Events whose fold is this state.
    pub fn events(&self) -> Vec<ApplianceEvent> {
        let mut events = Vec::new();
        if let Some((genesis, ca)) = &self.opened {
            let (genesis, ca) = (*genesis, ca.clone());
            events.push(ApplianceEvent::Opened { genesis, ca });
        }
        let terms = self.terms.iter().map(|term| TermRecord::clone(term));
        events.extend(terms.map(ApplianceEvent::TermBegan));
        let heads = self.heads.iter();
        events
            .extend(heads.map(|(ledger, (size, root))| {
                ApplianceEvent::Heads(vec![(*ledger, *size, *root)])
            }));
        if let Some((below, statements)) = self.retired.clone() {
            events.push(ApplianceEvent::EpochRetired { below, statements });
        }
        events.extend(self.restored.clone());
        events.extend(self.custodians.map(ApplianceEvent::Custodians));
        events
    }

    /// How often the appliance was restored.
    pub fn restores(&self) -> u32 {
        match &self.restored {
            Some(ApplianceEvent::Restored { count, .. }) => *count,
            _ => 0,
        }
    }

    /// The current term, 0 before the first.
    pub fn term(&self) -> u64 {
        self.terms.last().map_or(0, |term| term.term)
    }

    /// The term whose serve document has this digest.
    pub fn term_of(&self, document: &Digest32) -> Option<&Arc<TermRecord>> {
        self.terms
            .iter()
            .rev()
            .find(|term| term.document_digest() == *document)
    }
}
