//! One entry as the host stores it: clear header, sealing header, ciphertext.
//! Signed heads are not stored: the host sees none before its entry is durable.

use redoubt_attestation::encode::sha256;
use redoubt_attestation::ledger::entry::{HEADER_BYTES, Hash, Header};
use redoubt_attestation::ledger::merkle::empty_root;
use redoubt_shared::frame::decode_canonical;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::keys::{Keyring, ObjectKey, SealError};

/// 1 was never released.
const RECORD_VERSION: u8 = 2;
const SEAL_DOMAIN: &[u8] = b"redoubt/entry-seal/v1";
pub(super) const ENTRY_LABEL: &str = "redoubt/entry/v1";

/// A stored entry does not hold.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the encoding of a record.
    #[error("the record is malformed")]
    Malformed,
    /// Sealed in an epoch whose key is neither at hand nor in the snapshot.
    #[error("the record belongs to epoch {found}; this root opens epoch {expected}")]
    Epoch {
        /// In the record.
        found: u32,
        /// At hand.
        expected: u32,
    },
    /// Stands at another place than it was sealed for.
    #[error("the record was sealed for another place in the ledger")]
    Misplaced,
    /// Altered, or sealed by someone else.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The events are not those the header commits to.
    #[error("the sealed events are not those the header commits to")]
    OtherEvents,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
pub struct SealedRecord {
    version: u8,
    #[serde(with = "serde_bytes")]
    header: Vec<u8>,
    /// 32 bytes of the writing boot: names the key.
    key_random: [u8; 32],
    /// Nonce counter under that key.
    counter: u64,
    /// Root before this entry; the size before it is the header's index.
    root_before: Hash,
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

/// What the additional data of a sealed body says: the exact place of the entry.
fn aad(header: &[u8], key_random: &[u8; 32], root_before: &Hash) -> Vec<u8> {
    [SEAL_DOMAIN, key_random, header, root_before].concat()
}

/// Seals a padded body for its place.
pub(super) fn seal(
    key: &ObjectKey,
    key_random: &[u8; 32],
    counter: u64,
    header: &Header,
    root_before: &Hash,
    padded: Vec<u8>,
) -> Result<Vec<u8>, RecordError> {
    let header = header.encode().to_vec();
    let mut ciphertext = padded;
    key.seal(
        counter,
        &aad(&header, key_random, root_before),
        &mut ciphertext,
    )?;
    let record = SealedRecord {
        version: RECORD_VERSION,
        header,
        key_random: *key_random,
        counter,
        root_before: *root_before,
        ciphertext,
    };
    postcard::to_stdvec(&record).map_err(|_| RecordError::Malformed)
}

/// The only record of a ledger that carries `bytes`, which are sealed by other
/// means; the header's root is their SHA-256.
pub(super) fn carry(
    header: &Header,
    random: [u8; 32],
    bytes: Vec<u8>,
) -> Result<Vec<u8>, RecordError> {
    let record = SealedRecord {
        version: RECORD_VERSION,
        header: header.encode().to_vec(),
        key_random: random,
        counter: 0,
        root_before: empty_root(),
        ciphertext: bytes,
    };
    postcard::to_stdvec(&record).map_err(|_| RecordError::Malformed)
}

impl SealedRecord {
    /// What a record of a carrying ledger carries, if it is whole.
    pub(super) fn carried(self) -> Option<Vec<u8>> {
        let whole = self.header().ok()?.events_root == sha256(&[&self.ciphertext]).0;
        whole.then_some(self.ciphertext)
    }

    /// Reads the stored form, refusing trailing bytes and other encodings.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = decode_canonical(bytes).map_err(|_| RecordError::Malformed)?;
        if record.version != RECORD_VERSION || record.header.len() != HEADER_BYTES {
            return Err(RecordError::Malformed);
        }
        Ok(record)
    }

    /// The clear header.
    pub fn header(&self) -> Result<Header, RecordError> {
        Header::decode(&self.header).ok_or(RecordError::Malformed)
    }

    /// What names this record's key and nonce: no two records may share it.
    pub fn nonce_id(&self) -> ([u8; 32], u64) {
        (self.key_random, self.counter)
    }

    /// Opens the body; `root_before` is the reader's own, not the record's.
    pub fn open(
        &self,
        keys: &Keyring,
        root_before: &Hash,
    ) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let header = self.header()?;
        let entries = keys.entries(header.epoch).ok_or(RecordError::Epoch {
            found: header.epoch,
            expected: keys.current().epoch(),
        })?;
        if self.root_before != *root_before {
            return Err(RecordError::Misplaced);
        }
        let key = entries.object(ENTRY_LABEL, header.ledger.as_bytes(), &self.key_random)?;
        let aad = aad(&self.header, &self.key_random, root_before);
        Ok(key.open(self.counter, &aad, self.ciphertext.clone())?)
    }
}
