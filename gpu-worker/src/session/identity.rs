//! What this worker is: its key of this start, and evidence for it.

use std::sync::Arc;

use redoubt_attestation::attester::{AttestRequest, Attester, AttesterError};
use redoubt_attestation::binding::{EXPORTER_BYTES, NonceInput, WorkerBinding, user_data};
use redoubt_shared::worker::WorkerResponse;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;

/// Why there is no identity or no evidence for it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Key or certificate.
    #[error("making the TLS certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS configuration.
    #[error("configuring TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The attester.
    #[error(transparent)]
    Attester(#[from] AttesterError),
}

/// A TLS key of this start and the attester that vouches for it.
pub struct Identity {
    tls: Arc<ServerConfig>,
    binding: WorkerBinding,
    attester: Box<dyn Attester>,
}

impl Identity {
    /// Makes a P-256 key and a self-signed certificate; `bind` gets the key's
    /// SubjectPublicKeyInfo and says what else evidence is to name.
    pub fn generate(
        attester: Box<dyn Attester>,
        bind: impl FnOnce(Vec<u8>) -> WorkerBinding,
    ) -> Result<Self, IdentityError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let parameters = rcgen::CertificateParams::new(vec!["redoubt-worker".to_owned()])?;
        let certificate = parameters.self_signed(&key)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        tls.max_early_data_size = 0;
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        Ok(Self {
            tls: Arc::new(tls),
            binding: bind(spki),
            attester,
        })
    }

    /// TLS as this key's owner.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls)
    }

    /// Evidence for the asking session alone.
    pub fn evidence(
        &self,
        nonce: &[u8; 32],
        exporter: &[u8; EXPORTER_BYTES],
    ) -> Result<WorkerResponse, IdentityError> {
        let preimage = self.binding.to_preimage();
        let nonce = NonceInput::Session {
            client_nonce: nonce,
            exporter,
        };
        let document = self.attester.attest(&AttestRequest {
            public_key: Some(self.binding.tls_spki.clone()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        })?;
        Ok(WorkerResponse::Evidence { document, preimage })
    }
}
