//! What the officers signed: the genesis manifest that every client pins, the
//! configuration the host may only carry, and the client's own policy file.
//!
//! Protects against a genuine image that somebody else's officers set up, and
//! against a host that edits the configuration: both files are accepted only
//! with k distinct officers' signatures over the bytes as received.

mod client_policy;
mod config;
mod duplicates;
mod manifest;
mod passkeys;
mod peers;
mod signed_file;
mod successor;

pub use client_policy::ClientPolicy;
pub use config::{
    ActiveLiveness, Anchors, Config, ConfigType, LivenessMode, OldLedger, PassiveLiveness, Policy,
    PolicySigners, RETENTION_DAYS, RelyingParty, Restore, Role, RoleMapping,
    SESSION_ABSOLUTE_MINUTES, SESSION_IDLE_SECONDS, SpokenDigits, Tenant, VerifiedConfig,
    anchor_der, spki_of,
};
pub use duplicates::{DuplicateFaces, DuplicateMode};
pub use manifest::{
    Environment, Genesis, GenesisType, MeasuredRole, Measurement, Officer, RootKind, Tier,
    VendorRootEntry, VerifiedGenesis,
};
pub use passkeys::{
    ALGORITHMS, AttestationTrust, BackupRule, Conveyance, FORMATS, METADATA_ROOT_SHA256,
    MetadataSource, PasskeyPolicy, SignCountRule, aaguid, certificates_der,
};
pub use peers::{LEASE_MS, PeerEntry, WitnessMode, WitnessPolicy, is_peer_name};
pub use signed_file::{SignedFile, SignedFileError};

/// Why a signed file is refused. Blames the file; says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Envelope or signatures.
    #[error(transparent)]
    Signed(#[from] SignedFileError),
    /// The payload is not the JSON it should be.
    #[error("{file}: {source}")]
    Json {
        /// Which file.
        file: &'static str,
        /// What is wrong and where.
        source: serde_json::Error,
    },
    /// A member has a value it may not have.
    #[error("{file}: {field}: {problem}")]
    Field {
        /// Which file.
        file: &'static str,
        /// Which member.
        field: String,
        /// What is wrong and how to mend it.
        problem: String,
    },
}

impl GenesisError {
    fn field(file: &'static str, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            file,
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Fails with the member's name and the remedy unless `holds`.
fn require(
    holds: bool,
    file: &'static str,
    field: impl Into<String>,
    problem: impl Into<String>,
) -> Result<(), GenesisError> {
    if holds {
        Ok(())
    } else {
        Err(GenesisError::field(file, field, problem))
    }
}

#[cfg(test)]
mod tests;
