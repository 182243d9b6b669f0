//! The appliance's own ledger: its CA, its terms with their evidence, and the
//! heads of every tenant's ledger.
//!
//! Protects against rolling back one tenant alone: each batch records the heads
//! it leads to, and recovery must meet them exactly.

use std::collections::HashMap;

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
    /// Where the tenants' ledgers this batch touched stand after it.
    Heads(Vec<(LedgerId, u64, Hash)>),
}

/// The fold of the appliance's ledger.
#[derive(Default)]
pub struct ApplianceState {
    /// Digest of the genesis the ledger opened under, and the CA.
    pub opened: Option<([u8; 32], CaSecret)>,
    /// Every term.
    pub terms: Vec<TermRecord>,
    /// Last recorded head of each tenant's ledger.
    pub heads: HashMap<LedgerId, (u64, Hash)>,
}

impl ApplianceState {
    /// Folds one event.
    pub fn apply(&mut self, event: &ApplianceEvent) {
        match event {
            ApplianceEvent::Opened { genesis, ca } => self.opened = Some((*genesis, ca.clone())),
            ApplianceEvent::TermBegan(term) => self.terms.push(term.clone()),
            ApplianceEvent::Heads(heads) => {
                for (ledger, size, root) in heads {
                    self.heads.insert(*ledger, (*size, *root));
                }
            }
        }
    }

    /// The current term, 0 before the first.
    pub fn term(&self) -> u64 {
        self.terms.last().map_or(0, |term| term.term)
    }

    /// The term whose serve document has this digest.
    pub fn term_of(&self, document: &Digest32) -> Option<&TermRecord> {
        self.terms
            .iter()
            .rev()
            .find(|term| term.document_digest() == *document)
    }
}
