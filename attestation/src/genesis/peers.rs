//! The peers a manifest names: witnesses that cosign heads, custodians that
//! keep shares of the epoch secret.
//!
//! Protects against one voice counted twice (names, keys and TLS keys are
//! distinct) and against quorums that need not overlap: two sets of k witnesses
//! share an honest one only if 2k > n + f.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Genesis, GenesisError, require};
use crate::encode::Digest32;
use crate::jwk::OkpEd25519Jwk;

const FILE: &str = "genesis manifest";
const NAME_MAX: usize = 64;
/// Custodians hold points with one-byte indices; nobody runs more witnesses.
const PEERS_MAX: usize = 255;
/// Bounds of a lease, in milliseconds.
pub const LEASE_MS: std::ops::RangeInclusive<u64> = 200..=60_000;

/// A witness or a custodian. Where it listens is the host's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerEntry {
    /// Its name; for a witness also the name of its note key.
    pub name: String,
    /// Signs cosignatures and deletion statements.
    pub key: OkpEd25519Jwk,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub tls_spki_sha256: Digest32,
}

/// When what witnesses saw counts as fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WitnessMode {
    /// Every batch waits for its cosignatures.
    Strict,
    /// Batches go out while the last cosignatures are younger than the lease.
    Lease,
}

impl WitnessMode {
    /// The stable name, as receipts say it.
    pub const fn name(self) -> &'static str {
        match self {
            WitnessMode::Strict => "strict",
            WitnessMode::Lease => "lease",
        }
    }
}

const fn default_lease_ms() -> u64 {
    2000
}

/// How many witnesses make a head fresh, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessPolicy {
    /// Cosignatures needed.
    pub k: u8,
    /// Witnesses that may lie or lose their state without harm.
    pub f: u8,
    /// Strict or lease.
    pub mode: WitnessMode,
    /// How long a cosignature is good for, and how long a new term waits.
    #[serde(default = "default_lease_ms")]
    pub lease_ms: u64,
}

impl Genesis {
    /// The witness or custodian of this name.
    pub fn peer(&self, name: &str) -> Option<&PeerEntry> {
        let mut peers = self.witnesses.iter().chain(&self.custodians);
        peers.find(|peer| peer.name == name)
    }

    pub(super) fn check_peers(&self) -> Result<(), GenesisError> {
        check_entries("witnesses", &self.witnesses)?;
        check_entries("custodians", &self.custodians)?;
        self.check_shared_names()?;
        check_policy(self.witnesses.len(), self.witness_policy)?;
        check_threshold(self.custodians.len(), self.custodian_threshold)
    }

    /// One server may be both; then it is one entry, word for word.
    fn check_shared_names(&self) -> Result<(), GenesisError> {
        for (at, custodian) in self.custodians.iter().enumerate() {
            let clash = self.witnesses.iter().any(|witness| {
                witness != custodian
                    && (witness.name == custodian.name
                        || witness.key == custodian.key
                        || witness.tls_spki_sha256 == custodian.tls_spki_sha256)
            });
            require(
                !clash,
                FILE,
                format!("custodians[{at}]"),
                "a witness shares its name or a key but is not the same entry; repeat the witness's entry or use other keys",
            )?;
        }
        Ok(())
    }
}

/// Whether a text may name a peer.
pub fn is_peer_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

fn check_entries(list: &'static str, peers: &[PeerEntry]) -> Result<(), GenesisError> {
    require(peers.len() <= PEERS_MAX, FILE, list, "list at most 255")?;
    let (mut names, mut keys, mut pins) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (at, peer) in peers.iter().enumerate() {
        let here = |member: &str| format!("{list}[{at}].{member}");
        require(
            is_peer_name(&peer.name),
            FILE,
            here("name"),
            "use 1 to 64 of a-z, 0-9, '.' and '-'",
        )?;
        require(
            names.insert(&peer.name),
            FILE,
            here("name"),
            "every name must differ from the others",
        )?;
        require(
            keys.insert(peer.key.as_bytes()),
            FILE,
            here("key"),
            "every key must differ from the others: one key, one voice",
        )?;
        require(
            pins.insert(peer.tls_spki_sha256),
            FILE,
            here("tls_spki_sha256"),
            "every TLS key must differ from the others",
        )?;
    }
    Ok(())
}

fn check_policy(n: usize, policy: Option<WitnessPolicy>) -> Result<(), GenesisError> {
    let field = "witness_policy";
    let Some(policy) = policy else {
        return require(
            n == 0,
            FILE,
            field,
            "say k, f, mode and lease_ms where witnesses are listed",
        );
    };
    require(
        n > 0,
        FILE,
        field,
        "leave it out where no witnesses are listed",
    )?;
    let WitnessPolicy {
        k,
        f,
        mode: _,
        lease_ms,
    } = policy;
    require(
        usize::from(k) <= n && 2 * usize::from(k) > n + usize::from(f),
        FILE,
        "witness_policy.k",
        format!(
            "with {n} witnesses of which {f} may fail, k must be more than ({n} + {f}) / 2 and at most {n}"
        ),
    )?;
    require(
        LEASE_MS.contains(&lease_ms),
        FILE,
        "witness_policy.lease_ms",
        "use 200 to 60000",
    )
}

fn check_threshold(n: usize, threshold: Option<u8>) -> Result<(), GenesisError> {
    let field = "custodian_threshold";
    match threshold {
        None => require(
            n == 0,
            FILE,
            field,
            "say how many custodians restore the epoch secret",
        ),
        Some(_) if n == 0 => require(
            false,
            FILE,
            field,
            "leave it out where no custodians are listed",
        ),
        Some(t) => require(
            t >= 1 && usize::from(t) <= n,
            FILE,
            field,
            "use 1 to the number of custodians",
        ),
    }
}
