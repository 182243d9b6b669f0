//! A tenant's own policy as its bank hands it in and reads it back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Document, Timestamp};

/// A bundle to take and put in force.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyUpload {
    /// The signed bundle (JWS), payload `redoubt/policy-bundle/v1`.
    #[schema(value_type = Object)]
    pub bundle: Document,
}

/// An order to use an earlier bundle again, or none.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyOrder {
    /// The signed order (JWS), payload `redoubt/policy-rollback/v1`.
    #[schema(value_type = Object)]
    pub order: Document,
}

/// A bundle to try, not signed.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTrial {
    /// The bundle (`redoubt/policy-bundle/v1`) as it would be signed.
    #[schema(value_type = Object)]
    pub bundle: Document,
}

/// From when on which bundle was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyActivation {
    /// Counts from 1.
    pub activation: u64,
    /// The bundle's version; 0: none, the typed rules alone.
    pub version: u64,
    /// SHA-256 of its signed payload, hexadecimal; null: none.
    pub digest: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub activated_at: Timestamp,
    /// Whether an order went back to it.
    pub rollback: bool,
    /// The receipt that says so.
    pub receipt_id: String,
}

/// What is in force from now on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyActivated {
    /// Counts from 1.
    pub activation: u64,
    /// The bundle's version; 0: none, the typed rules alone.
    pub version: u64,
    /// SHA-256 of its signed payload, hexadecimal; null: none.
    pub digest: Option<String>,
    /// Unit tests that passed before; none where an order went back.
    pub tests: Vec<String>,
    /// Its receipt.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

/// A bundle whose text is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyVersion {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its signed payload, hexadecimal.
    pub digest: String,
}

/// What is and was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyStatus {
    /// In force now; null: none ever was.
    pub active: Option<PolicyActivation>,
    /// The latest activations, latest first.
    pub history: Vec<PolicyActivation>,
    /// Bundles that an order may go back to.
    pub kept: Vec<PolicyVersion>,
}

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyAnswer {
    /// `allow`, `step_up` or `deny`.
    pub effect: &'static str,
    /// Its reasons.
    pub reasons: Vec<String>,
}

/// A recorded decision that would be another.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyChange {
    /// The decision's receipt.
    pub receipt_id: String,
    /// When it fell.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// The facts, as the bundle sees them.
    #[schema(value_type = Object)]
    pub input: Document,
    /// What was said.
    pub was: PolicyAnswer,
    /// What this bundle would have said.
    pub would_be: PolicyAnswer,
}

/// What a bundle would have changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyDryRun {
    /// Unit tests that passed.
    pub tests: Vec<String>,
    /// Recorded decisions it was asked about.
    pub decisions: u64,
    /// Of these, how many have the same effect.
    pub unchanged: u64,
    /// The others, latest first.
    pub changes: Vec<PolicyChange>,
}
