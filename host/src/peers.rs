//! The enclave's streams to witnesses and custodians: a name becomes an address.
//!
//! Protects against the enclave reaching anything but the peers its operator
//! named: it sends a name, the operator's flags say where that is, and bytes
//! are copied unseen (TLS with the peer ends in the enclave). Every step has a
//! bound and a time limit, so that a silent peer costs a seat for a while and
//! nothing else.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redoubt_attestation::genesis::is_peer_name;
use redoubt_shared::frame::read_frame_of;
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use redoubt_shared::{Listener, Stream, write_frame};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::capture::Capture;
use crate::metrics::{Metrics, PeerRefused, Relay};
use crate::relay::{Ended, Tap, relay};

/// Longest name a peer can have, in bytes.
const NAME_MAX: usize = 64;
/// Longest request frame: version, length of the name, name.
const REQUEST_MAX: usize = NAME_MAX + 8;

/// `NAME=HOST:PORT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// The peer's name in the genesis manifest.
    pub name: String,
    /// Where it listens; resolved at every connection.
    pub address: String,
}

/// What is wrong with a `--peer` flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "peer {text:?}: write NAME=HOST:PORT, with a NAME of 1 to {NAME_MAX} of a-z, 0-9, '.', '-'"
)]
pub struct PeerAddressError {
    text: String,
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;
    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let parsed = text.split_once('=').filter(|(name, address)| {
            let (host, port) = address.rsplit_once(':').unwrap_or_default();
            is_peer_name(name) && !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        let (name, address) = parsed.ok_or_else(|| PeerAddressError {
            text: text.to_owned(),
        })?;
        Ok(Self {
            name: name.to_owned(),
            address: address.to_owned(),
        })
    }
}

/// Where each peer is; a name given twice is a mistake.
pub fn addresses(peers: &[PeerAddress]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for peer in peers {
        let before = map.insert(peer.name.clone(), peer.address.clone());
        anyhow::ensure!(before.is_none(), "--peer {} is given twice", peer.name);
    }
    Ok(map)
}

/// Bounds of the relay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams at once.
    pub total: usize,
    /// Time for the enclave to say a name.
    pub request: Duration,
    /// Time for a peer to accept.
    pub connect: Duration,
    /// Time without a byte after which a stream is ended.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: 128,
            request: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(120),
        }
    }
}

/// The relay, shared by all streams.
#[derive(Debug)]
pub struct Peers {
    /// Name to HOST:PORT.
    pub addresses: BTreeMap<String, String>,
    /// Bounds.
    pub limits: Limits,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where to write every relayed byte, if at all.
    pub capture: Option<Capture>,
}

/// Serves the enclave's peer streams for ever.
pub async fn serve(mut listener: Listener, peers: Arc<Peers>) {
    let seats = Arc::new(Semaphore::new(peers.limits.total));
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "the peers endpoint did not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let seat = seats.clone().try_acquire_owned().ok();
        let peers = peers.clone();
        tokio::spawn(async move { peers.stream(stream, seat).await });
    }
}

impl Peers {
    async fn stream(&self, mut enclave: Stream, seat: Option<OwnedSemaphorePermit>) {
        let connected = match seat {
            Some(_) => self.open(&mut enclave).await,
            None => Err((PeerRefused::Total, "too many streams to peers".to_owned())),
        };
        let answer = match &connected {
            Ok(_) => PeerResponse::Connected,
            Err((why, detail)) => {
                self.metrics.peer_refused(*why);
                tracing::warn!(detail, "a stream to a peer was refused");
                PeerResponse::Refused {
                    detail: detail.clone(),
                }
            }
        };
        let said = timeout(self.limits.request, write_frame(&mut enclave, &answer)).await;
        let (Ok(mut peer), Ok(Ok(()))) = (connected, said) else {
            return;
        };
        self.metrics.peer_stream_opened();
        let capture = self.capture.as_ref();
        let mut outer = Tap::new(enclave, Relay::Peer, self.metrics.clone(), capture);
        if let Ended::Idle = relay(&mut outer, &mut peer, self.limits.idle).await {
            self.metrics.peer_refused(PeerRefused::Idle);
        }
    }

    /// Hears a name and connects to its address.
    async fn open(&self, enclave: &mut Stream) -> Result<TcpStream, (PeerRefused, String)> {
        let malformed = |detail: String| (PeerRefused::Malformed, detail);
        let request: PeerRequest =
            timeout(self.limits.request, read_frame_of(enclave, REQUEST_MAX))
                .await
                .map_err(|_| malformed("no request came in time".into()))?
                .map_err(|error| malformed(error.to_string()))?;
        // The name is an answer's text and a log line: only the alphabet of names.
        if !is_peer_name(&request.name) {
            return Err(malformed("no peer can have this name".into()));
        }
        let Some(address) = self.addresses.get(&request.name) else {
            let detail = format!(
                "peer {0} has no address; start redoubt-host with --peer {0}=HOST:PORT",
                request.name
            );
            return Err((PeerRefused::Unknown, detail));
        };
        let failed = |why, error: &dyn std::fmt::Display| {
            (why, format!("peer {} at {address}: {error}", request.name))
        };
        let stream = timeout(self.limits.connect, TcpStream::connect(address))
            .await
            .map_err(|_| failed(PeerRefused::Timeout, &"did not accept in time"))?
            .map_err(|error| failed(PeerRefused::Unreachable, &error))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_flag_has_one_form() {
        let peer: PeerAddress = "w1.example=[::1]:9000".parse().unwrap();
        assert_eq!((&*peer.name, &*peer.address), ("w1.example", "[::1]:9000"));
        for wrong in [
            "",
            "w1",
            "w1=",
            "w1=host",
            "w1=:9",
            "w1=host:",
            "w1=host:0",
            "w1=host:70000",
            "=host:9",
            "W1=host:9",
            "w_1=host:9",
        ] {
            assert!(wrong.parse::<PeerAddress>().is_err(), "{wrong}");
        }
        let long = format!("{}=host:9", "a".repeat(NAME_MAX + 1));
        assert!(long.parse::<PeerAddress>().is_err());
    }

    #[test]
    fn a_name_given_twice_is_a_mistake() {
        let peers = ["a=h:1", "b=h:1", "a=h:2"].map(|text| text.parse().unwrap());
        assert_eq!(addresses(&peers[..2]).unwrap().len(), 2);
        assert!(addresses(&peers).is_err());
    }
}
