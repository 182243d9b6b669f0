//! A receipt: one claim, and the path from it to a head an attested boot key signed.
//!
//! Protects a bank against us: years later, offline, it shows that this claim
//! stood in this ledger when this software ran, or the check fails and says where.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::encode::from_hex;
use crate::json;

use super::anchor::Anchor;
use super::checkpoint::{self, Checkpoint, NoteAlgorithms, NoteError, NoteKey};
use super::entry::{self, EventKind, Hash, Header};
use super::merkle;

/// The `type` of the only receipt format so far.
pub const RECEIPT_TYPE: &str = "redoubt/receipt/v1";

/// A receipt as JSON carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The claim, JSON text exactly as committed.
    pub claims: String,
    /// 32 bytes, base64url.
    pub salt: String,
    /// Which event of its entry.
    pub event_index: u64,
    /// Events in that entry, as far as `event_path` needs it: it gives the path
    /// its shape, and nothing signed binds the number itself.
    pub event_count: u64,
    /// Path to the header's events root, hex.
    pub event_path: Vec<String>,
    /// The 69 bytes of the entry's header, hex.
    pub header: String,
    /// Ledger size the leaf path leads to.
    pub tree_size: u64,
    /// Path to the checkpoint's root, hex.
    pub leaf_path: Vec<String>,
    /// Signed note at `tree_size`.
    pub checkpoint: String,
    /// Where the appliance's ledger records that head; in receipts with evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// Documents that carry the boot keys behind checkpoint and claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// One attestation document with the preimage of its `user_data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// COSE bytes, base64url.
    pub document: String,
    /// JSON bytes, base64url.
    pub preimage: String,
}

/// A boot whose evidence was appraised and found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedBoot {
    /// SHA-256 of its serve document.
    pub document: Hash,
    /// The keys its notes verify under.
    pub note_key: NoteKey,
}

/// What a good receipt proves.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedReceipt {
    /// The claim.
    pub claims: serde_json::Value,
    /// The entry that holds it.
    pub header: Header,
    /// The head it is included under.
    pub checkpoint: Checkpoint,
    /// Whether that head carries a valid ML-DSA-65 signature too.
    pub post_quantum: bool,
    /// Which of the given boots signed that head.
    pub signer: usize,
}

/// Why a receipt was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A field is not what the format says.
    #[error("receipt field {0} is malformed")]
    Malformed(&'static str),
    /// The checkpoint does not hold.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
    /// Header or size disagree with the checkpoint.
    #[error("receipt is for another ledger or size than its checkpoint")]
    OtherHead,
    /// The claim is not among the entry's events.
    #[error("the claim is not what its ledger entry committed to")]
    NotInEntry,
    /// The entry is not in the tree.
    #[error("the entry is not in the tree its checkpoint signs")]
    NotInTree,
    /// The claim names an attestation document that no evidence shows.
    #[error("the claim was made under an attestation document that is not among the evidence")]
    UnknownDocument,
}

impl Receipt {
    /// Checks claim → entry → tree → signed head → attested boot.
    ///
    /// `boots` are those whose evidence the caller appraised; the claim's own
    /// document must be among them as well as the checkpoint's signer.
    pub fn verify(
        &self,
        boots: &[TrustedBoot],
        algorithms: NoteAlgorithms,
    ) -> Result<VerifiedReceipt, ReceiptError> {
        if self.kind != RECEIPT_TYPE {
            return Err(ReceiptError::Malformed("type"));
        }
        let header_bytes = from_hex(&self.header).map_err(|_| ReceiptError::Malformed("header"))?;
        let header = Header::decode(&header_bytes).ok_or(ReceiptError::Malformed("header"))?;
        let keys: Vec<NoteKey> = boots.iter().map(|boot| boot.note_key.clone()).collect();
        let note = checkpoint::open(&self.checkpoint, &keys, algorithms)?;
        if note.checkpoint.ledger != header.ledger || note.checkpoint.size != self.tree_size {
            return Err(ReceiptError::OtherHead);
        }
        self.check_event(&header)?;
        let path = hashes(&self.leaf_path).ok_or(ReceiptError::Malformed("leaf_path"))?;
        let root = note.checkpoint.root;
        if !merkle::verify_inclusion(&header.leaf(), header.index, self.tree_size, &path, &root) {
            return Err(ReceiptError::NotInTree);
        }
        let claims = json::parse(&self.claims).map_err(|_| ReceiptError::Malformed("claims"))?;
        let named = claims["document"].as_str().unwrap_or_default();
        if !boots.iter().any(|boot| hex::encode(boot.document) == named) {
            return Err(ReceiptError::UnknownDocument);
        }
        Ok(VerifiedReceipt {
            claims,
            header,
            checkpoint: note.checkpoint,
            post_quantum: note.post_quantum,
            signer: note.signer,
        })
    }

    fn check_event(&self, header: &Header) -> Result<(), ReceiptError> {
        let salt: Hash = URL_SAFE_NO_PAD
            .decode(&self.salt)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(ReceiptError::Malformed("salt"))?;
        let commitment = entry::commit(EventKind::Claims, &salt, self.claims.as_bytes());
        let leaf = merkle::leaf_hash(&commitment);
        let path = hashes(&self.event_path).ok_or(ReceiptError::Malformed("event_path"))?;
        merkle::verify_inclusion(
            &leaf,
            self.event_index,
            self.event_count,
            &path,
            &header.events_root,
        )
        .then_some(())
        .ok_or(ReceiptError::NotInEntry)
    }
}

pub(super) fn hashes(path: &[String]) -> Option<Vec<Hash>> {
    path.iter()
        .map(|text| from_hex(text).ok()?.try_into().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::merkle::Tree;
    use ed25519_dalek::{Signer, SigningKey, Verifier};
    use redoubt_shared::LedgerId;

    fn ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let key = ed25519_dalek::VerifyingKey::from_bytes(public.try_into().unwrap()).unwrap();
        signature
            .try_into()
            .is_ok_and(|s| key.verify(message, &s).is_ok())
    }
    const ALGORITHMS: NoteAlgorithms = NoteAlgorithms {
        ed25519,
        mldsa65: |_, _, _| false,
    };

    fn sample() -> (Receipt, TrustedBoot) {
        let signer = SigningKey::from_bytes(&[5; 32]);
        let public = signer.verifying_key().to_bytes();
        let claims = format!(
            r#"{{"type":"verification","document":"{}"}}"#,
            "aa".repeat(32)
        );
        let commitments: Vec<Hash> = (0..5)
            .map(|i| {
                if i == 3 {
                    entry::commit(EventKind::Claims, &[9; 32], claims.as_bytes())
                } else {
                    [i; 32]
                }
            })
            .collect();
        let events = entry::events_tree(commitments);
        let ledger = LedgerId::from_bytes([1; 16]);
        let header = |index, events_root| Header {
            ledger,
            index,
            epoch: 0,
            term: 1,
            events_root,
        };
        let tree = Tree::from_leaves(
            (0..7).map(|i| header(i, if i == 4 { events.root() } else { [i as u8; 32] }).leaf()),
        );
        let checkpoint = Checkpoint {
            ledger,
            size: 7,
            root: tree.root(),
        };
        let signature = signer.sign(checkpoint.body().as_bytes()).to_bytes();
        let hex_all = |path: Vec<Hash>| path.iter().map(hex::encode).collect();
        let receipt = Receipt {
            kind: RECEIPT_TYPE.into(),
            claims,
            salt: URL_SAFE_NO_PAD.encode([9; 32]),
            event_index: 3,
            event_count: 5,
            event_path: hex_all(events.inclusion(3, 5).unwrap()),
            header: hex::encode(header(4, events.root()).encode()),
            tree_size: 7,
            leaf_path: hex_all(tree.inclusion(4, 7).unwrap()),
            checkpoint: checkpoint.note(&[checkpoint.ed25519_line(&public, &signature)]),
            anchor: None,
            evidence: vec![],
        };
        let boot = TrustedBoot {
            document: [0xaa; 32],
            note_key: NoteKey {
                ed25519: public,
                mldsa65: vec![],
            },
        };
        (receipt, boot)
    }

    #[test]
    fn a_good_receipt_verifies() {
        let (receipt, boot) = sample();
        let verified = receipt.verify(&[boot], ALGORITHMS).unwrap();
        assert_eq!(verified.claims["type"], "verification");
        assert_eq!(verified.header.index, 4);
        assert!(!verified.post_quantum);
    }

    #[test]
    fn every_altered_field_is_refused_for_its_own_reason() {
        let (good, boot) = sample();
        let refuse = |change: fn(&mut Receipt)| {
            let mut bent = good.clone();
            change(&mut bent);
            bent.verify(std::slice::from_ref(&boot), ALGORITHMS)
                .unwrap_err()
        };
        assert_eq!(
            refuse(|r| r.claims = r.claims.replace("verification", "verificatiom")),
            ReceiptError::NotInEntry
        );
        assert_eq!(
            refuse(|r| r.salt = URL_SAFE_NO_PAD.encode([8; 32])),
            ReceiptError::NotInEntry
        );
        assert_eq!(refuse(|r| r.event_index = 2), ReceiptError::NotInEntry);
        assert_eq!(refuse(|r| r.event_count = 9), ReceiptError::NotInEntry);
        assert_eq!(
            refuse(|r| r.event_path[0] = "00".repeat(32)),
            ReceiptError::NotInEntry
        );
        assert_eq!(refuse(|r| r.tree_size = 8), ReceiptError::OtherHead);
        assert_eq!(
            refuse(|r| r.leaf_path[0] = "00".repeat(32)),
            ReceiptError::NotInTree
        );
        assert_eq!(
            refuse(|r| r.header.replace_range(2..4, "ff")),
            ReceiptError::OtherHead
        );
        assert_eq!(
            refuse(|r| r.header.replace_range(34..50, "0000000000000005")),
            ReceiptError::NotInTree
        );
        assert_eq!(
            refuse(|r| r.kind = "redoubt/receipt/v2".into()),
            ReceiptError::Malformed("type")
        );
        assert_eq!(
            refuse(|r| r.checkpoint = r.checkpoint.replacen("\n7\n", "\n8\n", 1)),
            ReceiptError::Checkpoint(NoteError::WrongSignature("Ed25519"))
        );
        assert_eq!(
            good.verify(&[], ALGORITHMS).unwrap_err(),
            ReceiptError::Checkpoint(NoteError::Unsigned)
        );
        let other = TrustedBoot {
            document: [0xbb; 32],
            ..boot
        };
        assert_eq!(
            good.verify(&[other], ALGORITHMS).unwrap_err(),
            ReceiptError::UnknownDocument
        );
    }
}
