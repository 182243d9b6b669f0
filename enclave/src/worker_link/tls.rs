//! TLS towards a worker: whoever answers is accepted for now, and only for as
//! long as it takes to see its evidence.
//!
//! Protects against a session that ends somewhere else than at the attested
//! key: the peer must prove possession of its certificate's key (the handshake
//! signature is checked), that key must be the one in the evidence, and the
//! evidence must be made for this session's exporter.

use std::sync::Arc;

use redoubt_attestation::binding::{EXPORTER_BYTES, EXPORTER_LABEL};
use redoubt_attestation::genesis::spki_of;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::outbound;

/// A session with a peer that has proven nothing but its key.
pub(super) struct Unproven<S> {
    /// The session.
    pub(super) stream: TlsStream<S>,
    /// The peer's SubjectPublicKeyInfo.
    pub(super) spki: Vec<u8>,
    /// Exporter of the session.
    pub(super) exporter: [u8; EXPORTER_BYTES],
}

/// A configuration that accepts any one key; never its owner without proof of it.
pub(super) fn config() -> Result<Arc<ClientConfig>, Error> {
    Ok(Arc::new(outbound::config(|_| Ok(()))?))
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
        Some([certificate, ..]) => spki_of(certificate).map_err(|problem| {
            std::io::Error::other(format!("the worker's certificate {problem}"))
        })?,
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
