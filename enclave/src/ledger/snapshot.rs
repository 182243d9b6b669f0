//! Snapshots: the fold of every ledger, sealed and chunked, so that a restart
//! reads the state and not the history.
//!
//! Protects against a snapshot that was altered, cut, mixed with another or
//! moved to another appliance: every chunk is sealed to its index under a key
//! drawn for this snapshot alone, the stream says where it ends, and what it
//! says of each ledger must lead to the entries behind it. An old snapshot with
//! the entries that follow it leads to the same state; fewer entries are a
//! rollback, which heads and witnesses catch as ever.

mod read;
mod write;

use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::merkle::Tree;
use redoubt_shared::frame::decode_canonical;
use redoubt_shared::{LedgerId, TenantId};
use serde::{Deserialize, Serialize};

use super::appliance::ApplianceEvent;
use super::store::StoreError;
use crate::core::Piece;
use crate::keys::SealError;

pub(super) use read::{Loaded, read};
pub(super) use write::{Finished, Frozen, FrozenBook, Out, write};

const SEAL_DOMAIN: &[u8] = b"redoubt/snapshot-seal/v1";
const VERSION: u8 = 2;

/// A snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chunk is not there, or not as it was put.
    #[error("a chunk of the snapshot is missing or altered")]
    Missing,
    /// Not in the format.
    #[error("the snapshot is malformed")]
    Malformed,
    /// Altered, or another appliance's, or under another secret.
    #[error("snapshot: {0}")]
    Seal(#[from] SealError),
    /// It ends early.
    #[error("the snapshot ends early")]
    Cut,
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] redoubt_attestation::entropy::EntropyError),
}

/// The first blob: what names the key, and the chunks in order. In clear.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Root {
    version: u8,
    /// Epoch whose key opens it.
    pub epoch: u32,
    /// Digest of the genesis manifest whose officers open it.
    pub genesis: [u8; 32],
    ledger: LedgerId,
    random: [u8; 32],
    /// The chunks, in order.
    pub chunks: Vec<[u8; 32]>,
}

impl Root {
    /// Reads a first blob.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let root: Self = decode_canonical(bytes).map_err(|_| SnapshotError::Malformed)?;
        match root.version {
            VERSION => Ok(root),
            _ => Err(SnapshotError::Malformed),
        }
    }

    fn aad(&self, index: u64) -> Vec<u8> {
        let place = [&self.epoch.to_be_bytes()[..], &index.to_be_bytes()].concat();
        let fields: [&[u8]; 5] = [
            SEAL_DOMAIN,
            &self.genesis,
            self.ledger.as_bytes(),
            &self.random,
            &place,
        ];
        fields.concat()
    }
}

#[cfg(test)]
impl Root {
    /// What is in each chunk.
    pub(super) fn opened(
        &self,
        epoch: &crate::keys::EpochKey,
        blob: impl Fn(&[u8; 32]) -> Vec<u8>,
    ) -> Vec<Vec<u8>> {
        let key = epoch.snapshot(self.ledger.as_bytes(), &self.random);
        let key = key.unwrap();
        let open = |(index, name)| {
            let opened = key.open(index, &self.aad(index), blob(name));
            opened.unwrap().to_vec()
        };
        (0..).zip(&self.chunks).map(open).collect()
    }
}

/// Where a ledger stands, and where the hashes of its leaves are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Root and blob of each full chunk of leaf hashes.
    pub chunks: Vec<(Hash, [u8; 32])>,
    /// Leaf hashes behind them.
    pub tail: Vec<Hash>,
}

impl Mark {
    /// The tree it stands for, its full chunks away.
    pub(super) fn tree(&self) -> Result<Tree, SnapshotError> {
        let roots = self.chunks.iter().map(|(root, _)| *root).collect();
        Tree::from_chunks(roots, self.tail.clone()).ok_or(SnapshotError::Malformed)
    }

    /// Blobs of its full chunks.
    pub(super) fn names(&self) -> Vec<[u8; 32]> {
        self.chunks.iter().map(|(_, name)| *name).collect()
    }
}

#[derive(Serialize, Deserialize)]
enum Item {
    Entries(u32, [u8; 32]),
    Appliance(ApplianceEvent),
    Book(Mark),
    Tenant(TenantId),
    Piece(Box<Piece>),
    Carried(Hash, Vec<u8>),
    /// Number of items before it.
    End(u64),
}
