//! The credential record (Level 3 §4): what is kept of a registration.
//!
//! Protects against a store that outlives its reader: the serialised form is a
//! numbered variant that is only ever appended to, and holds the key exactly as
//! the authenticator encoded it.

use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use super::assertion::Assertion;
use super::attestation::AttestationFormat;

/// What is kept of one credential. Serialised through [`StoredRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredRecord", into = "StoredRecord")]
pub struct CredentialRecord {
    /// The credential id.
    pub id: Vec<u8>,
    /// The COSE key as received.
    pub public_key: Vec<u8>,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Highest signature counter seen.
    pub sign_count: u32,
    /// Whether the user has been verified by this credential at least once.
    pub uv_initialized: bool,
    /// Transports the client reported, as reported.
    pub transports: Vec<String>,
    /// Whether the credential may be copied to other devices; never changes.
    pub backup_eligible: bool,
    /// Whether it was, when last seen.
    pub backup_state: bool,
    /// Format of the attestation statement it was registered with.
    pub attestation_format: AttestationFormat,
    /// Whether that statement chained to a root of policy.
    pub attestation_trusted: bool,
    /// Authenticator model.
    pub aaguid: [u8; 16],
    /// Unix milliseconds of registration.
    pub created_ms: u64,
}

/// The serialised forms of a record, oldest first; only ever appended to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum StoredRecord {
    /// First form.
    V1(StoredRecordV1),
}

/// First serialised form; its fields and their order are fixed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are those of CredentialRecord")]
pub struct StoredRecordV1 {
    pub id: Vec<u8>,
    pub public_key: Vec<u8>,
    pub algorithm: Algorithm,
    pub sign_count: u32,
    pub uv_initialized: bool,
    pub transports: Vec<String>,
    pub backup_eligible: bool,
    pub backup_state: bool,
    pub attestation_format: AttestationFormat,
    pub attestation_trusted: bool,
    pub aaguid: [u8; 16],
    pub created_ms: u64,
}

impl CredentialRecord {
    /// §7.2 step 24: the state after a verified assertion. `uv_initialized` is
    /// left alone, since the specification asks for another factor to set it.
    pub fn update(&mut self, assertion: &Assertion) {
        self.sign_count = self.sign_count.max(assertion.sign_count);
        self.backup_state = assertion.backup_state;
    }
}

impl From<StoredRecord> for CredentialRecord {
    fn from(stored: StoredRecord) -> Self {
        let StoredRecord::V1(v1) = stored;
        Self {
            id: v1.id,
            public_key: v1.public_key,
            algorithm: v1.algorithm,
            sign_count: v1.sign_count,
            uv_initialized: v1.uv_initialized,
            transports: v1.transports,
            backup_eligible: v1.backup_eligible,
            backup_state: v1.backup_state,
            attestation_format: v1.attestation_format,
            attestation_trusted: v1.attestation_trusted,
            aaguid: v1.aaguid,
            created_ms: v1.created_ms,
        }
    }
}

impl From<CredentialRecord> for StoredRecord {
    fn from(record: CredentialRecord) -> Self {
        Self::V1(StoredRecordV1 {
            id: record.id,
            public_key: record.public_key,
            algorithm: record.algorithm,
            sign_count: record.sign_count,
            uv_initialized: record.uv_initialized,
            transports: record.transports,
            backup_eligible: record.backup_eligible,
            backup_state: record.backup_state,
            attestation_format: record.attestation_format,
            attestation_trusted: record.attestation_trusted,
            aaguid: record.aaguid,
            created_ms: record.created_ms,
        })
    }
}
