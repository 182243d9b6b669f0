//! Verifying an assertion: Level 3 §7.2, one function per step.
//!
//! Protects against an assertion made by another credential, for another user,
//! challenge, page or relying party. That the record belongs to the account is
//! checked here by id and user handle, never assumed: a lookup by credential id
//! alone accepted other users' assertions elsewhere (YSA-2026-02). Steps 1, 2
//! and 25 are the caller's.

use aws_lc_rs::digest;

use super::authenticator_data::{AuthenticatorData, AuthenticatorDataError};
use super::cbor::Form;
use super::client_data::ClientData;
use super::error::{CeremonyError, Fault};
use super::policy::{
    AssertionExpectation, BackupPolicy, Identification, SignCountPolicy, UserVerification,
};
use super::public_key::PublicKey;
use super::record::CredentialRecord;
use super::wire::{AuthenticationResponse, PUBLIC_KEY};

/// Longest authenticator data and signature that are read.
const MAX_AUTHENTICATOR_DATA_BYTES: usize = 16 * 1024;
const MAX_SIGNATURE_BYTES: usize = 8 * 1024;

/// A verified assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The signature counter to store.
    pub sign_count: u32,
    /// Whether the counter grew, or is not in use; `false` may mean a clone.
    pub sign_count_plausible: bool,
    /// Whether the user was verified.
    pub user_verified: bool,
    /// Whether the credential may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether it is backed up now.
    pub backup_state: bool,
    /// Authenticator extension outputs, a CBOR map, when there are any.
    pub extensions: Option<Vec<u8>>,
    /// The origin the browser named.
    pub origin: String,
}

/// Verifies an authentication response against what was expected of it.
///
/// # Errors
/// The first step of §7.2 that does not hold.
pub fn assert(
    response: &AuthenticationResponse,
    expected: &AssertionExpectation<'_>,
) -> Result<Assertion, CeremonyError> {
    verify(response, expected).map_err(CeremonyError::authentication)
}

fn verify(
    response: &AuthenticationResponse,
    expected: &AssertionExpectation<'_>,
) -> Result<Assertion, Fault> {
    step_3_response(response)?;
    step_5_allowed(response, expected.allow_credentials)?;
    step_6_record(response, expected.credential)?;
    step_6_user(response, expected.identification)?;
    let client_data_json = response.response.client_data_json.as_slice();
    let authenticator_data = response.response.authenticator_data.as_slice();
    let signature = response.response.signature.as_slice();
    let data = step_7_authenticator_data(authenticator_data, signature, expected.credential)?;
    let text = ClientData::utf8(client_data_json)?; // step 8
    let client_data = ClientData::parse(text)?; // step 9
    client_data.check_type("webauthn.get")?; // step 10
    client_data.check_challenge(expected.challenge)?; // step 11
    client_data.check_origin(expected.rp_id, &expected.origins)?; // step 12
    client_data.check_cross_origin(&expected.cross_origin)?; // step 13
    client_data.check_top_origin(&expected.cross_origin)?; // step 14
    step_15_rp_id_hash(&data, expected.rp_id)?;
    step_16_user_presence(&data)?;
    step_17_user_verification(&data, expected.user_verification)?;
    step_18_backup_flags(&data)?;
    step_19_backup_eligibility(&data, expected.credential, expected.backup)?;
    let hash = digest::digest(&digest::SHA256, client_data_json); // step 20
    step_21_signature(
        expected.credential,
        authenticator_data,
        hash.as_ref(),
        signature,
    )?;
    let plausible = step_22_sign_count(&data, expected.credential, expected.sign_count)?;
    Ok(Assertion {
        sign_count: data.sign_count,
        sign_count_plausible: plausible,
        user_verified: data.flags.user_verified(),
        backup_eligible: data.flags.backup_eligible(),
        backup_state: data.flags.backed_up(),
        extensions: data.extensions.map(<[u8]>::to_vec), // step 23: the caller's to use
        origin: client_data.origin().to_owned(),
    })
}

fn step_3_response(response: &AuthenticationResponse) -> Result<(), Fault> {
    require(
        response.kind == PUBLIC_KEY && response.id == response.raw_id,
        Fault::Response,
    )
}

fn step_5_allowed(response: &AuthenticationResponse, allowed: &[&[u8]]) -> Result<(), Fault> {
    let listed = || allowed.iter().any(|id| *id == response.raw_id.as_slice());
    require(allowed.is_empty() || listed(), Fault::CredentialNotAllowed)
}

fn step_6_record(
    response: &AuthenticationResponse,
    record: &CredentialRecord,
) -> Result<(), Fault> {
    require(
        response.raw_id.as_slice() == record.id,
        Fault::CredentialUnknown,
    )
}

/// An empty user handle counts as absent: handles have 1 to 64 bytes, and some
/// clients return an empty one for authenticators that keep none.
fn step_6_user(
    response: &AuthenticationResponse,
    identification: Identification<'_>,
) -> Result<(), Fault> {
    let presented = response.response.user_handle.as_ref();
    let presented = presented.filter(|handle| !handle.as_slice().is_empty());
    match (identification, presented) {
        (Identification::Before { .. }, None) => Ok(()),
        (Identification::ByUserHandle { .. }, None) => Err(Fault::UserHandleMissing),
        (
            Identification::Before { user_handle } | Identification::ByUserHandle { user_handle },
            Some(presented),
        ) => require(presented.as_slice() == user_handle, Fault::UserHandle),
    }
}

/// Authenticators must not repeat attested credential data in assertions, but
/// early ones did; it is read, and has to be about this very credential.
fn step_7_authenticator_data<'a>(
    bytes: &'a [u8],
    signature: &[u8],
    record: &CredentialRecord,
) -> Result<AuthenticatorData<'a>, Fault> {
    require(
        bytes.len() <= MAX_AUTHENTICATOR_DATA_BYTES && signature.len() <= MAX_SIGNATURE_BYTES,
        Fault::TooLong,
    )?;
    let data =
        AuthenticatorData::parse(bytes, Form::WellFormed).map_err(Fault::AuthenticatorData)?;
    let repeated = data.attested_credential.as_ref();
    require(
        repeated.is_none_or(|credential| credential.credential_id == record.id),
        Fault::AuthenticatorData(AuthenticatorDataError::AttestedCredentialUnexpected),
    )?;
    Ok(data)
}

fn step_15_rp_id_hash(data: &AuthenticatorData<'_>, rp_id: &str) -> Result<(), Fault> {
    let expected = digest::digest(&digest::SHA256, rp_id.as_bytes());
    require(data.rp_id_hash == expected.as_ref(), Fault::RpIdHash)
}

fn step_16_user_presence(data: &AuthenticatorData<'_>) -> Result<(), Fault> {
    require(data.flags.user_present(), Fault::UserPresence)
}

fn step_17_user_verification(
    data: &AuthenticatorData<'_>,
    demanded: UserVerification,
) -> Result<(), Fault> {
    require(
        data.flags.user_verified() || demanded == UserVerification::Preferred,
        Fault::UserVerification,
    )
}

fn step_18_backup_flags(data: &AuthenticatorData<'_>) -> Result<(), Fault> {
    require(
        data.flags.backup_eligible() || !data.flags.backed_up(),
        Fault::BackupFlags,
    )
}

fn step_19_backup_eligibility(
    data: &AuthenticatorData<'_>,
    record: &CredentialRecord,
    policy: BackupPolicy,
) -> Result<(), Fault> {
    require(
        data.flags.backup_eligible() == record.backup_eligible,
        Fault::BackupEligibilityChanged,
    )?;
    match policy {
        BackupPolicy::Any => Ok(()),
        BackupPolicy::DeviceBoundOnly => {
            require(!data.flags.backup_eligible(), Fault::BackupEligible)
        }
        BackupPolicy::NotBackedUp => require(!data.flags.backed_up(), Fault::BackedUp),
    }
}

fn step_21_signature(
    record: &CredentialRecord,
    authenticator_data: &[u8],
    client_data_hash: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    let key = PublicKey::from_cose(&record.public_key).map_err(Fault::PublicKey)?;
    let signed = [authenticator_data, client_data_hash].concat();
    require(
        key.algorithm == record.algorithm && key.verify(&signed, signature),
        Fault::Signature,
    )
}

fn step_22_sign_count(
    data: &AuthenticatorData<'_>,
    record: &CredentialRecord,
    policy: SignCountPolicy,
) -> Result<bool, Fault> {
    let unused = data.sign_count == 0 && record.sign_count == 0;
    let plausible = unused || data.sign_count > record.sign_count;
    require(
        plausible || policy == SignCountPolicy::Report,
        Fault::SignCount,
    )?;
    Ok(plausible)
}

fn require(holds: bool, otherwise: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise) }
}
