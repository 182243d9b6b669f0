//! One ledger entry: a clear header whose hash is the leaf, and salted
//! commitments to the events behind it.
//!
//! Protects against two opposite things at once: an event cannot be changed
//! without moving the tree, and a reader of the tree cannot guess an event
//! (each has its own 32-byte salt). Bodies can be re-sealed or dropped without
//! moving the tree, since only commitments enter it.

use redoubt_shared::LedgerId;
use sha2::{Digest, Sha256};

use super::merkle::{self, Tree};

/// A SHA-256 value.
pub type Hash = [u8; 32];
/// What keeps a commitment from being guessed.
pub type Salt = [u8; 32];

/// Bytes of an encoded header.
pub const HEADER_BYTES: usize = 69;
const HEADER_VERSION: u8 = 1;
const EVENT_DOMAIN: &[u8] = b"redoubt/event/v1";

/// What the bytes of an event are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// A change of the enclave's state (postcard); never leaves the enclave in clear.
    State = 0,
    /// A claim to others (JSON text); what receipts disclose.
    Claims = 1,
}

/// `SHA-256(domain || kind || salt || event bytes)`.
pub fn commit(kind: EventKind, salt: &Salt, event: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(EVENT_DOMAIN)
        .chain_update([kind as u8])
        .chain_update(salt)
        .chain_update(event)
        .finalize()
        .into()
}

/// The tree over an entry's commitments, in the order of its events.
pub fn events_tree(commitments: impl IntoIterator<Item = Hash>) -> Tree {
    Tree::from_leaves(commitments.into_iter().map(|c| merkle::leaf_hash(&c)))
}

/// The clear part of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Position, from 0.
    pub index: u64,
    /// Epoch of the sealing root.
    pub epoch: u32,
    /// Term of the writing enclave.
    pub term: u64,
    /// Root over the events' commitments.
    pub events_root: Hash,
}

impl Header {
    /// The 69 bytes that are hashed and stored.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0] = HEADER_VERSION;
        out[1..17].copy_from_slice(self.ledger.as_bytes());
        out[17..25].copy_from_slice(&self.index.to_be_bytes());
        out[25..29].copy_from_slice(&self.epoch.to_be_bytes());
        out[29..37].copy_from_slice(&self.term.to_be_bytes());
        out[37..].copy_from_slice(&self.events_root);
        out
    }

    /// Reads what [`Header::encode`] wrote; `None` for any other length or version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().ok()?;
        if bytes[0] != HEADER_VERSION {
            return None;
        }
        Some(Self {
            ledger: LedgerId::from_bytes(bytes[1..17].try_into().ok()?),
            index: u64::from_be_bytes(bytes[17..25].try_into().ok()?),
            epoch: u32::from_be_bytes(bytes[25..29].try_into().ok()?),
            term: u64::from_be_bytes(bytes[29..37].try_into().ok()?),
            events_root: bytes[37..].try_into().ok()?,
        })
    }

    /// The leaf hash of this entry.
    pub fn leaf(&self) -> Hash {
        merkle::leaf_hash(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_bytes_are_golden() {
        let header = Header {
            ledger: LedgerId::from_bytes([0xab; 16]),
            index: 0x0102030405060708,
            epoch: 9,
            term: 10,
            events_root: [0xcd; 32],
        };
        let expected = format!(
            "01{}0102030405060708{}{}{}",
            "ab".repeat(16),
            "00000009",
            "000000000000000a",
            "cd".repeat(32)
        );
        assert_eq!(hex::encode(header.encode()), expected);
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(&header.encode()[1..]), None);
    }

    #[test]
    fn kind_salt_and_bytes_all_move_the_commitment() {
        let base = commit(EventKind::State, &[1; 32], b"x");
        assert_ne!(base, commit(EventKind::Claims, &[1; 32], b"x"));
        assert_ne!(base, commit(EventKind::State, &[2; 32], b"x"));
        assert_ne!(base, commit(EventKind::State, &[1; 32], b"y"));
    }
}
