//! Registering a credential: Level 3 §7.1, one function per step.
//!
//! Protects against a credential that was made for somebody else, elsewhere, by
//! something else, or that is another user's already. Steps are numbered by
//! their position in the list of §7.1; steps 1, 2 and 29 are the caller's.

use aws_lc_rs::digest;

use super::algorithm::Algorithm;
use super::attestation::{self, AttestationFormat, AttestationOutcome, Statement};
use super::authenticator_data::{
    AttestedCredential, AuthenticatorData, AuthenticatorDataError, MAX_CREDENTIAL_ID_BYTES,
};
use super::cbor::{self, Form, Value};
use super::client_data::ClientData;
use super::error::{CeremonyError, Fault};
use super::policy::{BackupPolicy, RegistrationExpectation, UserPresence, UserVerification};
use super::public_key::PublicKey;
use super::record::CredentialRecord;
use super::wire::{PUBLIC_KEY, RegistrationResponse};

/// Longest attestation object that is read.
const MAX_ATTESTATION_OBJECT_BYTES: usize = 64 * 1024;
/// Transports that are kept of a response, and the longest name of one.
const MAX_TRANSPORTS: usize = 8;
const MAX_TRANSPORT_BYTES: usize = 32;

/// A verified registration.
#[derive(Debug, Clone)]
pub struct RegisteredCredential {
    /// The record to store with the account.
    pub record: CredentialRecord,
    /// What the attestation statement proved.
    pub attestation: AttestationOutcome,
    /// Whether the user was verified during registration.
    pub user_verified: bool,
    /// Authenticator extension outputs, a CBOR map, when there are any.
    pub extensions: Option<Vec<u8>>,
    /// The origin the browser named.
    pub origin: String,
}

/// Verifies a registration response against what was expected of it.
///
/// # Errors
/// The first step of §7.1 that does not hold.
pub fn register(
    response: &RegistrationResponse,
    expected: &RegistrationExpectation<'_>,
) -> Result<RegisteredCredential, CeremonyError> {
    verify(response, expected).map_err(CeremonyError::registration)
}

fn verify(
    response: &RegistrationResponse,
    expected: &RegistrationExpectation<'_>,
) -> Result<RegisteredCredential, Fault> {
    step_3_response(response)?;
    let client_data_json = response.response.client_data_json.as_slice();
    let text = ClientData::utf8(client_data_json)?; // step 5
    let client_data = ClientData::parse(text)?; // step 6
    client_data.check_type("webauthn.create")?; // step 7
    client_data.check_challenge(expected.challenge)?; // step 8
    client_data.check_origin(expected.rp_id, &expected.origins)?; // step 9
    client_data.check_cross_origin(&expected.cross_origin)?; // step 10
    client_data.check_top_origin(&expected.cross_origin)?; // step 11
    let hash = sha256(client_data_json); // step 12

    let object = step_13_decode(response.response.attestation_object.as_slice())?;
    let (data, credential) = step_13_authenticator_data(object.authenticator_data)?;
    step_14_rp_id_hash(&data, expected.rp_id)?;
    step_15_user_presence(&data, expected.user_presence)?;
    step_16_user_verification(&data, expected.user_verification)?;
    step_17_backup_flags(&data)?;
    step_18_backup_eligibility(&data, expected.backup)?;
    step_19_backup_state(&data, expected.backup)?;
    let public_key = step_20_algorithm(&credential, expected.algorithms)?;
    let format = step_21_format(object.format, &expected.attestation.formats)?;

    let statement = Statement {
        authenticator_data: &data,
        authenticator_data_bytes: object.authenticator_data,
        credential: &credential,
        public_key: &public_key,
        client_data_hash: hash.as_ref(),
        policy: expected.attestation,
        now_ms: expected.now_ms,
    };
    let verified = attestation::verify(format, &object.statement, &statement) // step 22
        .map_err(Fault::Statement)?;
    let outcome = attestation::assess(verified, &statement).map_err(Fault::Trust)?; // 23, 24
    step_25_credential_id_length(&credential)?;
    step_26_credential_id_free(&credential, expected.is_registered)?;
    let record = step_27_record(
        response,
        expected,
        &data,
        &credential,
        &outcome,
        &public_key,
    )?;
    Ok(RegisteredCredential {
        record,
        attestation: outcome,
        user_verified: data.flags.user_verified(),
        extensions: data.extensions.map(<[u8]>::to_vec), // step 28: the caller's to use
        origin: client_data.origin().to_owned(),
    })
}

fn step_3_response(response: &RegistrationResponse) -> Result<(), Fault> {
    require(
        response.kind == PUBLIC_KEY && response.id == response.raw_id,
        Fault::Response,
    )?;
    require(
        response.response.attestation_object.0.len() <= MAX_ATTESTATION_OBJECT_BYTES,
        Fault::TooLong,
    )
}

/// The three members of an attestation object (§6.5.4).
struct AttestationObject<'a> {
    format: &'a str,
    statement: Value<'a>,
    authenticator_data: &'a [u8],
}

fn step_13_decode(bytes: &[u8]) -> Result<AttestationObject<'_>, Fault> {
    let value = cbor::decode(bytes, Form::WellFormed).map_err(Fault::AttestationObjectCbor)?;
    let map = value.as_map().ok_or(Fault::AttestationObjectMembers)?;
    let members = (
        map.text("fmt").and_then(Value::as_text),
        map.text("attStmt"),
        map.text("authData").and_then(Value::as_bytes),
    );
    match members {
        (Some(format), Some(statement), Some(authenticator_data)) => Ok(AttestationObject {
            format,
            statement: statement.clone(),
            authenticator_data,
        }),
        _ => Err(Fault::AttestationObjectMembers),
    }
}

fn step_13_authenticator_data(
    bytes: &[u8],
) -> Result<(AuthenticatorData<'_>, AttestedCredential<'_>), Fault> {
    let data =
        AuthenticatorData::parse(bytes, Form::Ctap2Canonical).map_err(Fault::AuthenticatorData)?;
    match data.attested_credential.clone() {
        Some(credential) => Ok((data, credential)),
        None => Err(Fault::AuthenticatorData(
            AuthenticatorDataError::AttestedCredentialMissing,
        )),
    }
}

fn step_14_rp_id_hash(data: &AuthenticatorData<'_>, rp_id: &str) -> Result<(), Fault> {
    require(
        data.rp_id_hash == sha256(rp_id.as_bytes()).as_ref(),
        Fault::RpIdHash,
    )
}

fn step_15_user_presence(
    data: &AuthenticatorData<'_>,
    demanded: UserPresence,
) -> Result<(), Fault> {
    require(
        data.flags.user_present() || demanded == UserPresence::ConditionalMediation,
        Fault::UserPresence,
    )
}

fn step_16_user_verification(
    data: &AuthenticatorData<'_>,
    demanded: UserVerification,
) -> Result<(), Fault> {
    require(
        data.flags.user_verified() || demanded == UserVerification::Preferred,
        Fault::UserVerification,
    )
}

fn step_17_backup_flags(data: &AuthenticatorData<'_>) -> Result<(), Fault> {
    require(
        data.flags.backup_eligible() || !data.flags.backed_up(),
        Fault::BackupFlags,
    )
}

fn step_18_backup_eligibility(
    data: &AuthenticatorData<'_>,
    policy: BackupPolicy,
) -> Result<(), Fault> {
    require(
        !data.flags.backup_eligible() || policy != BackupPolicy::DeviceBoundOnly,
        Fault::BackupEligible,
    )
}

fn step_19_backup_state(data: &AuthenticatorData<'_>, policy: BackupPolicy) -> Result<(), Fault> {
    require(
        !data.flags.backed_up() || policy == BackupPolicy::Any,
        Fault::BackedUp,
    )
}

fn step_20_algorithm(
    credential: &AttestedCredential<'_>,
    requested: &[Algorithm],
) -> Result<PublicKey, Fault> {
    let key = PublicKey::from_map(&credential.public_key_map).map_err(Fault::PublicKey)?;
    require(requested.contains(&key.algorithm), Fault::Algorithm)?;
    Ok(key)
}

fn step_21_format(name: &str, accepted: &[AttestationFormat]) -> Result<AttestationFormat, Fault> {
    AttestationFormat::from_identifier(name)
        .filter(|format| accepted.contains(format))
        .ok_or(Fault::Format)
}

fn step_25_credential_id_length(credential: &AttestedCredential<'_>) -> Result<(), Fault> {
    require(
        (1..=MAX_CREDENTIAL_ID_BYTES).contains(&credential.credential_id.len()),
        Fault::CredentialIdTooLong,
    )
}

fn step_26_credential_id_free(
    credential: &AttestedCredential<'_>,
    is_registered: &dyn Fn(&[u8]) -> bool,
) -> Result<(), Fault> {
    require(
        !is_registered(credential.credential_id),
        Fault::CredentialIdTaken,
    )
}

/// The id is taken from what the authenticator signed; the client's copy has to
/// agree, or one credential could be registered under another's name.
fn step_27_record(
    response: &RegistrationResponse,
    expected: &RegistrationExpectation<'_>,
    data: &AuthenticatorData<'_>,
    credential: &AttestedCredential<'_>,
    outcome: &AttestationOutcome,
    public_key: &PublicKey,
) -> Result<CredentialRecord, Fault> {
    require(
        response.raw_id.as_slice() == credential.credential_id,
        Fault::CredentialIdMismatch,
    )?;
    Ok(CredentialRecord {
        id: credential.credential_id.to_vec(),
        public_key: credential.public_key.to_vec(),
        algorithm: public_key.algorithm,
        sign_count: data.sign_count,
        uv_initialized: data.flags.user_verified(),
        transports: kept_transports(&response.response.transports),
        backup_eligible: data.flags.backup_eligible(),
        backup_state: data.flags.backed_up(),
        attestation_format: outcome.format,
        attestation_trusted: outcome.trusted,
        aaguid: credential.aaguid,
        created_ms: expected.now_ms,
    })
}

/// Unknown transport names are kept (§5.8.4 asks for that), within bounds.
fn kept_transports(reported: &[String]) -> Vec<String> {
    let plausible = |name: &&String| (1..=MAX_TRANSPORT_BYTES).contains(&name.len());
    reported
        .iter()
        .filter(plausible)
        .take(MAX_TRANSPORTS)
        .cloned()
        .collect()
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn require(holds: bool, otherwise: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise) }
}
