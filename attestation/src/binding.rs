//! What an attestation document binds: the preimages of `user_data`, and nonces
//! that are never raw.
//!
//! Protects against a genuine document standing for something else: for another
//! purpose, another appliance, another configuration, other keys, or another
//! TLS session than the one that asked.

use redoubt_shared::{LedgerId, TenantId};
use serde::{Deserialize, Serialize};

use crate::encode::{Digest32, as_text, b64u_bytes, sha256, sha384};
use crate::genesis::Tier;
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk, OkpEd25519Jwk};

/// TLS exporter label (RFC 9266 style); no context, 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-redoubt-attestation-v1";
/// Bytes taken from the exporter.
pub const EXPORTER_BYTES: usize = 32;
/// Bytes a client's nonce may have.
pub const CLIENT_NONCE_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
const NONCE_DOMAIN: &[u8] = b"redoubt/nonce/v1";

/// What a document is for. One document, one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Answering banks under the TLS key.
    Serve,
    /// Receiving officers' shares under the X-Wing key.
    Unseal,
    /// Receiving the secret of a running enclave.
    Handover,
    /// Receiving a key from a cloud KMS.
    Kms,
    /// Computing embeddings for an enclave.
    Worker,
}

impl Purpose {
    /// The name in JSON and in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Serve => "serve",
            Purpose::Unseal => "unseal",
            Purpose::Handover => "handover",
            Purpose::Kms => "kms",
            Purpose::Worker => "worker",
        }
    }
}

impl std::str::FromStr for Purpose {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [
            Purpose::Serve,
            Purpose::Unseal,
            Purpose::Handover,
            Purpose::Kms,
            Purpose::Worker,
        ]
        .into_iter()
        .find(|purpose| purpose.name() == text)
        .ok_or_else(|| format!("purpose {text:?}: use serve, unseal or handover"))
    }
}

/// A ledger head: size and root of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Entries.
    pub size: u64,
    /// Merkle tree root.
    pub root: Digest32,
}

/// A ledger and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundLedger {
    /// `None` for the appliance's own ledger.
    pub tenant: Option<TenantId>,
    /// Ledger id, 32 hexadecimal digits.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
}

/// The public keys made at one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootKeys {
    /// SubjectPublicKeyInfo of the TLS key.
    #[serde(with = "b64u_bytes")]
    pub tls_spki: Vec<u8>,
    /// Signs receipts and artefacts.
    pub receipt_es256: EcP256Jwk,
    /// Signs receipts and artefacts.
    pub receipt_mldsa65: AkpMlDsa65Jwk,
    /// Signs checkpoints.
    pub checkpoint_ed25519: OkpEd25519Jwk,
    /// X-Wing public key for officers' shares and handovers, 1216 bytes.
    #[serde(with = "b64u_bytes")]
    pub unseal_xwing: Vec<u8>,
}

/// Marks the only binding format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindingType {
    /// `redoubt/binding/v1`
    #[serde(rename = "redoubt/binding/v1")]
    V1,
}

/// What an enclave binds into a document. `user_data` is SHA-384 of these bytes
/// as served beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Always [`BindingType::V1`].
    #[serde(rename = "type")]
    pub kind: BindingType,
    /// What the document is for.
    pub purpose: Purpose,
    /// Digest of the genesis manifest.
    pub genesis: Digest32,
    /// Counter of the genesis manifest.
    pub genesis_counter: u64,
    /// Every ledger served.
    pub ledgers: Vec<BoundLedger>,
    /// Digest of the configuration.
    pub config: Digest32,
    /// Digest of the policy in it.
    pub policy: Digest32,
    /// Digest of the model manifest.
    pub models: Digest32,
    /// Keys of this boot.
    pub boot_keys: BootKeys,
    /// SHA-256 of the SPKI of the CA that signs TLS leaves, once unsealed.
    #[serde(deserialize_with = "null_or")]
    pub ca_spki_sha256: Option<Digest32>,
    /// Head of the appliance's ledger, as far as known.
    #[serde(deserialize_with = "null_or")]
    pub head: Option<Head>,
    /// Term, once one is open.
    #[serde(deserialize_with = "null_or")]
    pub term: Option<u64>,
}

/// A member that may be null but not absent.
fn null_or<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

impl Binding {
    /// The bytes to hash into `user_data` and to serve beside the document.
    pub fn to_preimage(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("structs of strings and integers always serialize")
    }

    /// Reads a preimage as received.
    pub fn parse(preimage: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(preimage)
    }

    /// The appliance's own ledger, if it names exactly one.
    pub fn appliance_ledger(&self) -> Option<LedgerId> {
        let mut own = self.ledgers.iter().filter(|bound| bound.tenant.is_none());
        match (own.next(), own.next()) {
            (Some(bound), None) => Some(bound.ledger),
            _ => None,
        }
    }

    /// What the document's `public_key` must be: the TLS key's SPKI, or for
    /// `unseal` and `handover`, whose key is too large for the field, its SHA-384.
    pub fn public_key(&self) -> Vec<u8> {
        match self.purpose {
            Purpose::Unseal | Purpose::Handover => sha384(&[&self.boot_keys.unseal_xwing]).to_vec(),
            Purpose::Serve | Purpose::Kms | Purpose::Worker => self.boot_keys.tls_spki.clone(),
        }
    }
}

/// How the worker computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Processor.
    Cpu,
    /// NVIDIA device.
    Cuda,
}

/// Marks the only worker binding format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerBindingType {
    /// `redoubt/worker-binding/v1`
    #[serde(rename = "redoubt/worker-binding/v1")]
    V1,
}

/// The one purpose of a worker's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerPurpose {
    /// Computing embeddings for an enclave.
    Worker,
}

/// What a worker binds into its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerBinding {
    #[serde(rename = "type")]
    kind: WorkerBindingType,
    purpose: WorkerPurpose,
    /// How well the worker is protected from the host.
    pub tier: Tier,
    /// Digest of the model manifest it loaded.
    pub models: Digest32,
    /// How it computes.
    pub backend: Backend,
    /// SubjectPublicKeyInfo of its TLS key.
    #[serde(with = "b64u_bytes")]
    pub tls_spki: Vec<u8>,
}

impl WorkerBinding {
    /// A binding of purpose `worker`.
    pub fn new(tier: Tier, models: Digest32, backend: Backend, tls_spki: Vec<u8>) -> Self {
        Self {
            kind: WorkerBindingType::V1,
            purpose: WorkerPurpose::Worker,
            tier,
            models,
            backend,
            tls_spki,
        }
    }

    /// The bytes to hash into `user_data` and to send beside the document.
    pub fn to_preimage(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("structs of strings and integers always serialize")
    }

    /// Reads a preimage as received.
    pub fn parse(preimage: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(preimage)
    }
}

/// `user_data` for a preimage: SHA-384 over the bytes as received.
pub fn user_data(preimage: &[u8]) -> [u8; 48] {
    sha384(&[preimage])
}

/// What the nonce of a document was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceInput<'a> {
    /// Kept in the ledger: no client asked, nothing but the purpose binds it.
    NoSession,
    /// Asked for inside a TLS session, whose exporter the enclave took itself.
    Session {
        /// The client's random bytes.
        client_nonce: &'a [u8],
        /// [`EXPORTER_LABEL`] of that session.
        exporter: &'a [u8; EXPORTER_BYTES],
    },
}

impl NonceInput<'_> {
    /// The `nonce` field: never the client's bytes themselves, so that a nonce
    /// that happens to be another session's exporter is of no use.
    pub fn hash(&self) -> Digest32 {
        let (mode, nonce, exporter): (u8, &[u8], &[u8]) = match self {
            NonceInput::NoSession => (0, &[], &[]),
            NonceInput::Session {
                client_nonce,
                exporter,
            } => (1, client_nonce, &exporter[..]),
        };
        let length = (nonce.len() as u32).to_be_bytes();
        sha256(&[NONCE_DOMAIN, &[mode], &length, nonce, exporter])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_of_different_inputs_differ() {
        let exporter = [7; 32];
        let session = |client_nonce| {
            NonceInput::Session {
                client_nonce,
                exporter: &exporter,
            }
            .hash()
        };
        assert_ne!(session(b"12345678"), session(b"12345679"));
        assert_ne!(session(b""), NonceInput::NoSession.hash());
        let other = NonceInput::Session {
            client_nonce: b"12345678",
            exporter: &[8; 32],
        };
        assert_ne!(session(b"12345678"), other.hash());
        assert_eq!(
            NonceInput::NoSession.hash(),
            sha256(&[b"redoubt/nonce/v1\0\0\0\0\0"])
        );
    }

    #[test]
    fn a_worker_preimage_reads_back_and_refuses_unknown_members() {
        let binding = WorkerBinding::new(
            Tier::Process,
            Digest32([1; 32]),
            Backend::Cpu,
            vec![1, 2, 3],
        );
        let preimage = binding.to_preimage();
        assert_eq!(WorkerBinding::parse(&preimage).unwrap(), binding);
        let text = String::from_utf8(preimage).unwrap();
        assert!(WorkerBinding::parse(text.replace("\"worker\"", "\"serve\"").as_bytes()).is_err());
        assert!(
            WorkerBinding::parse(text.replace("\"tier\"", "\"x\":1,\"tier\"").as_bytes()).is_err()
        );
    }
}
