//! The appliance's own ledger: its CA, its terms with their evidence, and the
//! heads of every tenant's ledger.
//!
//! Protects against rolling back one tenant alone: each batch records the heads
//! it leads to, and recovery must meet them exactly.

use std::collections::{BTreeMap, HashMap};
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

/// One handover: the last entry of the enclave that gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverRecord {
    /// Names the officers' order, which is spent by this.
    pub order: [u8; 32],
    /// SHA-256 of the order's payload.
    pub order_digest: [u8; 32],
    /// Boot key of the recipient, as the order names it.
    pub recipient: [u8; 32],
    /// SHA-256 of the envelope that carries the secret.
    pub envelope: [u8; 32],
    /// When, Unix milliseconds.
    pub at_ms: u64,
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
    /// How many entries ledgers had at this time: those below are not younger.
    Marked {
        /// When, Unix milliseconds.
        at_ms: u64,
        /// Ledgers and their entries.
        sizes: Vec<(LedgerId, u64)>,
    },
    /// Entries below these indices are older than they are kept; the store may
    /// delete their sealed bodies.
    Dropped {
        /// (ledger, first entry kept).
        below: Vec<(LedgerId, u64)>,
    },
    /// The writing enclave gave its secret away and writes nothing after this.
    HandedOver(HandoverRecord),
    /// Two workers measured one sample differently: neither answer was used, and both
    /// were ended.
    WorkerDisagreed {
        /// When, Unix milliseconds.
        at_ms: u64,
        /// Tier of the one that was asked first.
        tier: String,
    },
}

/// The fold of the appliance's ledger.
#[derive(Clone, Default, PartialEq, Eq)]
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
    /// When each ledger had how many entries, oldest first, as far as entries
    /// are kept.
    pub marks: BTreeMap<LedgerId, Vec<(u64, u64)>>,
    /// First entry of each ledger that is kept, if it is not the first one.
    pub kept_from: BTreeMap<LedgerId, u64>,
    /// Every handover, oldest first: their orders are spent.
    pub handovers: Vec<HandoverRecord>,
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
            ApplianceEvent::EpochBegan { .. }
            | ApplianceEvent::SnapshotTaken { .. }
            | ApplianceEvent::WorkerDisagreed { .. } => {}
            ApplianceEvent::Restored { .. } => self.restored = Some(event.clone()),
            ApplianceEvent::Custodians(digest) => self.custodians = Some(*digest),
            ApplianceEvent::Marked { at_ms, sizes } => {
                for (ledger, size) in sizes {
                    self.marks.entry(*ledger).or_default().push((*at_ms, *size));
                }
            }
            ApplianceEvent::Dropped { below } => {
                for (ledger, first) in below {
                    self.kept_from.insert(*ledger, *first);
                    let mut marks = self.marks.remove(ledger).unwrap_or_default();
                    marks.retain(|(_, size)| size > first);
                    if !marks.is_empty() {
                        self.marks.insert(*ledger, marks);
                    }
                }
            }
            ApplianceEvent::HandedOver(record) => self.handovers.push(record.clone()),
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
        for (ledger, marks) in &self.marks {
            events.extend(marks.iter().map(|(at_ms, size)| ApplianceEvent::Marked {
                at_ms: *at_ms,
                sizes: vec![(*ledger, *size)],
            }));
        }
        if !self.kept_from.is_empty() {
            let below = self
                .kept_from
                .iter()
                .map(|(ledger, first)| (*ledger, *first));
            let below = below.collect();
            events.push(ApplianceEvent::Dropped { below });
        }
        let handovers = self.handovers.iter().cloned();
        events.extend(handovers.map(ApplianceEvent::HandedOver));
        events
    }

    /// Whether an order was obeyed: each is good once.
    pub fn is_spent(&self, order: &[u8; 32]) -> bool {
        self.handovers.iter().any(|record| record.order == *order)
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
