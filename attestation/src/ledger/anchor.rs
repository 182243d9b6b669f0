//! The anchor of a receipt: the appliance's ledger recorded exactly the head
//! that the receipt's checkpoint shows, and witnesses cosigned a head including that.
//!
//! Protects a bank against a rollback or a fork that its own receipt would not
//! show: a tenant's head counts once it stands in the one ledger that witnesses
//! follow, and they follow one history only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Checkpoint, NoteAlgorithms, NoteError, NoteKey};
use super::cosignature::cosigned_by;
use super::entry::{self, EventKind, Hash, Header};
use super::merkle;
use super::receipt::hashes;
use crate::encode::from_hex;
use crate::genesis::PeerEntry;

/// Position of `Heads` among the events of the appliance's ledger.
const HEADS: u8 = 2;

/// An anchor as JSON carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The recording event, postcard, base64url.
    pub event: String,
    /// 32 bytes, base64url.
    pub salt: String,
    /// Which event of its entry.
    pub event_index: u64,
    /// Events in that entry, as far as `event_path` needs it: it gives the path
    /// its shape, and nothing signed binds the number itself.
    pub event_count: u64,
    /// Path to the header's events root, hex.
    pub event_path: Vec<String>,
    /// The 69 bytes of the recording entry's header, hex.
    pub header: String,
    /// Size of the appliance's ledger the leaf path leads to.
    pub tree_size: u64,
    /// Path to the checkpoint's root, hex.
    pub leaf_path: Vec<String>,
    /// Signed note of the appliance's ledger at `tree_size`, with cosignatures.
    pub checkpoint: String,
}

/// What a good anchor proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAnchor {
    /// The appliance's head that includes the recording entry.
    pub checkpoint: Checkpoint,
    /// Which of the given keys signed it.
    pub signer: usize,
    /// Witnesses that cosigned it, with their times in Unix seconds.
    pub cosigned: Vec<(String, u64)>,
}

/// Why an anchor was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// A field is not what the format says.
    #[error("anchor field {0} is malformed")]
    Malformed(&'static str),
    /// The checkpoint, or a cosignature on it, does not hold.
    #[error("anchor: {0}")]
    Checkpoint(#[from] NoteError),
    /// The event records something else.
    #[error("the anchor records another head than the receipt's checkpoint")]
    OtherHead,
    /// Header or size disagree with the anchor's checkpoint.
    #[error("the anchor is for another ledger or size than its checkpoint")]
    OtherCheckpoint,
    /// The event is not in the entry.
    #[error("the anchor's event is not what its ledger entry committed to")]
    NotInEntry,
    /// The entry is not in the tree.
    #[error("the anchor's entry is not in the tree its checkpoint signs")]
    NotInTree,
}

/// The one encoding of the event that records this head and no other: postcard
/// of variant 2, a list of one (ledger, size, root).
pub fn heads_event(head: &Checkpoint) -> Vec<u8> {
    let mut bytes = vec![HEADS, 1];
    bytes.extend_from_slice(head.ledger.as_bytes());
    let mut size = head.size;
    while size >= 0x80 {
        bytes.push(size as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes.extend_from_slice(&head.root);
    bytes
}

impl Anchor {
    /// Checks head → event → entry → appliance's tree → signed and cosigned head.
    ///
    /// `keys` are those of boots whose evidence the caller appraised; whether the
    /// ledger is the appliance's and the cosignatures are enough is the caller's to judge.
    pub fn verify(
        &self,
        head: &Checkpoint,
        keys: &[NoteKey],
        witnesses: &[PeerEntry],
        algorithms: NoteAlgorithms,
    ) -> Result<VerifiedAnchor, AnchorError> {
        let header = from_hex(&self.header).ok();
        let header = header.and_then(|bytes| Header::decode(&bytes));
        let header = header.ok_or(AnchorError::Malformed("header"))?;
        let note = checkpoint::open(&self.checkpoint, keys, algorithms)?;
        if note.checkpoint.ledger != header.ledger || note.checkpoint.size != self.tree_size {
            return Err(AnchorError::OtherCheckpoint);
        }
        self.check_event(head, &header)?;
        let path = hashes(&self.leaf_path).ok_or(AnchorError::Malformed("leaf_path"))?;
        let root = note.checkpoint.root;
        if !merkle::verify_inclusion(&header.leaf(), header.index, self.tree_size, &path, &root) {
            return Err(AnchorError::NotInTree);
        }
        Ok(VerifiedAnchor {
            checkpoint: note.checkpoint,
            signer: note.signer,
            cosigned: cosigned_by(&self.checkpoint, witnesses, algorithms)?,
        })
    }

    fn check_event(&self, head: &Checkpoint, header: &Header) -> Result<(), AnchorError> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let event = decode(&self.event).ok_or(AnchorError::Malformed("event"))?;
        let salt: Hash = decode(&self.salt)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(AnchorError::Malformed("salt"))?;
        // Every value has one encoding, so equal bytes are an equal value.
        if event != heads_event(head) {
            return Err(AnchorError::OtherHead);
        }
        let leaf = merkle::leaf_hash(&entry::commit(EventKind::State, &salt, &event));
        let path = hashes(&self.event_path).ok_or(AnchorError::Malformed("event_path"))?;
        let (index, count) = (self.event_index, self.event_count);
        merkle::verify_inclusion(&leaf, index, count, &path, &header.events_root)
            .then_some(())
            .ok_or(AnchorError::NotInEntry)
    }
}

#[cfg(test)]
mod tests {
    use redoubt_shared::LedgerId;

    use super::*;

    #[test]
    fn the_event_is_golden() {
        let head = Checkpoint {
            ledger: LedgerId::from_bytes([0xab; 16]),
            size: 300,
            root: [0xcd; 32],
        };
        let expected = format!("0201{}ac02{}", "ab".repeat(16), "cd".repeat(32));
        assert_eq!(hex::encode(heads_event(&head)), expected);
        let first = Checkpoint { size: 127, ..head };
        assert_eq!(heads_event(&first)[18], 127);
        let most = Checkpoint {
            size: u64::MAX,
            ..head
        };
        assert_eq!(heads_event(&most).len(), 18 + 10 + 32);
    }
}
