//! The bytes of a segment file (`host/SPEC.md`).
//!
//! Protects against taking a torn or damaged batch for a whole one, and against
//! taking damage for a torn tail: only bytes that no whole batch follows may be cut.

use redoubt_shared::ids::LedgerId;
use redoubt_shared::limits::FRAME_MAX;
use redoubt_shared::store::StoredRecord;
use serde::{Deserialize, Serialize};

/// First bytes of every segment.
pub const MAGIC: [u8; 8] = *b"RDBTSEG\0";
/// The only layout written so far.
pub const VERSION: u32 = 1;
/// Size of the segment header, in bytes.
pub const HEADER_LEN: u64 = 32;
/// A segment never grows beyond this, in bytes; the next batch opens a new one.
pub const SEGMENT_MAX: u64 = 64 * 1024 * 1024;
/// Length and CRC before each payload, in bytes.
pub const FRAME_HEAD: usize = 8;
/// Largest payload, in bytes: what one request frame can carry, and the sequence number.
pub const PAYLOAD_MAX: usize = FRAME_MAX + 64;

const SEQUENCE_LEN: usize = 8;
/// How far ahead a sequence number may lie and still count as one of this log.
const SEQUENCE_WINDOW: u64 = 1 << 32;

/// `0000000007.segment`
pub fn file_name(segment: u64) -> String {
    format!("{segment:010}.segment")
}

/// The number in a segment's file name; `None` for every other file.
pub fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// The header of a segment.
pub fn encode_header(segment: u64, first_sequence: u64) -> [u8; HEADER_LEN as usize] {
    let mut out = [0; HEADER_LEN as usize];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_be_bytes());
    out[12..20].copy_from_slice(&segment.to_be_bytes());
    out[20..28].copy_from_slice(&first_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&out[..28]);
    out[28..].copy_from_slice(&crc.to_be_bytes());
    out
}

/// What is wrong with bytes that should be a header or a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end before the header or batch does.
    #[error("the file ends inside it")]
    Short,
    /// A length no batch has.
    #[error("its length field says {0}")]
    Length(u32),
    /// The checksum does not match.
    #[error("its CRC does not match")]
    Crc,
    /// Not a segment of this store.
    #[error("its header does not name this segment: {0}")]
    Header(&'static str),
    /// A whole batch, but not the one that belongs here.
    #[error("it carries sequence number {found}, {expected} belongs here")]
    Sequence {
        /// What it carries.
        found: u64,
        /// What belongs here.
        expected: u64,
    },
    /// The checksum matches but the payload is no list of records.
    #[error("its payload is no list of records")]
    Body,
    /// A record is not the next of its ledger.
    #[error("ledger {ledger}: record {found} stands where {expected} belongs")]
    Record {
        /// The ledger.
        ledger: LedgerId,
        /// The index the record carries.
        found: u64,
        /// The index that belongs here.
        expected: u64,
    },
    /// Bytes of an acknowledged batch are not what was acknowledged.
    #[error("it was acknowledged as durable and is now damaged")]
    Acknowledged,
}

/// Checks a header against the segment's number and the next sequence number.
pub fn check_header(bytes: &[u8], segment: u64, sequence: u64) -> Result<(), Fault> {
    let head = bytes.get(..HEADER_LEN as usize).ok_or(Fault::Short)?;
    if head[..8] != MAGIC {
        return Err(Fault::Header("wrong magic"));
    }
    if head[8..12] != VERSION.to_be_bytes() {
        return Err(Fault::Header("unknown layout version"));
    }
    if head != encode_header(segment, sequence) {
        let crc = crc32c::crc32c(&head[..28]).to_be_bytes();
        let what = if head[28..] == crc {
            "another segment number or first sequence number"
        } else {
            "its CRC does not match"
        };
        return Err(Fault::Header(what));
    }
    Ok(())
}

/// One record, borrowed. Same bytes as [`StoredRecord`] in postcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef<'a> {
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// Its position there.
    pub index: u64,
    /// Opaque sealed bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub bytes: &'a [u8],
}

impl<'a> From<&'a StoredRecord> for RecordRef<'a> {
    fn from(record: &'a StoredRecord) -> Self {
        Self {
            ledger: record.ledger,
            index: record.index,
            bytes: &record.bytes,
        }
    }
}

impl From<RecordRef<'_>> for StoredRecord {
    fn from(record: RecordRef<'_>) -> Self {
        Self {
            ledger: record.ledger,
            index: record.index,
            bytes: record.bytes.to_vec(),
        }
    }
}

/// Encodes one batch as it stands in the file.
pub fn encode_batch(sequence: u64, records: &[RecordRef<'_>]) -> Result<Vec<u8>, postcard::Error> {
    let size: usize = records.iter().map(|record| record.bytes.len() + 40).sum();
    let mut out = Vec::with_capacity(FRAME_HEAD + SEQUENCE_LEN + size);
    out.resize(FRAME_HEAD, 0);
    out.extend_from_slice(&sequence.to_be_bytes());
    let mut out = postcard::to_extend(records, out)?;
    let length = ((out.len() - FRAME_HEAD) as u32).to_be_bytes();
    out[..4].copy_from_slice(&length);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &out[FRAME_HEAD..]);
    out[4..8].copy_from_slice(&crc.to_be_bytes());
    Ok(out)
}

/// A whole batch found in a buffer.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Its sequence number.
    pub sequence: u64,
    /// Bytes from its first to the next batch's first.
    pub size: usize,
    body: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Its records.
    pub fn records(&self) -> Result<Vec<RecordRef<'a>>, Fault> {
        match postcard::take_from_bytes(self.body) {
            Ok((records, [])) => Ok(records),
            _ => Err(Fault::Body),
        }
    }
}

/// The payload length a batch declares, if any batch can have it.
pub fn declared_length(head: &[u8; FRAME_HEAD]) -> Result<usize, Fault> {
    let declared = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if (declared as usize) <= SEQUENCE_LEN || declared as usize > PAYLOAD_MAX {
        return Err(Fault::Length(declared));
    }
    Ok(declared as usize)
}

/// Reads the batch at the start of `bytes`; anything may follow it.
pub fn take_batch(bytes: &[u8]) -> Result<Batch<'_>, Fault> {
    let (head, rest) = bytes
        .split_first_chunk::<FRAME_HEAD>()
        .ok_or(Fault::Short)?;
    let length = declared_length(head)?;
    let payload = rest.get(..length).ok_or(Fault::Short)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..4]), payload);
    if head[4..] != crc.to_be_bytes() {
        return Err(Fault::Crc);
    }
    let (sequence, body) = payload
        .split_first_chunk::<SEQUENCE_LEN>()
        .ok_or(Fault::Short)?;
    Ok(Batch {
        sequence: u64::from_be_bytes(*sequence),
        size: FRAME_HEAD + length,
        body,
    })
}

/// Whether a whole batch numbered `sequence` or later begins anywhere in `bytes`.
/// If so, what stands before it is damage, not a torn tail.
pub fn holds_later_batch(bytes: &[u8], sequence: u64) -> bool {
    let smallest = FRAME_HEAD + SEQUENCE_LEN + 1;
    (0..(bytes.len() + 1).saturating_sub(smallest)).any(|at| {
        let rest = &bytes[at..];
        let mut number = [0; SEQUENCE_LEN];
        number.copy_from_slice(&rest[FRAME_HEAD..FRAME_HEAD + SEQUENCE_LEN]);
        let ahead = u64::from_be_bytes(number).wrapping_sub(sequence);
        ahead < SEQUENCE_WINDOW && take_batch(rest).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> RecordRef<'_> {
        RecordRef {
            ledger: LedgerId::from_bytes([3; 16]),
            index: 300,
            bytes,
        }
    }

    #[test]
    fn the_bytes_of_a_batch_are_fixed() {
        let frame = encode_batch(7, &[record(b"sealed")]).unwrap();
        let mut payload = vec![0, 0, 0, 0, 0, 0, 0, 7, 1];
        payload.extend([3; 16]);
        payload.extend([0xac, 2, 6]);
        payload.extend(b"sealed");
        assert_eq!(&frame[..4], &(payload.len() as u32).to_be_bytes());
        assert_eq!(&frame[8..], &payload[..]);
        assert_eq!(hex::encode(&frame[4..8]), "3a24182e");
    }

    #[test]
    fn borrowed_and_owned_records_have_the_same_bytes() {
        let borrowed = record(b"sealed");
        let owned = StoredRecord::from(borrowed);
        assert_eq!(
            postcard::to_stdvec(&borrowed).unwrap(),
            postcard::to_stdvec(&owned).unwrap()
        );
    }

    #[test]
    fn every_flipped_bit_of_a_batch_is_noticed() {
        let frame = encode_batch(7, &[record(b"sealed")]).unwrap();
        for bit in 0..frame.len() * 8 {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(take_batch(&wrong).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_batch() {
        assert_eq!(take_batch(&[0; 64]).unwrap_err(), Fault::Length(0));
        assert!(!holds_later_batch(&[0; 4096], 0));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let header = encode_header(4, 99);
        check_header(&header, 4, 99).unwrap();
        assert!(check_header(&header, 5, 99).is_err());
        for bit in 0..header.len() * 8 {
            let mut wrong = header;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(check_header(&wrong, 4, 99).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn only_exact_names_are_segments() {
        assert_eq!(number_of("0000000012.segment"), Some(12));
        for other in [
            "12.segment",
            "0000000012.segment.bak",
            "lock",
            "+000000012.segment",
        ] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
