//! The enclave's side of witnesses and custodians.
//!
//! Protects against the host, which connects and relays these streams: TLS ends
//! here, under a key that the genesis manifest pins; every cosignature and every
//! deletion is verified under the peer's signing key before anybody sees it.
//! The host can refuse or delay, and nothing else.

mod custodian;
mod link;
mod tls;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use redoubt_attestation::genesis::{Genesis, SignedFile};
use redoubt_shared::Endpoint;

pub use custodian::{Custodian, EpochEvidence, Released};
pub use witness::{Introduced, Witness};

use link::Link;

/// Why a peer did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No answer: no stream, no TLS session with the pinned key, or no time.
    #[error("peer {peer} is not reachable: {detail}")]
    Unreachable {
        /// Its name in the genesis manifest.
        peer: String,
        /// For the operator.
        detail: String,
    },
    /// The witness knows a head of another size than the one given as old.
    #[error("the witness's last head has size {size}")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// The peer refuses.
    #[error("peer {peer} refuses ({status}): {text}")]
    Refused {
        /// Its name.
        peer: String,
        /// HTTP status.
        status: u16,
        /// Its reason.
        text: String,
    },
    /// The lease of the term before is not over.
    #[error("the lease of the term before runs for {0:?} more")]
    Wait(Duration),
    /// The answer is not what it should be.
    #[error("peer {peer} answers what is no answer: {problem}")]
    Malformed {
        /// Its name.
        peer: String,
        /// What is wrong.
        problem: String,
    },
}

/// The evidence that introduces a term: what its `serve` document for the
/// ledger consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermEvidence {
    /// Attestation document of purpose `serve`, mode "no session".
    pub document: Vec<u8>,
    /// What its `user_data` hashes.
    pub preimage: Vec<u8>,
    /// Manifests since the one that peers may still pin, oldest first, ending
    /// with the one the document names; empty if there was no change.
    pub genesis: Vec<SignedFile>,
    /// The configuration, if it orders a restore.
    pub config: Option<SignedFile>,
}

/// Time limits of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimits {
    /// To open a stream and finish the TLS handshake.
    pub connect: Duration,
    /// From sending a request to the end of its answer.
    pub exchange: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            exchange: Duration::from_secs(2),
        }
    }
}

/// Every peer of a genesis manifest.
pub struct Peers {
    witnesses: Vec<Arc<Witness>>,
    custodians: Vec<Arc<Custodian>>,
}

impl Peers {
    /// The peers a manifest names; nothing is connected yet. Without an
    /// endpoint none of them is reachable.
    pub fn new(endpoint: Option<Endpoint>, genesis: &Genesis) -> Self {
        Self::with_limits(endpoint, genesis, PeerLimits::default())
    }

    /// As [`Self::new`], with other time limits.
    pub fn with_limits(endpoint: Option<Endpoint>, genesis: &Genesis, limits: PeerLimits) -> Self {
        let link = |entry| Link::new(endpoint.clone(), entry, limits);
        Self {
            witnesses: genesis
                .witnesses
                .iter()
                .map(|entry| Arc::new(Witness::new(link(entry), entry.clone())))
                .collect(),
            custodians: genesis
                .custodians
                .iter()
                .map(|entry| Arc::new(Custodian::new(link(entry), entry.clone())))
                .collect(),
        }
    }

    /// The witnesses, in the manifest's order.
    pub fn witnesses(&self) -> Vec<Arc<Witness>> {
        self.witnesses.clone()
    }

    /// The custodians, in the manifest's order, which is that of their shares.
    pub fn custodians(&self) -> Vec<Arc<Custodian>> {
        self.custodians.clone()
    }
}
