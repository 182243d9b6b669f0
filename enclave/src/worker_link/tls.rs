//! TLS towards a worker: whoever answers is accepted for now, and only for as
//! long as it takes to see its evidence.
//!
//! Protects against a session that ends somewhere else than at the attested
//! key: the peer must prove possession of its certificate's key (the handshake
//! signature is checked), that key must be the one in the evidence, and the
//! evidence must be made for this session's exporter.

use std::sync::Arc;

use redoubt_attestation::binding::{EXPORTER_BYTES, EXPORTER_LABEL};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Accepts any one certificate; never its owner without proof of its key.
#[derive(Debug)]
struct Provisional(Arc<CryptoProvider>);

impl ServerCertVerifier for Provisional {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("workers speak TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A session with a peer that has proven nothing but its key.
pub(super) struct Unproven<S> {
    /// The session.
    pub(super) stream: TlsStream<S>,
    /// The peer's SubjectPublicKeyInfo.
    pub(super) spki: Vec<u8>,
    /// Exporter of the session.
    pub(super) exporter: [u8; EXPORTER_BYTES],
}

/// TLS 1.3 with X25519MLKEM768 first, no resumption.
pub(super) fn config() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Provisional(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The handshake.
pub(super) async fn handshake<S>(
    config: Arc<ClientConfig>,
    stream: S,
) -> Result<Unproven<S>, std::io::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from("redoubt-worker").map_err(std::io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    let (_, session) = stream.get_ref();
    let spki = match session.peer_certificates() {
        Some([certificate, ..]) => spki(certificate)?,
        _ => return Err(std::io::Error::other("the worker showed no certificate")),
    };
    let exporter = session
        .export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None)
        .map_err(std::io::Error::other)?;
    Ok(Unproven {
        stream,
        spki,
        exporter,
    })
}

fn spki(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, std::io::Error> {
    let certificate = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| std::io::Error::other(format!("the worker's certificate: {error}")))?;
    Ok(certificate.subject_public_key_info().to_vec())
}
