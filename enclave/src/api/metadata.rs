//! FIDO metadata as the bank hands it in and reads it back.

use serde::Serialize;
use utoipa::ToSchema;

/// What a BLOB changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MetadataTaken {
    /// Its number.
    pub number: u64,
    /// The number of the one before it.
    pub previous_number: Option<u64>,
    /// The day by which the next one is there (UTC).
    #[schema(format = Date)]
    pub next_update: Option<String>,
    /// Whether that day has passed: fetch the next one.
    pub overdue: bool,
    /// Models it names.
    pub models: u64,
    /// Models that are revoked or compromised now and were not before.
    pub compromised: Vec<ModelStatus>,
    /// Models that were, and are no more. Their suspended credentials stay so until the bank
    /// resumes them.
    pub cleared: Vec<String>,
    /// Credentials that were suspended for it.
    pub suspended: u64,
}

/// What is reported of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelStatus {
    /// Which, 8-4-4-4-12.
    pub aaguid: String,
    /// The compromise that is reported, such as `REVOKED`; null: none is in force.
    pub status: Option<&'static str>,
}

/// The metadata in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MetadataStatus {
    /// The number of the last BLOB that was taken; null: none was.
    pub number: Option<u64>,
    /// The day by which the next one is there (UTC).
    #[schema(format = Date)]
    pub next_update: Option<String>,
    /// Whether that day has passed.
    pub overdue: bool,
    /// How many of the models are revoked or compromised now.
    pub compromised: u64,
    /// Credentials that were suspended for their model so far.
    pub suspended: u64,
    /// Whether credentials are being suspended. They are refused already.
    pub acting: bool,
    /// Every model.
    pub models: Vec<ModelStatus>,
}
