//! Who signs documents about this machine: the Nitro security module, or, in
//! development, a key in a file. Chosen in `main`, never by a feature.
//!
//! Protects against a silent fall-back: an attester that cannot attest returns
//! an error, and each one says which environment it is.

mod certificates;
mod emulated;
mod nsm;

pub use certificates::{CertificateError, emulated_root};
pub use emulated::{EmulatedAttester, measure};
pub use nsm::NsmAttester;

use crate::document::{self, Pcrs};
use crate::entropy::{Entropy, EntropyError};
use crate::genesis::Environment;

/// What a document is to carry. `None` leaves the field null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttestRequest {
    /// The purpose's key.
    pub public_key: Option<Vec<u8>>,
    /// SHA-384 of the preimage.
    pub user_data: Option<Vec<u8>>,
    /// Hashed nonce.
    pub nonce: Option<Vec<u8>>,
}

/// Why no document, entropy or time could be had.
#[derive(Debug, thiserror::Error)]
pub enum AttesterError {
    /// There is no security module here.
    #[error("{path} cannot be opened: this is no Nitro enclave, and there is no fall-back")]
    NoDevice {
        /// The device.
        path: &'static str,
    },
    /// The security module refused.
    #[error("the Nitro security module refused {request}: {code}")]
    Device {
        /// What was asked.
        request: &'static str,
        /// Its error code.
        code: String,
    },
    /// A field is longer than documents carry.
    #[error("{field}: {actual} bytes; documents carry at most {limit}")]
    FieldTooLong {
        /// Which field.
        field: &'static str,
        /// Its length.
        actual: usize,
        /// The most.
        limit: usize,
    },
    /// The emulated attester's own certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The document the attester made cannot be read.
    #[error("the attester's own document cannot be read: {0}")]
    OwnDocument(#[from] document::DocumentError),
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The machine's clock is before 1970 or the offset leaves its range.
    #[error("the emulated clock shows no valid time; set the machine's clock or another offset")]
    Clock,
}

/// A source of documents, entropy and signed time.
pub trait Attester: Entropy + Send + Sync {
    /// Hardware or emulated.
    fn environment(&self) -> Environment;

    /// A fresh document.
    fn attest(&self, request: &AttestRequest) -> Result<Vec<u8>, AttesterError>;

    /// This machine's measurements.
    fn pcrs(&self) -> Result<Pcrs, AttesterError>;

    /// Fills `out` with entropy.
    fn random(&self, out: &mut [u8]) -> Result<(), AttesterError> {
        Ok(self.fill(out)?)
    }

    /// The attester's time, Unix milliseconds: read from a fresh document, never
    /// from the host's clock.
    fn now_ms(&self) -> Result<u64, AttesterError> {
        let document = self.attest(&AttestRequest::default())?;
        Ok(document::timestamp_of(&document)?)
    }
}

pub(crate) fn check_lengths(request: &AttestRequest) -> Result<(), AttesterError> {
    let AttestRequest {
        public_key,
        user_data,
        nonce,
    } = request;
    let fields = [
        ("public_key", public_key),
        ("user_data", user_data),
        ("nonce", nonce),
    ];
    for (field, value) in fields {
        let actual = value.as_ref().map_or(0, Vec::len);
        if actual > document::FIELD_MAX {
            return Err(AttesterError::FieldTooLong {
                field,
                actual,
                limit: document::FIELD_MAX,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
