//! WebAuthn relying-party verification (Level 3 §7.1, §7.2 and §8).
//!
//! Protects against a login or a payment approved by anybody but the customer's
//! own authenticator: another user's credential, another page, another
//! challenge, a forged or replayed reply, a cloned or rewound authenticator.
//!
//! No I/O, no clock, no randomness: the caller makes and spends challenges,
//! looks up records and passes the time; [`register`] and [`assert`] are pure
//! functions over values. Every step of the specification is one named check,
//! and [`CeremonyError`] says which one failed. aws-lc-rs does the cryptography.

mod algorithm;
mod assertion;
#[macro_use]
mod attestation;
mod authenticator_data;
mod base64url;
mod cbor;
mod client_data;
pub mod conformance;
mod ed448;
mod error;
pub mod metadata;
mod policy;
mod public_key;
mod record;
mod registration;
mod wire;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use assertion::{Assertion, assert};
pub use attestation::{
    AndroidKeyError, AppleError, AttestationFormat, AttestationOutcome, AttestationType,
    CompoundError, FidoU2fError, NoneError, PackedError, SafetyNetError, StatementError, TpmError,
    TrustAnchors, TrustError, TrustRoot,
};
pub use authenticator_data::{AuthenticatorDataError, MAX_CREDENTIAL_ID_BYTES};
pub use base64url::Base64Url;
pub use cbor::CborError;
pub use client_data::MAX_CLIENT_DATA_BYTES;
pub use error::{Ceremony, CeremonyError, Fault, SIGN_COUNT_NOT_INCREASED, signature_was_checked};
pub use policy::{
    AndroidKeyPolicy, AssertionExpectation, AttestationPolicy, BackupPolicy, CrossOrigin,
    Identification, Origins, RegistrationExpectation, SafetyNetOrigin, SignCountPolicy,
    UserPresence, UserVerification,
};
pub use public_key::KeyError;
pub use record::{CredentialRecord, StoredRecord, StoredRecordV1};
pub use registration::{RegisteredCredential, register};
pub use wire::{
    AssertionResponse, AttestationResponse, AuthenticationResponse, AuthenticatorSelection,
    CreationOptions, CredentialDescriptor, CredentialParameters, PUBLIC_KEY, RegistrationResponse,
    RequestOptions, RpEntity, UserEntity,
};
