//! Receipt ids: the place of a claim, enciphered.
//!
//! Protects against a state that grows with every receipt, and against ids that
//! tell how many there are: whoever holds the tenant's seeds reads the place from
//! the id, to everyone else it is 16 random bytes.

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use redoubt_shared::{LedgerId, ReceiptId};
use zeroize::Zeroizing;

use super::hkdf::{expand, of_tenant};
use super::root::SealError;
use crate::core::TenantKeySeeds;

/// Random bytes of an id: two branches of a history do not use one twice.
pub const RANDOM_BYTES: usize = 7;
/// Entry indices an id has room for (6 bytes).
const ENTRY_END: u64 = 1 << 48;
/// Event indices an id has room for (3 bytes).
const EVENT_END: u32 = 1 << 24;

/// Where to look for a claim: its entry in the tenant's ledger, and the event of
/// that entry from which on it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Entry index.
    pub entry: u64,
    /// Event index within the entry.
    pub event: u32,
}

/// The cipher of one ledger's receipt ids: AES-256 over one block, under
/// HKDF(the tenant's seeds, ledger id). It outlives epochs as the seeds do.
pub struct ReceiptIds {
    encipher: EncryptingKey,
    decipher: DecryptingKey,
}

impl ReceiptIds {
    /// Of a tenant's ledger.
    pub fn new(seeds: &TenantKeySeeds, ledger: LedgerId) -> Result<Self, SealError> {
        let prk = of_tenant(seeds, b"redoubt/receipt-ids/v1");
        let mut key = Zeroizing::new([0u8; 32]);
        expand(&prk, &[ledger.as_bytes()], &mut key[..]).map_err(|_| SealError::Library)?;
        let unbound = || UnboundCipherKey::new(&AES_256, &key[..]);
        let keys = || {
            let encipher = EncryptingKey::ecb(unbound()?)?;
            let decipher = DecryptingKey::ecb(unbound()?)?;
            Ok::<_, aws_lc_rs::error::Unspecified>(Self { encipher, decipher })
        };
        keys().map_err(|_| SealError::Library)
    }

    /// The id for a place: entry (6 bytes, big-endian) ‖ event (3) ‖ random (7), enciphered.
    pub fn id(&self, at: Place, random: [u8; RANDOM_BYTES]) -> Result<ReceiptId, SealError> {
        if at.entry >= ENTRY_END || at.event >= EVENT_END {
            return Err(SealError::Library);
        }
        let mut block = [0; 16];
        block[..6].copy_from_slice(&at.entry.to_be_bytes()[2..]);
        block[6..9].copy_from_slice(&at.event.to_be_bytes()[1..]);
        block[9..].copy_from_slice(&random);
        let done = self.encipher.encrypt(&mut block);
        done.map_err(|_| SealError::Library)?;
        Ok(ReceiptId::from_bytes(block))
    }

    /// The place an id leads to. For an id that is none of this ledger's it is any.
    pub fn place(&self, id: ReceiptId) -> Result<Place, SealError> {
        let mut block = *id.as_bytes();
        let done = self.decipher.decrypt(&mut block, DecryptionContext::None);
        done.map_err(|_| SealError::Library)?;
        let (mut entry, mut event) = ([0; 8], [0; 4]);
        entry[2..].copy_from_slice(&block[..6]);
        event[1..].copy_from_slice(&block[6..9]);
        Ok(Place {
            entry: u64::from_be_bytes(entry),
            event: u32::from_be_bytes(event),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(seed: u8, ledger: u8) -> ReceiptIds {
        let seeds = TenantKeySeeds {
            es256: [seed; 32],
            mldsa65: [2; 32],
        };
        ReceiptIds::new(&seeds, LedgerId::from_bytes([ledger; 16])).unwrap()
    }

    #[test]
    fn an_id_leads_to_its_place_in_its_own_ledger_only() {
        let own = ids(1, 1);
        for (entry, event) in [(0, 0), (1, 2), (ENTRY_END - 1, EVENT_END - 1)] {
            let at = Place { entry, event };
            let id = own.id(at, [9; 7]).unwrap();
            assert_eq!(own.place(id).unwrap(), at);
            assert_ne!(own.id(at, [8; 7]).unwrap(), id);
            for other in [ids(2, 1), ids(1, 2)] {
                assert_ne!(other.place(id).unwrap(), at);
            }
        }
        for (entry, event) in [(ENTRY_END, 0), (0, EVENT_END)] {
            assert!(own.id(Place { entry, event }, [0; 7]).is_err());
        }
    }
}
