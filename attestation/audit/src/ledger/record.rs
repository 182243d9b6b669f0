//! The bytes of batches and records, without keys (`host/SPEC.md`, `enclave/SPEC.md` §3).
//!
//! Protects against one record with two readings: every length and number has
//! one encoding, and nothing may follow the last field.

use redoubt_attestation::ledger::Header;
use redoubt_attestation::ledger::entry::{HEADER_BYTES, Hash};
use redoubt_shared::LedgerId;

/// Version of the stored form.
const RECORD_VERSION: u8 = 2;

/// Takes postcard fields from the front of bytes.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(front)
    }

    /// A varint in its shortest form.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * at);
            if shifted >> (7 * at) != bits {
                return None;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                let shortest = at == 0 || *byte != 0;
                self.0 = &self.0[at + 1..];
                return shortest.then_some(value);
            }
        }
        None
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }
}

/// One record of a batch as the host wraps it.
pub(super) struct Wrapped<'a> {
    pub(super) ledger: LedgerId,
    pub(super) index: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Wrapped<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Option<Self> {
        Some(Self {
            ledger: LedgerId::from_bytes(*fields.array()?),
            index: fields.number()?,
            bytes: fields.bytes()?,
        })
    }
}

/// The clear part of a sealed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) header: Header,
    pub(super) drawn: [u8; 32],
    pub(super) counter: u64,
    pub(super) root_before: Hash,
}

impl Record {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.take(1)? != [RECORD_VERSION] {
            return None;
        }
        let header = fields.bytes().filter(|bytes| bytes.len() == HEADER_BYTES)?;
        let record = Self {
            header: Header::decode(header)?,
            drawn: *fields.array()?,
            counter: fields.number()?,
            root_before: *fields.array()?,
        };
        fields.bytes()?;
        fields.0.is_empty().then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_encoding() {
        let read = |bytes: &[u8]| {
            let mut fields = Fields(bytes);
            let number = fields.number()?;
            fields.0.is_empty().then_some(number)
        };
        assert_eq!(read(&[0]), Some(0));
        assert_eq!(read(&[0xac, 0x02]), Some(300));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&most), Some(u64::MAX));
        for wrong in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xac, 0x82, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0,
            ],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
