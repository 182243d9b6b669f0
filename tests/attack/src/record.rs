//! A stored record taken apart by `enclave/SPEC.md` §3, and one bit of it flipped.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Of the record.
    pub version: u8,
    /// 69 bytes in clear.
    pub header: Vec<u8>,
    /// Drawn at the boot that wrote it.
    pub key_random: [u8; 32],
    /// Nonce counter.
    pub counter: u64,
    /// Root before this entry.
    pub root_before: [u8; 32],
    /// Sealed body and its tag.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// Takes a record apart.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (sealed, rest) =
            postcard::take_from_bytes::<Self>(bytes).context("the record is not as specified")?;
        ensure!(rest.is_empty(), "bytes follow the record");
        ensure!(sealed.header.len() == 69, "the header is not as specified");
        Ok(sealed)
    }

    /// Puts it together again.
    pub fn write(&self) -> Result<Vec<u8>> {
        Ok(postcard::to_stdvec(self)?)
    }
}

/// The first blob of a snapshot: in clear, names its key and its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRoot {
    /// Of the format.
    pub version: u8,
    /// Whose key opens it.
    pub epoch: u32,
    /// Digest of the genesis manifest.
    pub genesis: [u8; 32],
    /// The appliance's ledger.
    pub ledger: [u8; 16],
    /// Drawn for this snapshot.
    pub random: [u8; 32],
    /// Names of the sealed chunks, in order; the nonce is the place in it.
    pub chunks: Vec<[u8; 32]>,
}

impl SnapshotRoot {
    /// Reads a blob that begins a snapshot; `None` for any other blob.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (root, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        let canonical = postcard::to_stdvec(&root).is_ok_and(|again| again == bytes);
        (rest.is_empty() && canonical && root.version == 2).then_some(root)
    }

    /// Puts it together again.
    pub fn write(&self) -> Result<Vec<u8>> {
        Ok(postcard::to_stdvec(self)?)
    }
}

/// Where a bit is flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Version of the record.
    RecordVersion,
    /// Length of the header, as encoded.
    HeaderLength,
    /// Version in the header.
    HeaderVersion,
    /// Ledger id in the header.
    Ledger,
    /// Index in the header.
    Index,
    /// Epoch in the header.
    Epoch,
    /// Term in the header.
    Term,
    /// Root over the entry's events.
    EventsRoot,
    /// What names the key.
    KeyRandom,
    /// What names the nonce.
    Counter,
    /// Root before the entry.
    RootBefore,
    /// Length of the ciphertext, as encoded.
    CiphertextLength,
    /// First byte of the ciphertext.
    CiphertextFirst,
    /// A byte in its middle.
    CiphertextMiddle,
    /// Last byte of its tag.
    CiphertextLast,
    /// A byte behind the record.
    Trailing,
}

/// Every field there is.
pub const FIELDS: [Field; 16] = [
    Field::RecordVersion,
    Field::HeaderLength,
    Field::HeaderVersion,
    Field::Ledger,
    Field::Index,
    Field::Epoch,
    Field::Term,
    Field::EventsRoot,
    Field::KeyRandom,
    Field::Counter,
    Field::RootBefore,
    Field::CiphertextLength,
    Field::CiphertextFirst,
    Field::CiphertextMiddle,
    Field::CiphertextLast,
    Field::Trailing,
];

impl Field {
    /// For names of attacks.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordVersion => "record_version",
            Self::HeaderLength => "header_length",
            Self::HeaderVersion => "header_version",
            Self::Ledger => "ledger_id",
            Self::Index => "index",
            Self::Epoch => "epoch",
            Self::Term => "term",
            Self::EventsRoot => "events_root",
            Self::KeyRandom => "drawn_bytes",
            Self::Counter => "counter",
            Self::RootBefore => "root_before",
            Self::CiphertextLength => "ciphertext_length",
            Self::CiphertextFirst => "ciphertext_first",
            Self::CiphertextMiddle => "ciphertext_middle",
            Self::CiphertextLast => "ciphertext_last",
            Self::Trailing => "trailing_byte",
        }
    }

    /// The record with one bit of this field flipped.
    pub fn flip(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = Sealed::read(bytes)?;
        let body = sealed.ciphertext.len();
        match self {
            Self::RecordVersion => sealed.version ^= 2,
            Self::HeaderVersion => sealed.header[0] ^= 2,
            Self::Ledger => sealed.header[1] ^= 1,
            Self::Index => sealed.header[24] ^= 1,
            Self::Epoch => sealed.header[28] ^= 1,
            Self::Term => sealed.header[36] ^= 1,
            Self::EventsRoot => sealed.header[68] ^= 0x80,
            Self::KeyRandom => sealed.key_random[0] ^= 1,
            Self::Counter => sealed.counter ^= 1,
            Self::RootBefore => sealed.root_before[31] ^= 1,
            Self::CiphertextFirst => sealed.ciphertext[0] ^= 1,
            Self::CiphertextMiddle => sealed.ciphertext[body / 2] ^= 0x10,
            Self::CiphertextLast => sealed.ciphertext[body - 1] ^= 1,
            Self::HeaderLength => return raw(bytes, 1),
            // The length stands before the ciphertext, which ends the record.
            Self::CiphertextLength => return raw(bytes, bytes.len() - body - 1),
            Self::Trailing => return Ok([bytes, &[0]].concat()),
        }
        sealed.write()
    }
}

fn raw(bytes: &[u8], at: usize) -> Result<Vec<u8>> {
    let mut out = bytes.to_vec();
    *out.get_mut(at).context("no such byte")? ^= 1;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_another_change() {
        let sealed = Sealed {
            version: 1,
            header: vec![7; 69],
            key_random: [3; 32],
            counter: 300,
            root_before: [4; 32],
            ciphertext: vec![5; 4112],
        };
        let bytes = sealed.write().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for field in FIELDS {
            let flipped = field.flip(&bytes).unwrap();
            assert_ne!(flipped, bytes, "{field:?}");
            assert!(seen.insert(flipped), "{field:?}");
        }
    }
}
