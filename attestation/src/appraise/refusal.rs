//! The checks of an appraisal and what each says when it fails.

use crate::document;
use crate::encode::Digest32;
use crate::genesis::{MeasuredRole, Tier};

/// The checks in their order, for people.
pub const CHECKS: [&str; 10] = [
    "signed under a vendor root of the pinned genesis, or of a kind it names as unsigned",
    "environment is the pinned genesis's",
    "not in debug mode",
    "measurements are allowed by the pinned genesis",
    "fresh: nonce is made from ours and this session",
    "preimage is the one the document commits to",
    "purpose is the one asked for",
    "bound to the pinned genesis and its counter",
    "bound to the key of this session",
    "not too old and not from the future",
];

/// Why a document was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Check 1.
    #[error(transparent)]
    Document(#[from] document::Refusal),
    /// Check 2.
    #[error("the document is emulated and the pinned genesis is of hardware")]
    Environment,
    /// Check 3.
    #[error("the enclave runs in debug mode: its memory is readable from the host")]
    Debug,
    /// Check 4.
    #[error("no measurement of role {role:?} in the pinned genesis matches PCR0 {pcr0}")]
    Measurement {
        /// Enclave or worker.
        role: MeasuredRole,
        /// Hexadecimal.
        pcr0: String,
    },
    /// Check 4.
    #[error("the officers have withdrawn the image with PCR0 {pcr0}")]
    Withdrawn {
        /// Hexadecimal.
        pcr0: String,
    },
    /// Check 5.
    #[error(
        "the document's nonce is not made from ours and this session: it was relayed or replayed"
    )]
    Nonce,
    /// Check 6.
    #[error("the preimage is not the one the document commits to")]
    UserData,
    /// Check 6.
    #[error("the preimage cannot be read: {0}")]
    Preimage(#[source] serde_json::Error),
    /// Check 7.
    #[error("the document is for {found}, not for {wanted}")]
    Purpose {
        /// What it is for.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Check 8.
    #[error(
        "the enclave was set up under genesis {found}, not under the pinned one: it is not your appliance"
    )]
    OtherGenesis {
        /// Its manifest's digest.
        found: Digest32,
    },
    /// Check 8.
    #[error("the genesis counter is {found}; at least {minimum} is needed")]
    Counter {
        /// What it says.
        found: u64,
        /// The lowest accepted.
        minimum: u64,
    },
    /// Check 8.
    #[error("the worker says tier {said:?}; its measurement is allowed at {allowed:?}")]
    Tier {
        /// What it says.
        said: Tier,
        /// What the manifest says.
        allowed: Tier,
    },
    /// Check 8.
    #[error("another model manifest is loaded: {found}")]
    Models {
        /// Its digest.
        found: Digest32,
    },
    /// Check 9.
    #[error("the document's public_key is not the key of its purpose")]
    PublicKey,
    /// Check 9.
    #[error("the peer of this session is not the one that was attested")]
    SessionKey,
    /// Check 10.
    #[error("the document is {age_ms} ms old; at most {max_age_ms} ms are accepted")]
    TooOld {
        /// Its age.
        age_ms: u64,
        /// The limit.
        max_age_ms: u64,
    },
    /// Check 10.
    #[error("the officers' appraisal policy ended {over_ms} ms ago; fetch the present one")]
    PolicyExpired {
        /// How long ago.
        over_ms: u64,
    },
    /// Check 10.
    #[error("the document is {ahead_ms} ms ahead of our clock")]
    FromTheFuture {
        /// How far.
        ahead_ms: u64,
    },
}

impl Refusal {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Document(refusal) => refusal.code(),
            Self::Environment => "emulated_under_hardware_genesis",
            Self::Debug => "debug",
            Self::Measurement { .. } => "measurement_not_allowed",
            Self::Withdrawn { .. } => "image_withdrawn",
            Self::Nonce => "wrong_nonce",
            Self::UserData => "wrong_user_data",
            Self::Preimage(_) => "preimage_malformed",
            Self::Purpose { .. } => "wrong_purpose",
            Self::OtherGenesis { .. } => "other_genesis",
            Self::Counter { .. } => "counter_too_low",
            Self::Tier { .. } => "wrong_tier",
            Self::Models { .. } => "other_models",
            Self::PublicKey => "wrong_public_key",
            Self::SessionKey => "other_session_key",
            Self::PolicyExpired { .. } => "policy_expired",
            Self::TooOld { .. } => "too_old",
            Self::FromTheFuture { .. } => "from_the_future",
        }
    }

    /// Position in [`CHECKS`] of the check that failed; those before it passed.
    pub const fn check(&self) -> usize {
        match self {
            Self::Document(_) => 0,
            Self::Environment => 1,
            Self::Debug => 2,
            Self::Measurement { .. } | Self::Withdrawn { .. } => 3,
            Self::Nonce => 4,
            Self::UserData | Self::Preimage(_) => 5,
            Self::Purpose { .. } => 6,
            Self::OtherGenesis { .. }
            | Self::Counter { .. }
            | Self::Tier { .. }
            | Self::Models { .. } => 7,
            Self::PublicKey | Self::SessionKey => 8,
            Self::TooOld { .. } | Self::FromTheFuture { .. } | Self::PolicyExpired { .. } => 9,
        }
    }
}
