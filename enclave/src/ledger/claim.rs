//! A committed claim and the receipt made from it.

use std::sync::Arc;

use redoubt_attestation::encode::b64u;
use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::{Receipt, receipt::RECEIPT_TYPE};

use super::book::Committed;

/// Where the appliance's ledger records a tenant's head, under a head of its own.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// Size of the appliance's ledger at that head.
    pub tree_size: u64,
    /// Path from the recording entry's leaf to that head's root.
    pub leaf_path: Vec<Hash>,
    /// That head, signed, with witnesses' lines if there are any.
    pub note: String,
}

/// A committed claim and how to prove it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The JSON text.
    pub text: String,
    /// Its salt.
    pub salt: [u8; 32],
    /// Which event of its entry.
    pub event: u32,
    /// Its entry.
    pub entry: Arc<Committed>,
}

impl Claim {
    /// The receipt, without evidence.
    pub fn receipt(&self) -> Receipt {
        let hexes = |path: Vec<Hash>| path.iter().map(hex::encode).collect();
        let count = self.entry.events.size();
        let path = self.entry.events.inclusion(u64::from(self.event), count);
        Receipt {
            kind: RECEIPT_TYPE.to_owned(),
            claims: self.text.clone(),
            salt: b64u(&self.salt),
            event_index: u64::from(self.event),
            event_count: count,
            event_path: hexes(path.unwrap_or_default()),
            header: hex::encode(self.entry.header.encode()),
            tree_size: self.entry.size,
            leaf_path: hexes(self.entry.leaf_path.clone()),
            checkpoint: self.entry.note.clone(),
            anchor: None,
            evidence: Vec::new(),
        }
    }
}
