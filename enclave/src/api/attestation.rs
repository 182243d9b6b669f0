//! Evidence for anyone, and the officers' shares.
//!
//! Protects against: evidence relayed into another session. The exporter in an
//! attestation request is taken by the gateway from the asking session itself.

use redoubt_shared::supervise::Phase;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::Document;
use super::text::Text;
use crate::passkeys::Base64Url;

/// A phase by its name.
pub(super) fn phase_name() -> Object {
    let names = [
        "booted",
        "awaiting_unseal",
        "recovering",
        "serving",
        "handing_over",
        "halted",
    ];
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
        .description(Some("Where the enclave stands."))
        .build()
}

/// What a document's key is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The TLS key that answers banks.
    #[default]
    Serve,
    /// The key that officers' shares are sealed to.
    Unseal,
    /// The same key, for the secret of a running enclave.
    Handover,
}

/// A request for evidence, bound to the session it came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationRequest {
    /// What the key is for.
    pub purpose: Purpose,
    /// 8 to 64 bytes of the client.
    pub nonce: Vec<u8>,
    /// TLS exporter of the asking session.
    pub exporter: [u8; 32],
}

/// Evidence.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AttestationReply {
    /// COSE attestation document (base64url).
    pub document: Base64Url,
    /// JSON whose SHA-384 is the document's `user_data` (base64url).
    pub preimage: Base64Url,
    /// Always `session`: the nonce binds the TLS exporter.
    pub mode: &'static str,
    /// Where the enclave stands.
    #[schema(schema_with = phase_name)]
    pub phase: Phase,
    /// The signed genesis manifest (JWS).
    #[schema(value_type = Object)]
    pub genesis: Document,
    /// The signed configuration (JWS).
    #[schema(value_type = Object)]
    pub config: Document,
    /// The CA to pin, once unsealed (PEM).
    pub ca_certificate: Option<String>,
    /// The appliance ledger's head, as in the preimage.
    pub head: Option<TreeHead>,
}

/// A ledger's size and root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// Merkle root, lowercase hexadecimal.
    pub root: String,
}

/// An officer's share, sealed to this boot's unseal key (HPKE, X-Wing).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareSubmission {
    /// The officer's id in the genesis manifest.
    #[schema(value_type = String, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub officer: Text<64>,
    /// JSON naming document, genesis, counter and head (base64url).
    pub aad: Base64Url,
    /// Encapsulated key (base64url).
    pub enc: Base64Url,
    /// Sealed share (base64url).
    pub ciphertext: Base64Url,
}

/// A share was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShareAccepted {
    /// Shares received so far.
    pub received: u32,
    /// Shares needed.
    pub needed: u32,
    /// Where the enclave stands now.
    #[schema(schema_with = phase_name)]
    pub phase: Phase,
}

/// Where the enclave stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// `booted`, `awaiting_unseal`, `recovering`, `serving`, `handing_over` or `halted`.
    #[schema(schema_with = phase_name)]
    pub phase: Phase,
}
