//! Nitro attestation documents: what they say ([`Document`]) and whether AWS, or
//! an emulated root, said it ([`verify`]). Documents that nobody signed are taken
//! only where [`VendorRoot::unsigned`] names them.
//!
//! Protects against documents that are malformed, unsigned, expired, signed by
//! somebody else, or changed in any byte. A document's bytes are no identity:
//! every signature has a second valid form, so nothing may be keyed by them.

mod parse;
mod unsigned;
mod verify;

use std::collections::BTreeMap;

pub use crate::chain::ChainError;
pub use parse::{DocumentError, timestamp_of};
pub use unsigned::says_unsigned;
pub use verify::{
    AWS_NITRO_ROOT_G1, Refusal, RootError, Time, VendorRoot, VerifiedDocument, verify, verify_twice,
};

/// Most bytes of `user_data`, `nonce`, `public_key` each, and of a certificate.
pub const FIELD_MAX: usize = 1024;
/// Most bytes of a whole document that are looked at.
pub const DOCUMENT_MAX: usize = 64 * 1024;

/// Platform configuration registers: index to value (32, 48 or 64 bytes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pcrs(pub BTreeMap<u8, Vec<u8>>);

impl Pcrs {
    /// The value of one register.
    pub fn get(&self, index: u8) -> Option<&[u8]> {
        self.0.get(&index).map(Vec::as_slice)
    }

    /// Debug mode: PCR 0 to 2 are all zero, and the host can read the enclave's
    /// memory. Registers that are missing count as zero.
    pub fn is_debug(&self) -> bool {
        (0..3).all(|index| {
            self.get(index)
                .is_none_or(|pcr| pcr.iter().all(|b| *b == 0))
        })
    }

    /// Index to hexadecimal value, as manifests write them.
    pub fn to_hex(&self) -> BTreeMap<u8, String> {
        let pairs = self.0.iter();
        pairs
            .map(|(index, value)| (*index, hex::encode(value)))
            .collect()
    }
}

/// What a document says, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Which security module made it.
    pub module_id: String,
    /// When, by that module's clock, Unix milliseconds.
    pub timestamp_ms: u64,
    /// Measurements.
    pub pcrs: Pcrs,
    /// Certificate of the signing key, DER.
    pub certificate: Vec<u8>,
    /// Issuing certificates, root first, DER.
    pub cabundle: Vec<Vec<u8>>,
    /// Key of the document's purpose.
    pub public_key: Option<Vec<u8>>,
    /// Digest of the preimage.
    pub user_data: Option<Vec<u8>>,
    /// Hashed nonce.
    pub nonce: Option<Vec<u8>>,
}

#[cfg(test)]
pub(crate) mod tests;
