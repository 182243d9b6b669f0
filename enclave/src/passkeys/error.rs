//! What can be wrong with a ceremony: one name per check of the specification.
//!
//! Protects against the opposite mistakes of saying too little inside and too
//! much outside: the log and the tests get step and reason, while a caller gets
//! one text for all of them (the gateway sees to that).

use super::attestation::{StatementError, TrustError};
use super::authenticator_data::AuthenticatorDataError;
use super::cbor::CborError;
use super::public_key::KeyError;

/// Which of the two ceremonies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// §7.1.
    Registration,
    /// §7.2.
    Authentication,
}

/// A ceremony that failed, and at which check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WebAuthn step {}: {fault}", self.step())]
pub struct CeremonyError {
    ceremony: Ceremony,
    fault: Fault,
}

/// The check that failed. Client = what the browser said, authenticator = what
/// was signed, relying party = what policy or our own store says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Client: not a public-key credential, or `id` and `rawId` differ.
    #[error("the credential is not of type public-key, or its id and rawId differ")]
    Response,
    /// Client: the credential is none of `allowCredentials`.
    #[error("the credential is not one of those that the options allowed")]
    CredentialNotAllowed,
    /// Relying party: the account's record is of another credential.
    #[error("the account holds no credential with this id")]
    CredentialUnknown,
    /// Client: no user handle although it has to name the user.
    #[error("the user handle is missing, and nothing else names the user")]
    UserHandleMissing,
    /// Client: the user handle is another account's.
    #[error("the user handle is not the account's")]
    UserHandle,
    /// Client: signature, authenticator data or attestation object too long.
    #[error("a member of the response is longer than any authenticator makes it")]
    TooLong,
    /// Client: client data longer than any browser makes it.
    #[error("the client data is too long")]
    ClientDataTooLong,
    /// Client: client data is not UTF-8.
    #[error("the client data is not UTF-8")]
    ClientDataNotUtf8,
    /// Client: client data is not a JSON object with members of the right types.
    #[error("the client data is not the JSON of CollectedClientData")]
    ClientDataNotJson,
    /// Client: a token binding status that was never defined.
    #[error("the client data's token binding status is undefined")]
    TokenBindingStatus,
    /// Client: made for the other ceremony.
    #[error("the client data's type is not that of this ceremony")]
    ClientDataType,
    /// Client: made for another challenge.
    #[error("the client data's challenge is not the one of the options")]
    Challenge,
    /// Client: made on a page that is not expected.
    #[error("the client data's origin is not expected; list it in the relying party's origins")]
    Origin,
    /// Client: made in a frame although frames are not expected.
    #[error("the ceremony ran in a cross-origin frame, which policy refuses")]
    CrossOrigin,
    /// Client: framed by a page that is not expected.
    #[error("the top-level page around the frame is not expected")]
    TopOrigin,
    /// Client: the attestation object is not the CBOR it should be.
    #[error("attestation object: {0}")]
    AttestationObjectCbor(CborError),
    /// Client: the attestation object lacks a member or has a wrong type.
    #[error("the attestation object lacks fmt, attStmt or authData, or holds more")]
    AttestationObjectMembers,
    /// Authenticator: authenticator data cannot be read.
    #[error("{0}")]
    AuthenticatorData(AuthenticatorDataError),
    /// Authenticator: made for another relying party.
    #[error("the authenticator data is for another RP ID")]
    RpIdHash,
    /// Authenticator: nobody touched it.
    #[error("the authenticator did not test that a user is present")]
    UserPresence,
    /// Authenticator: it did not verify the user.
    #[error("the authenticator did not verify the user, which policy requires")]
    UserVerification,
    /// Authenticator: backed up, yet not eligible for backup.
    #[error("the authenticator data says backed up but not backup eligible")]
    BackupFlags,
    /// Relying party: policy wants device-bound credentials.
    #[error("policy accepts only credentials that cannot leave their device")]
    BackupEligible,
    /// Relying party: policy wants credentials that are not backed up.
    #[error("policy accepts only credentials that are not backed up")]
    BackedUp,
    /// Authenticator: backup eligibility changed since registration.
    #[error("the credential's backup eligibility changed since it was registered")]
    BackupEligibilityChanged,
    /// Authenticator: the credential public key cannot be used.
    #[error("{0}")]
    PublicKey(KeyError),
    /// Authenticator: the key's algorithm was not asked for.
    #[error("the credential's algorithm is not among pubKeyCredParams")]
    Algorithm,
    /// Authenticator: attestation statement format unknown, or refused by policy.
    #[error("the attestation statement format is unknown or refused by policy")]
    Format,
    /// Authenticator: the attestation statement does not verify.
    #[error("{0}")]
    Statement(StatementError),
    /// Relying party: the statement verifies but is not trusted.
    #[error("{0}")]
    Trust(TrustError),
    /// Authenticator: the credential id is longer than 1023 bytes.
    #[error("the credential id is longer than 1023 bytes")]
    CredentialIdTooLong,
    /// Relying party: the credential id is taken.
    #[error("the credential id is registered already")]
    CredentialIdTaken,
    /// Client: the id it names is not the one the authenticator attested.
    #[error("the response names another credential id than the authenticator made")]
    CredentialIdMismatch,
    /// Authenticator: the assertion signature does not verify.
    #[error("the signature does not verify under the credential's public key")]
    Signature,
    /// Authenticator: the signature counter did not grow.
    #[error("the signature counter did not grow: the authenticator may have been cloned")]
    SignCount,
}

impl CeremonyError {
    pub(crate) fn registration(fault: Fault) -> Self {
        Self {
            ceremony: Ceremony::Registration,
            fault,
        }
    }

    pub(crate) fn authentication(fault: Fault) -> Self {
        Self {
            ceremony: Ceremony::Authentication,
            fault,
        }
    }

    /// Which ceremony failed.
    #[must_use]
    pub fn ceremony(&self) -> Ceremony {
        self.ceremony
    }

    /// What was wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The step of Level 3 §7.1 or §7.2 that failed, as `7.2.12`.
    #[must_use]
    pub fn step(&self) -> &'static str {
        let (registration, authentication) = self.fault.steps();
        match self.ceremony {
            Ceremony::Registration => registration,
            Ceremony::Authentication => authentication,
        }
    }

    /// Stable snake_case name of the failed check.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.fault.reason()
    }
}

impl Fault {
    /// The step in §7.1 and in §7.2; a check that one ceremony lacks has the
    /// other's number there, and is never raised by it.
    const fn steps(&self) -> (&'static str, &'static str) {
        match self {
            Self::Response => ("7.1.3", "7.2.3"),
            Self::TooLong => ("7.1.3", "7.2.7"),
            Self::CredentialNotAllowed => ("7.2.5", "7.2.5"),
            Self::CredentialUnknown | Self::UserHandleMissing | Self::UserHandle => {
                ("7.2.6", "7.2.6")
            }
            Self::ClientDataTooLong | Self::ClientDataNotUtf8 => ("7.1.5", "7.2.8"),
            Self::ClientDataNotJson | Self::TokenBindingStatus => ("7.1.6", "7.2.9"),
            Self::ClientDataType => ("7.1.7", "7.2.10"),
            Self::Challenge => ("7.1.8", "7.2.11"),
            Self::Origin => ("7.1.9", "7.2.12"),
            Self::CrossOrigin => ("7.1.10", "7.2.13"),
            Self::TopOrigin => ("7.1.11", "7.2.14"),
            Self::AttestationObjectCbor(_) | Self::AttestationObjectMembers => ("7.1.13", "7.1.13"),
            Self::AuthenticatorData(_) => ("7.1.13", "7.2.7"),
            Self::RpIdHash => ("7.1.14", "7.2.15"),
            Self::UserPresence => ("7.1.15", "7.2.16"),
            Self::UserVerification => ("7.1.16", "7.2.17"),
            Self::BackupFlags => ("7.1.17", "7.2.18"),
            Self::BackupEligible => ("7.1.18", "7.2.19"),
            Self::BackedUp => ("7.1.19", "7.2.19"),
            Self::BackupEligibilityChanged => ("7.2.19", "7.2.19"),
            Self::Algorithm => ("7.1.20", "7.1.20"),
            Self::PublicKey(_) => ("7.1.20", "7.2.21"),
            Self::Format => ("7.1.21", "7.1.21"),
            Self::Statement(_) => ("7.1.22", "7.1.22"),
            Self::Trust(_) => ("7.1.24", "7.1.24"),
            Self::CredentialIdTooLong => ("7.1.25", "7.1.25"),
            Self::CredentialIdTaken => ("7.1.26", "7.1.26"),
            Self::CredentialIdMismatch => ("7.1.27", "7.1.27"),
            Self::Signature => ("7.2.21", "7.2.21"),
            Self::SignCount => ("7.2.22", "7.2.22"),
        }
    }

    /// Stable snake_case name.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Response => "response_malformed",
            Self::CredentialNotAllowed => "credential_not_allowed",
            Self::CredentialUnknown => "credential_unknown",
            Self::UserHandleMissing => "user_handle_missing",
            Self::UserHandle => "user_handle_mismatch",
            Self::TooLong => "response_too_long",
            Self::ClientDataTooLong => "client_data_too_long",
            Self::ClientDataNotUtf8 => "client_data_not_utf8",
            Self::ClientDataNotJson => "client_data_not_json",
            Self::TokenBindingStatus => "token_binding_status_unknown",
            Self::ClientDataType => "client_data_type_mismatch",
            Self::Challenge => "challenge_mismatch",
            Self::Origin => "origin_not_expected",
            Self::CrossOrigin => "cross_origin_refused",
            Self::TopOrigin => "top_origin_not_expected",
            Self::AttestationObjectCbor(inner) => inner.reason(),
            Self::AttestationObjectMembers => "attestation_object_malformed",
            Self::AuthenticatorData(inner) => inner.reason(),
            Self::RpIdHash => "rp_id_hash_mismatch",
            Self::UserPresence => "user_not_present",
            Self::UserVerification => "user_not_verified",
            Self::BackupFlags => "backup_flags_inconsistent",
            Self::BackupEligible => "backup_eligible_refused",
            Self::BackedUp => "backed_up_refused",
            Self::BackupEligibilityChanged => "backup_eligibility_changed",
            Self::PublicKey(inner) => inner.reason(),
            Self::Algorithm => "algorithm_not_requested",
            Self::Format => "attestation_format_refused",
            Self::Statement(inner) => inner.reason(),
            Self::Trust(inner) => inner.reason(),
            Self::CredentialIdTooLong => "credential_id_too_long",
            Self::CredentialIdTaken => "credential_id_taken",
            Self::CredentialIdMismatch => "credential_id_mismatch",
            Self::Signature => "signature_invalid",
            Self::SignCount => SIGN_COUNT_NOT_INCREASED,
        }
    }
}

/// Reason of a counter that did not move on (§7.2 step 22): perhaps a copy signs too.
pub const SIGN_COUNT_NOT_INCREASED: &str = "sign_count_not_increased";

/// Whether an assertion refused for this reason had its signature checked first.
#[must_use]
pub fn signature_was_checked(reason: &str) -> bool {
    [Fault::Signature, Fault::SignCount]
        .iter()
        .any(|fault| fault.reason() == reason)
}
