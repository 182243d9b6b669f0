//! One enclave gives its secret to exactly one other, by officers' order.

use redoubt_attestation::encode::Digest32;
use redoubt_shared::supervise::Phase;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attestation::phase_name;
use super::{Document, TreeHead};

/// Officers' order to hand over, to the enclave that serves.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoverRequest {
    /// The signed order (JWS).
    #[schema(value_type = Object)]
    pub order: Document,
    /// The signed configuration that the other enclave booted with (JWS).
    #[schema(value_type = Object)]
    pub config: Document,
}

/// Officers' word to the enclave that waits: take what was left by this order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeRequest {
    /// The order's name, hexadecimal.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub order: Digest32,
}

/// The secret was given away: this enclave has halted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HandedOver {
    /// The order's name, hexadecimal.
    pub order: String,
    /// Boot key of the other enclave, as the order names it.
    pub recipient: String,
    /// SHA-256 of the envelope in the store, hexadecimal.
    pub envelope: String,
    /// The appliance ledger's head before its last entry.
    pub before: TreeHead,
}

/// Officers' order to the enclave itself: end for good.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HaltRequest {
    /// The signed order (JWS).
    #[schema(value_type = Object)]
    pub order: Document,
}

/// The enclave has halted, and takes nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Halted {
    /// Its boot key, as the order names it.
    pub boot: String,
    /// Where it stands now.
    #[schema(value_type = String)]
    pub phase: Phase,
}

/// The secret was taken: this enclave reads the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TakingOver {
    /// Where the enclave stands now.
    #[schema(schema_with = phase_name)]
    pub phase: Phase,
    /// The appliance ledger's head before the last entry of the other enclave.
    pub before: TreeHead,
}
