//! One TLS 1.3 session: what is offered, who may answer, what is taken from it.
//!
//! Protects against: downgrade (no other version is compiled in), replay (no
//! early data, no tickets, no stored sessions), harvest-now-decrypt-later
//! (X25519MLKEM768 first), and a lying clock (time comes from the appliance).
//! Anchors are not named to clients: who the tenants are is nobody's business.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig, ServerConnection};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme, version,
};

use super::identity::Anchors;
use crate::api::{Peer, Trust};

/// Label of the exporter that binds attestation documents to a session.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-redoubt-attestation-v1";

/// The appliance's clock: nothing while time is not known.
pub(super) type Clock = Arc<dyn Fn() -> Option<UnixTime> + Send + Sync>;

/// Everything a handshake needs that sessions share.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    trust: Arc<Trust>,
    anchors: Arc<Anchors>,
    clock: Clock,
}

/// What one handshake found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) peer: Option<Peer>,
    pub(super) exporter: [u8; 32],
    pub(super) http2: bool,
}

/// The server side of one handshake and the slot its verdict goes to.
pub(super) struct Handshake {
    pub(super) config: Arc<ServerConfig>,
    verifier: Arc<Verifier>,
}

impl Tls {
    pub(super) fn new(trust: Arc<Trust>, clock: Clock) -> Result<Self, webpki::Error> {
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![
                kx_group::X25519MLKEM768,
                kx_group::X25519,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
            ],
            ..aws_lc_rs::default_provider()
        });
        let algorithms = provider.signature_verification_algorithms;
        let anchors = Arc::new(Anchors::new(trust.anchors(), algorithms)?);
        Ok(Self {
            provider,
            trust,
            anchors,
            clock,
        })
    }

    pub(super) fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// A configuration of its own for every session, so that sessions share no
    /// state and the verifier's verdict can belong to one session only.
    pub(super) fn handshake(&self) -> Result<Handshake, Error> {
        let verifier = Arc::new(Verifier {
            anchors: self.anchors.clone(),
            found: OnceLock::new(),
        });
        let clock = Arc::new(ApplianceTime(self.clock.clone()));
        let server = SingleCertAndKey::from(self.trust.server().clone());
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), clock)
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(server));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Handshake {
            config: Arc::new(config),
            verifier,
        })
    }
}

impl Handshake {
    /// What the completed handshake proved.
    pub(super) fn finish(self, connection: &ServerConnection) -> Result<Session, Error> {
        let peer = self.verifier.found.get().cloned();
        if peer.is_some() != connection.peer_certificates().is_some() {
            return Err(Error::General(
                "handshake ended without the verifier's verdict".to_owned(),
            ));
        }
        let exporter = connection.export_keying_material([0u8; 32], EXPORTER_LABEL, None)?;
        Ok(Session {
            peer,
            exporter,
            http2: connection.alpn_protocol() == Some(b"h2"),
        })
    }
}

struct ApplianceTime(Clock);

impl fmt::Debug for ApplianceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplianceTime")
    }
}

impl TimeProvider for ApplianceTime {
    fn current_time(&self) -> Option<UnixTime> {
        (self.0)()
    }
}

struct Verifier {
    anchors: Arc<Anchors>,
    found: OnceLock<Peer>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let peer = self.anchors.identify(end_entity, intermediates, now)?;
        self.found
            .set(peer)
            .map_err(|_| Error::General("a second certificate in one handshake".to_owned()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, self.anchors.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.anchors.algorithms().supported_schemes()
    }
}
