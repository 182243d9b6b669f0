//! Enclave to host: a stream to a named peer (a witness or a custodian). The
//! host connects it to the address it has for that name and copies bytes; the
//! enclave ends TLS with the peer inside, under a key its genesis pins.

use serde::{Deserialize, Serialize};

/// First frame of a peer stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    /// The peer's name in the genesis manifest.
    pub name: String,
}

/// The host's one answer; after `Connected`, bytes of both directions follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerResponse {
    /// The peer accepted a connection.
    Connected,
    /// No stream.
    Refused {
        /// For the operator.
        detail: String,
    },
}
