//! §8.5 `android-safetynet`: Google's verdict about a phone, as a JWS.
//!
//! Google switched the service off in 2025 and the specification deprecates the
//! format, so default policy refuses it; old recordings still verify.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use x509_parser::extensions::GeneralName;

use super::super::algorithm::Algorithm;
use super::super::cbor::Value;
use super::super::policy::{AttestationPolicy, SafetyNetOrigin};
use super::x509::Certificate;
use super::{AttestationFormat, AttestationType, Statement, TrustAnchors, Verified, syntax};

checks! {
    /// Why an `android-safetynet` statement is refused.
    SafetyNetError {
        Syntax = "safetynet_syntax", "the statement is not (ver, response)";
        Jws = "safetynet_jws_malformed", "the response is not a JWS in compact serialization with x5c";
        Algorithm = "safetynet_algorithm_refused", "the JWS algorithm is not RS256";
        Certificate = "safetynet_certificate_malformed", "the signing certificate cannot be read";
        Host = "safetynet_wrong_host", "the signing certificate is not for attest.android.com";
        Signature = "safetynet_signature_invalid", "the JWS signature does not verify";
        Nonce = "safetynet_nonce_mismatch", "the verdict's nonce is not that of this ceremony";
        Timestamp = "safetynet_stale", "the verdict is older than policy accepts, or from the future";
        Integrity = "safetynet_cts_profile_mismatch", "the device does not pass Google's compatibility profile";
    }
}

const HOST: &str = "attest.android.com";
/// How far a verdict may be ahead of our clock.
const CLOCK_SKEW_MS: u64 = 10_000;

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    nonce: String,
    timestamp_ms: u64,
    cts_profile_match: bool,
}

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, SafetyNetError> {
    let map = syntax::members(att_stmt, &["ver", "response"]).ok_or(SafetyNetError::Syntax)?;
    let version = map.text("ver").and_then(Value::as_text);
    require(version.is_some(), SafetyNetError::Syntax)?;
    let response = syntax::bytes(map, "response").ok_or(SafetyNetError::Syntax)?;
    let jws = Jws::parse(response).ok_or(SafetyNetError::Jws)?;
    let path = jws.certificates()?;
    if origin_is_judged(statement.policy) {
        jws.check_origin(&path)?;
    }
    check_payload(&jws.payload, statement)?;
    Ok(Verified {
        format: AttestationFormat::AndroidSafetyNet,
        kind: AttestationType::BasicOrAttCa,
        trust_path: path,
        parts: Vec::new(),
    })
}

struct Jws<'a> {
    header: Header,
    payload: Payload,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    fn parse(response: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(response).ok()?;
        let (signing_input, signature) = text.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            header: serde_json::from_slice(&decode(header)?).ok()?,
            payload: serde_json::from_slice(&decode(payload)?).ok()?,
            signing_input,
            signature: decode(signature)?,
        })
    }

    fn certificates(&self) -> Result<Vec<Vec<u8>>, SafetyNetError> {
        let decoded = self.header.x5c.iter().map(|der| STANDARD.decode(der).ok());
        let path: Option<Vec<Vec<u8>>> = decoded.collect();
        path.filter(|path| !path.is_empty())
            .ok_or(SafetyNetError::Jws)
    }

    /// Whether the verdict came from the service: host name and signature. That
    /// the certificates chain to a root is judged with all other trust paths.
    fn check_origin(&self, path: &[Vec<u8>]) -> Result<(), SafetyNetError> {
        let leaf = path.first().ok_or(SafetyNetError::Jws)?;
        let certificate = Certificate::parse(leaf).ok_or(SafetyNetError::Certificate)?;
        require(is_for_host(&certificate), SafetyNetError::Host)?;
        let key = certificate
            .public_key()
            .ok_or(SafetyNetError::Certificate)?;
        require(self.header.alg == "RS256", SafetyNetError::Algorithm)?;
        let input = self.signing_input.as_bytes();
        let verifies = key.verify(Algorithm::Rs256, input, &self.signature);
        require(verifies, SafetyNetError::Signature)
    }
}

fn origin_is_judged(policy: &AttestationPolicy) -> bool {
    policy.safetynet_origin == SafetyNetOrigin::Verified
        || !matches!(policy.trust, TrustAnchors::Open)
}

fn is_for_host(certificate: &Certificate<'_>) -> bool {
    let named =
        |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(host) if *host == HOST);
    certificate.alternative_names().iter().any(named)
        || certificate.subject().common_name() == Some(HOST)
}

fn check_payload(payload: &Payload, statement: &Statement<'_>) -> Result<(), SafetyNetError> {
    let nonce = digest::digest(&digest::SHA256, &statement.to_be_signed());
    require(
        payload.nonce == STANDARD.encode(nonce.as_ref()),
        SafetyNetError::Nonce,
    )?;
    if let Some(max_age) = statement.policy.safetynet_max_age_ms {
        let oldest = statement.now_ms.saturating_sub(max_age);
        let newest = statement.now_ms.saturating_add(CLOCK_SKEW_MS);
        require(
            (oldest..=newest).contains(&payload.timestamp_ms),
            SafetyNetError::Timestamp,
        )?;
    }
    require(payload.cts_profile_match, SafetyNetError::Integrity)
}

fn require(holds: bool, otherwise: SafetyNetError) -> Result<(), SafetyNetError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
