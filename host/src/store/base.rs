//! Where the kept part of the log begins.
//!
//! Protects against taking a dropped part for a lost one, and the other way
//! round: the file is durable before the first segment goes, so whatever is
//! missing behind it is damage, and whatever is left before it is a leftover.

use std::collections::BTreeMap;

use redoubt_shared::ids::LedgerId;

use super::disk::{Disk, read_whole, replace};
use super::index::Position;
use super::scan::OpenError;

/// The file's name.
pub const FILE: &str = "base";

const MAGIC: [u8; 8] = *b"RDBTBAS\0";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 40;
const ENTRY_LEN: usize = 24;
const CRC_LEN: usize = 4;
/// Most bytes the file has: some 40,000 ledgers.
const FILE_MAX: usize = 1024 * 1024;

/// The state of the log just before one of its segments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// That segment.
    pub segment: u64,
    /// Sequence number of its first batch.
    pub sequence: u64,
    /// Where the segment before it ended.
    pub end: u64,
    /// Records of each ledger before it.
    pub heads: BTreeMap<LedgerId, u64>,
}

impl Base {
    /// The first index of a ledger that stands in this segment or later.
    pub fn first(&self, ledger: LedgerId) -> u64 {
        self.heads.get(&ledger).copied().unwrap_or(0)
    }

    /// What is reached when nothing but this is known.
    pub(super) fn position(&self) -> Position {
        Position {
            sequence: self.sequence,
            segment: self.segment.saturating_sub(1),
            end: self.end,
        }
    }

    /// Whether every record between the two stands below the given indices.
    pub(super) fn is_below(&self, next: &Base, below: &BTreeMap<LedgerId, u64>) -> bool {
        next.heads.iter().all(|(ledger, head)| {
            let untouched = self.first(*ledger) == *head;
            untouched || below.get(ledger).is_some_and(|first| head <= first)
        })
    }

    pub(super) fn load(disk: &dyn Disk) -> Result<Self, OpenError> {
        match read_whole(disk, FILE, FILE_MAX) {
            Ok(None) => Ok(Self::default()),
            Ok(Some(bytes)) => decode(&bytes).ok_or(OpenError::DamagedBase),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(OpenError::DamagedBase)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn save(&self, disk: &dyn Disk) -> std::io::Result<()> {
        replace(disk, FILE, &encode(self))
    }
}

fn encode(base: &Base) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_be_bytes());
    for number in [base.segment, base.sequence, base.end] {
        out.extend(number.to_be_bytes());
    }
    out.extend((base.heads.len() as u32).to_be_bytes());
    for (ledger, head) in &base.heads {
        out.extend(ledger.as_bytes());
        out.extend(head.to_be_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend(crc.to_be_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Base> {
    let number = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes))
    };
    let entries = bytes.get(HEAD_LEN..bytes.len().checked_sub(CRC_LEN)?)?;
    let (entries, []) = entries.as_chunks::<ENTRY_LEN>() else {
        return None;
    };
    let heads = entries.iter().map(|entry| {
        let (ledger, head) = entry.split_first_chunk::<16>()?;
        let head = u64::from_be_bytes(head.try_into().ok()?);
        Some((LedgerId::from_bytes(*ledger), head))
    });
    let base = Base {
        segment: number(12)?,
        sequence: number(20)?,
        end: number(28)?,
        heads: heads.collect::<Option<_>>()?,
    };
    // One way to write each base: what differs from it anywhere is damage.
    (encode(&base) == bytes).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base {
            segment: 3,
            sequence: 70,
            end: 5000,
            heads: [1, 2]
                .map(|n| (LedgerId::from_bytes([n; 16]), 10 * u64::from(n)))
                .into(),
        }
    }

    #[test]
    fn the_bytes_of_a_base_are_fixed() {
        let bytes = encode(&base());
        let head = "5244425442415300 00000001 0000000000000003 0000000000000046 \
                    0000000000001388 00000002";
        let head: String = head.split_whitespace().collect();
        assert_eq!(hex::encode(&bytes[..HEAD_LEN]), head);
        assert_eq!(bytes.len(), HEAD_LEN + 2 * ENTRY_LEN + CRC_LEN);
        assert_eq!(decode(&bytes), Some(base()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_base_is_noticed() {
        let bytes = encode(&base());
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&wrong), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "{len}");
        }
    }
}
