//! The keys made at this boot and attested by its documents.

use redoubt_attestation::binding::BootKeys;
use redoubt_attestation::entropy::Entropy;
use redoubt_attestation::shares::UnsealKey;
use redoubt_attestation::sign::{Ed25519Signer, HybridSigner, SignerError};

use super::tls::{CertificateError, TlsKey};

/// A boot key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootKeyError {
    /// A signing key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The TLS key.
    #[error(transparent)]
    Tls(#[from] CertificateError),
    /// The key for officers' shares.
    #[error("the unseal key could not be made: {0}")]
    Unseal(String),
}

/// Private halves of what every document of this boot names.
pub struct BootKeySet {
    /// Speaks TLS.
    pub tls: TlsKey,
    /// Countersigns artefacts and gives notes their ML-DSA-65 line.
    pub receipt: HybridSigner,
    /// Signs checkpoints.
    pub checkpoint: std::sync::Arc<Ed25519Signer>,
    /// Receives officers' shares.
    pub unseal: UnsealKey,
}

impl BootKeySet {
    /// Makes all of them.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, BootKeyError> {
        Ok(Self {
            tls: TlsKey::generate(entropy)?,
            receipt: HybridSigner::generate(entropy)?,
            checkpoint: Ed25519Signer::generate(entropy)?.into(),
            unseal: UnsealKey::generate(entropy)
                .map_err(|e| BootKeyError::Unseal(e.to_string()))?,
        })
    }

    /// The public halves, as documents bind them.
    pub fn public(&self) -> BootKeys {
        let (es256, mldsa65) = self.receipt.jwks();
        BootKeys {
            tls_spki: self.tls.spki(),
            receipt_es256: es256.clone(),
            receipt_mldsa65: mldsa65.clone(),
            checkpoint_ed25519: self.checkpoint.jwk().clone(),
            unseal_xwing: self.unseal.public().to_vec(),
        }
    }
}
