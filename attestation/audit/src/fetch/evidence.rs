//! What the appliance serves beside its document, held against the document.

use redoubt_attestation::binding::{Binding, Head};
use redoubt_attestation::encode::{b64u_bytes, sha256};
use redoubt_attestation::genesis::{
    Config, SignedFile, VerifiedConfig, VerifiedGenesis, anchor_der, spki_of,
};
use serde::{Deserialize, Serialize};

use super::FetchError;

/// The answer of `/.well-known/attestation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationReply {
    /// COSE bytes.
    #[serde(with = "b64u_bytes")]
    pub document: Vec<u8>,
    /// JSON bytes whose SHA-384 is the document's `user_data`.
    #[serde(with = "b64u_bytes")]
    pub preimage: Vec<u8>,
    /// Always `session`.
    pub mode: String,
    /// Where the enclave stands.
    pub phase: String,
    /// The genesis manifest.
    pub genesis: SignedFile,
    /// The configuration.
    pub config: SignedFile,
    /// The CA to pin, once the enclave is unsealed.
    pub ca_certificate: Option<String>,
    /// Head of the appliance's ledger.
    pub head: Option<Head>,
}

impl AttestationReply {
    /// Everything served beside the document must be what the document binds:
    /// none of it is believed for its own sake.
    pub(super) fn check_against(
        &self,
        binding: &Binding,
        genesis: &VerifiedGenesis,
    ) -> Result<VerifiedConfig, FetchError> {
        let shown = self
            .genesis
            .digest()
            .map_err(|error| FetchError::Config(error.into()))?;
        if shown != genesis.digest {
            return Err(FetchError::Beside("genesis manifest"));
        }
        let config = Config::verify(&self.config.to_json(), genesis)?;
        if config.digest != binding.config {
            return Err(FetchError::Beside("configuration"));
        }
        if config.policy_digest != binding.policy {
            return Err(FetchError::Beside("policy"));
        }
        if self.head != binding.head {
            return Err(FetchError::Beside("ledger head"));
        }
        let bound = binding.ca_spki_sha256;
        match &self.ca_certificate {
            Some(pem) => {
                let der = anchor_der(pem).map_err(FetchError::ServerCertificate)?;
                let spki = spki_of(&der).map_err(FetchError::ServerCertificate)?;
                if bound != Some(sha256(&[&spki])) {
                    return Err(FetchError::Beside("CA certificate"));
                }
            }
            None if bound.is_some() => return Err(FetchError::Beside("CA certificate")),
            None => {}
        }
        Ok(config)
    }
}
