//! TLS as a careful bank configures it: version 1.3 only, the appliance's CA
//! pinned and nothing else trusted, a client certificate where one is asked.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Client certificate chain and key, in PEM.
#[derive(Debug, Clone)]
pub struct ClientPem {
    /// Certificates, leaf first.
    pub cert: Vec<u8>,
    /// PKCS#8 key.
    pub key: Vec<u8>,
}

impl ClientPem {
    /// Reads both files.
    pub fn read(identity: &crate::dev::Identity) -> Result<Self> {
        let read = |path: &std::path::Path| {
            std::fs::read(path).with_context(|| path.display().to_string())
        };
        Ok(Self {
            cert: read(&identity.cert)?,
            key: read(&identity.key)?,
        })
    }
}

/// A configuration that trusts `ca` alone.
pub fn client_config(ca: &[u8], client: Option<&ClientPem>, http2: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.context("the pinned CA is no PEM certificate")?)?;
    }
    ensure!(!roots.is_empty(), "the pinned CA file holds no certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut config = match client {
        Some(pem) => builder.with_client_auth_cert(
            CertificateDer::pem_slice_iter(&pem.cert).collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_slice(&pem.key).context("client key")?,
        )?,
        None => builder.with_no_client_auth(),
    };
    let alpn: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
