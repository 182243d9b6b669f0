//! Attestation statements (Level 3 §8): each format's verification procedure
//! behind one function, and the assessment of what came out.
//!
//! Protects against an authenticator that claims to be another model: a
//! statement has to verify completely before anything in it is believed, and
//! belief ends where policy's roots end.

/// An error enum whose variants are checks, each with its stable reason.
macro_rules! checks {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $reason:literal, $message:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        pub enum $name {
            $(#[doc = $message] #[error($message)] $variant,)+
        }
        impl $name {
            /// Stable name of this error.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }
        }
    };
}

mod android_key;
mod apple;
mod compound;
mod der;
mod fido_u2f;
mod none;
mod packed;
mod safetynet;
mod syntax;
mod tpm;
mod tpm_structures;
mod trust;
pub(super) mod x509;

use serde::{Deserialize, Serialize};

use super::authenticator_data::{AttestedCredential, AuthenticatorData};
use super::cbor::Value;
use super::policy::AttestationPolicy;
use super::public_key::PublicKey;

pub use android_key::AndroidKeyError;
pub use apple::AppleError;
pub use compound::CompoundError;
pub use fido_u2f::FidoU2fError;
pub use none::NoneError;
pub use packed::PackedError;
pub use safetynet::SafetyNetError;
pub use tpm::TpmError;
pub(crate) use trust::assess;
pub use trust::{AttestationOutcome, TrustAnchors, TrustError, TrustRoot};

/// Attestation statement format identifiers. Stored in credential records:
/// variants are only ever appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are the registered identifiers")]
pub enum AttestationFormat {
    None,
    Packed,
    Tpm,
    AndroidKey,
    AndroidSafetyNet,
    FidoU2f,
    Apple,
    Compound,
}

impl AttestationFormat {
    /// Every format there is code for.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Packed,
        Self::Tpm,
        Self::AndroidKey,
        Self::AndroidSafetyNet,
        Self::FidoU2f,
        Self::Apple,
        Self::Compound,
    ];

    /// The identifier as registered with IANA.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Packed => "packed",
            Self::Tpm => "tpm",
            Self::AndroidKey => "android-key",
            Self::AndroidSafetyNet => "android-safetynet",
            Self::FidoU2f => "fido-u2f",
            Self::Apple => "apple",
            Self::Compound => "compound",
        }
    }

    /// The format of an identifier; the comparison is case-sensitive.
    #[must_use]
    pub fn from_identifier(identifier: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == identifier)
    }
}

/// What kind of attestation a statement conveys (§6.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestationType {
    /// Nothing is attested.
    None,
    /// Signed by the credential itself.
    SelfAttestation,
    /// Signed by a key that certificates vouch for; a statement alone does not
    /// tell Basic from AttCA.
    BasicOrAttCa,
    /// Signed by a key that an attestation CA certified.
    AttCa,
    /// Certified by an anonymization CA.
    AnonymizationCa,
}

/// A statement that does not verify, by format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "one variant per format")]
pub enum StatementError {
    #[error("none attestation: {0}")]
    None(NoneError),
    #[error("packed attestation: {0}")]
    Packed(PackedError),
    #[error("tpm attestation: {0}")]
    Tpm(TpmError),
    #[error("android-key attestation: {0}")]
    AndroidKey(AndroidKeyError),
    #[error("android-safetynet attestation: {0}")]
    SafetyNet(SafetyNetError),
    #[error("fido-u2f attestation: {0}")]
    FidoU2f(FidoU2fError),
    #[error("apple attestation: {0}")]
    Apple(AppleError),
    #[error("compound attestation: {0}")]
    Compound(CompoundError),
}

impl StatementError {
    /// Stable name of the failed check.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::None(inner) => inner.reason(),
            Self::Packed(inner) => inner.reason(),
            Self::Tpm(inner) => inner.reason(),
            Self::AndroidKey(inner) => inner.reason(),
            Self::SafetyNet(inner) => inner.reason(),
            Self::FidoU2f(inner) => inner.reason(),
            Self::Apple(inner) => inner.reason(),
            Self::Compound(inner) => inner.reason(),
        }
    }

    /// The section of Level 3 whose verification procedure failed.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Packed(_) => "8.2",
            Self::Tpm(_) => "8.3",
            Self::AndroidKey(_) => "8.4",
            Self::SafetyNet(_) => "8.5",
            Self::FidoU2f(_) => "8.6",
            Self::None(_) => "8.7",
            Self::Apple(_) => "8.8",
            Self::Compound(_) => "8.9",
        }
    }
}

/// What every verification procedure is given.
#[derive(Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) authenticator_data: &'a AuthenticatorData<'a>,
    pub(crate) authenticator_data_bytes: &'a [u8],
    pub(crate) credential: &'a AttestedCredential<'a>,
    pub(crate) public_key: &'a PublicKey,
    pub(crate) client_data_hash: &'a [u8],
    pub(crate) policy: &'a AttestationPolicy,
    pub(crate) now_ms: u64,
}

impl Statement<'_> {
    /// `authenticatorData || clientDataHash`, what most formats sign.
    fn to_be_signed(self) -> Vec<u8> {
        [self.authenticator_data_bytes, self.client_data_hash].concat()
    }
}

/// What a verification procedure returns.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    format: AttestationFormat,
    kind: AttestationType,
    /// Certificates, the attestation certificate first.
    trust_path: Vec<Vec<u8>>,
    /// The parts of a compound statement.
    parts: Vec<Verified>,
}

impl Verified {
    fn new(format: AttestationFormat, kind: AttestationType, path: &[&[u8]]) -> Self {
        Self {
            format,
            kind,
            trust_path: path.iter().map(|der| der.to_vec()).collect(),
            parts: Vec::new(),
        }
    }
}

/// §7.1 step 22: the verification procedure of `format`.
pub(crate) fn verify(
    format: AttestationFormat,
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, StatementError> {
    match format {
        AttestationFormat::None => none::verify(att_stmt).map_err(StatementError::None),
        AttestationFormat::Packed => {
            packed::verify(att_stmt, statement).map_err(StatementError::Packed)
        }
        AttestationFormat::Tpm => tpm::verify(att_stmt, statement).map_err(StatementError::Tpm),
        AttestationFormat::AndroidKey => {
            android_key::verify(att_stmt, statement).map_err(StatementError::AndroidKey)
        }
        AttestationFormat::AndroidSafetyNet => {
            safetynet::verify(att_stmt, statement).map_err(StatementError::SafetyNet)
        }
        AttestationFormat::FidoU2f => {
            fido_u2f::verify(att_stmt, statement).map_err(StatementError::FidoU2f)
        }
        AttestationFormat::Apple => {
            apple::verify(att_stmt, statement).map_err(StatementError::Apple)
        }
        AttestationFormat::Compound => compound::verify(att_stmt, statement),
    }
}
