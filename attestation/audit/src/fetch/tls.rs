//! The provisional handshake: TLS 1.3, X25519MLKEM768 first, any certificate,
//! but the key in it must have signed this handshake.

use std::net::TcpStream;
use std::sync::Arc;

use redoubt_attestation::binding::{EXPORTER_BYTES, EXPORTER_LABEL};
use redoubt_attestation::genesis::spki_of;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::FetchError;

/// A client certificate chain and its key, PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// Leaf first.
    pub certificates: String,
    /// PKCS#8, SEC1 or PKCS#1.
    pub key: String,
}

/// A finished handshake with a server that nobody vouches for yet.
pub struct Session {
    /// To be believed once `peer_spki` is.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    /// What an attestation document of this session is bound to.
    pub exporter: [u8; EXPORTER_BYTES],
    /// SubjectPublicKeyInfo of the key that signed this handshake.
    pub peer_spki: Vec<u8>,
}

/// Takes any certificate: the caller must judge the key in it, by evidence or
/// by a pin, before it believes what the stream says.
pub fn handshake(
    mut socket: TcpStream,
    name: ServerName<'static>,
    identity: Option<&ClientIdentity>,
) -> Result<Session, FetchError> {
    let config = client_config(identity)?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(tls_error)?;
    }
    let exporter = connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None)?;
    let leaf = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| FetchError::ServerCertificate("it showed none".into()))?;
    let peer_spki = spki_of(leaf).map_err(FetchError::ServerCertificate)?;
    Ok(Session {
        stream: StreamOwned::new(connection, socket),
        exporter,
        peer_spki,
    })
}

/// rustls wraps its own errors into I/O errors; unwrap them for a better message.
fn tls_error(error: std::io::Error) -> FetchError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(tls) => FetchError::Tls(tls.clone()),
        None => super::http::io_error(error),
    }
}

fn client_config(identity: Option<&ClientIdentity>) -> Result<ClientConfig, FetchError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Provisional(provider)));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = parse_identity(identity).map_err(FetchError::ClientIdentity)?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn parse_identity(identity: &ClientIdentity) -> Result<Identity, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.certificates.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("the PEM file holds no certificate".into());
    }
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .map_err(|error| format!("the key is not PEM: {error}"))?;
    Ok((chain, key))
}

/// Accepts every certificate, since only the evidence will say whose it is, but
/// insists that its key signed this handshake.
#[derive(Debug)]
struct Provisional(Arc<CryptoProvider>);

impl ServerCertVerifier for Provisional {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            rustls::PeerIncompatible::Tls12NotOffered,
        ))
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
