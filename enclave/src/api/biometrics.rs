//! Enrolment of a face or a voice, and verification of either or of both together.
//!
//! Protects against: samples that linger. A sample is wiped when it is dropped
//! and cannot be printed.

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use redoubt_shared::{EnrollmentId, UserId, VerificationId};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::Document;
use super::liveness::{ActiveLiveness, LivenessAnswer};
use super::spoken::{SpokenAnswer, SpokenDigits};
use super::text::{SessionToken, Text, Timestamp, id};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// A face.
    Facial,
    /// A voice.
    Voice,
    /// Both.
    Multimodal,
}

/// The customer's device, as the bank knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceInfo {
    /// Such as `mobile`.
    #[serde(rename = "type", default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub kind: Option<Text<64>>,
    /// Such as `iOS 19`.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub os: Option<Text<64>>,
    /// The bank's name for the device.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub device_id: Option<Text<128>>,
}

/// Starts an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollInitiate {
    /// The bank's name for its customer.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: UserId,
    /// What will be enrolled.
    pub modality: Modality,
    /// Must be true: the customer agreed to this enrolment.
    pub consent_given: bool,
    /// The customer's device.
    #[serde(default)]
    pub device_info: Option<DeviceInfo>,
}

/// An enrolment was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnrollInitiated {
    /// Names the enrolment.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub enrollment_id: EnrollmentId,
    /// Authorizes the submission.
    #[schema(value_type = String)]
    pub session_token: SessionToken,
    /// When the enrolment ends unfinished (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// For the customer.
    pub instructions: String,
}

/// Names the enrolment a sample is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EnrollSubmit {
    /// From the reply of `enroll/initiate`.
    #[serde(with = "id")]
    #[param(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub enrollment_id: EnrollmentId,
    /// From the reply of `enroll/initiate`.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    pub session_token: SessionToken,
}

/// Whether a live person was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Nobody looked: policy wants none, or it is a voice.
    NotEvaluated,
    /// Judged live.
    Passed,
    /// Judged not live.
    Failed,
}

impl From<Option<crate::core::Liveness>> for Liveness {
    fn from(seen: Option<crate::core::Liveness>) -> Self {
        match seen {
            Some(seen) if seen.passed => Self::Passed,
            Some(_) => Self::Failed,
            None => Self::NotEvaluated,
        }
    }
}

/// An enrolment was completed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Enrolled {
    /// Names the enrolment.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub enrollment_id: EnrollmentId,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// What was enrolled.
    pub modality: Modality,
    /// Always `completed`.
    pub status: &'static str,
    /// Version of the template's models.
    pub embedding_version: String,
    /// Quality of the sample, 0 to 1; of several the lowest.
    pub quality_score: f32,
    /// Whether a live person was seen.
    pub liveness_result: Liveness,
    /// 0 to 1, or null when not evaluated.
    pub liveness_confidence: Option<f32>,
    /// What came of a challenge; null where none was answered.
    pub active_liveness: Option<ActiveLiveness>,
    /// Always true: templates exist sealed only.
    pub encrypted: bool,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub enrollment_date: Timestamp,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

/// Where the customer is, as the bank knows it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Geolocation {
    /// Degrees north.
    #[serde(deserialize_with = "degrees::<90, _>")]
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Degrees east.
    #[serde(deserialize_with = "degrees::<180, _>")]
    #[schema(minimum = -180, maximum = 180)]
    pub lng: f64,
}

fn degrees<'de, const MAX: u32, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.abs() <= f64::from(MAX) {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format_args!(
        "use degrees from -{MAX} to {MAX}"
    )))
}

/// Compares a sample with the customer's template.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The bank's name for its customer.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: UserId,
    /// What is compared.
    pub modality: Modality,
    /// JPEG, PNG or WebP of a face, WAV, FLAC or Opus (in Ogg or WebM) of a voice, in base64 (standard or url alphabet), at most 8 MiB before encoding.
    /// Left out where `liveness` has frames in its place, or `spoken` the recording.
    #[serde(default)]
    #[schema(value_type = String, required = false, min_length = 2, pattern = r"^(([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?|([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw](==)?|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?)?)$")]
    pub biometric_data: Sample,
    /// Of a face: the answer to a challenge, in place of one picture.
    #[serde(default)]
    pub liveness: Option<LivenessAnswer>,
    /// For `multimodal`, and only then: WAV, FLAC or Opus (in Ogg or WebM) of a voice, while `biometric_data` is the
    /// picture; in base64, both together at most 8 MiB before encoding.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 2, pattern = r"^(([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?|([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw](==)?|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?)?)$")]
    pub voice_data: Option<Sample>,
    /// Of a voice, alone or beside a face: the answer to a challenge that asked for digits, in
    /// place of `biometric_data` or `voice_data`.
    #[serde(default)]
    pub spoken: Option<SpokenAnswer>,
    /// The customer's device.
    #[serde(default)]
    pub device_info: Option<DeviceInfo>,
    /// Where the customer is.
    #[serde(default)]
    pub geolocation: Option<Geolocation>,
    /// The customer's address.
    #[serde(default)]
    #[schema(schema_with = address)]
    pub ip_address: Option<IpAddr>,
}

/// The customer's address: of either version, or null.
fn address() -> Schema {
    let of = |format| {
        let format = Some(SchemaFormat::KnownFormat(format));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(format)
    };
    OneOfBuilder::new()
        .item(of(KnownFormat::Ipv4))
        .item(of(KnownFormat::Ipv6))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some("The customer's address."))
        .build()
        .into()
}

/// What the comparison said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The same person.
    Verified,
    /// Not shown to be the same person.
    Rejected,
    /// The same person, as far as the sample shows, and too unusual to count.
    Suspicious,
}

/// What followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionTaken {
    /// Recorded in the ledger.
    Logged,
    /// Recorded, and the security team is told.
    AlertSent,
    /// Recorded, told, and the account is locked now.
    AccountLocked,
}

/// Signals about the attempt.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SecurityFlags {
    /// How unusual it was, 0 to 1: from 0.3 on it is watched, from 0.7 on the security
    /// team is told and a match is `suspicious`.
    pub fraud_score: f64,
    /// Why, in stable words.
    pub anomalies: Vec<String>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Verification {
    /// Names the attempt.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub verification_id: VerificationId,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// What the comparison said.
    pub result: Verdict,
    /// Coarse on purpose; 0 to 1.
    pub confidence_score: f32,
    /// What was compared.
    pub modality: Modality,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Null when not evaluated.
    pub liveness_passed: Option<bool>,
    /// What came of a challenge; null where none was answered.
    pub active_liveness: Option<ActiveLiveness>,
    /// What came of digits that were to be read; null where none were answered.
    pub spoken_digits: Option<SpokenDigits>,
    /// Whether the sample passed the quality gate.
    pub quality_passed: bool,
    /// Signals about the attempt.
    pub security_flags: SecurityFlags,
    /// What followed.
    pub action_taken: ActionTaken,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

/// A biometric sample as it arrived. Wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sample(Zeroizing<Vec<u8>>);

const STANDARD: GeneralPurpose = lenient(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = lenient(&alphabet::URL_SAFE);

const fn lenient(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

impl VerifyRequest {
    /// Whether each modality is there in one form, and nothing else is.
    pub fn is_one(&self) -> bool {
        let data = !self.biometric_data.as_bytes().is_empty();
        let (frames, read) = (self.liveness.is_some(), self.spoken.is_some());
        let voice = self.voice_data.is_some();
        match self.modality {
            Modality::Facial => data != frames && !voice && !read,
            Modality::Voice => data != read && !voice && !frames,
            Modality::Multimodal => data != frames && voice != read,
        }
    }

    /// Bytes of whatever there is.
    pub fn bytes(&self) -> usize {
        let frames = self.liveness.as_ref().map_or(0, LivenessAnswer::bytes);
        let read = self.spoken.as_ref().map(|answer| &answer.audio);
        let recordings = self.voice_data.iter().chain(read);
        let recordings: usize = recordings.map(|one| one.as_bytes().len()).sum();
        self.biometric_data.as_bytes().len() + frames + recordings
    }
}

impl Sample {
    /// Takes over bytes as received.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Hands the bytes on; the receiver wipes them.
    pub fn into_bytes(mut self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut self.0)
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sample(…)")
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decoder;
        impl Visitor<'_> for Decoder {
            type Value = Sample;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 sample")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sample, E> {
                let url = text.bytes().any(|byte| byte == b'-' || byte == b'_');
                let engine = if url { &URL_SAFE } else { &STANDARD };
                let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
                engine
                    .decode_vec(text, &mut bytes)
                    .map_err(|_| E::custom("use base64"))?;
                if bytes.is_empty() {
                    return Err(E::custom("the sample is empty"));
                }
                Ok(Sample(bytes))
            }
        }
        deserializer.deserialize_str(Decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_read_in_either_alphabet_padded_or_not() {
        for text in ["-_8", "-_8=", "+/8", "+/8="] {
            let sample: Sample = serde_json::from_str(&format!("{text:?}")).unwrap();
            assert_eq!(sample.as_bytes(), [0xfb, 0xff], "{text}");
        }
        for wrong in ["", "+_8", "a", "%%%%", "-_8=="] {
            assert!(serde_json::from_str::<Sample>(&format!("{wrong:?}")).is_err());
        }
    }

    #[test]
    fn places_off_the_map_are_refused() {
        let read = |text| serde_json::from_str::<Geolocation>(text);
        assert!(read(r#"{"lat":48.2,"lng":16.4}"#).is_ok());
        assert!(read(r#"{"lat":91,"lng":0}"#).is_err());
        assert!(read(r#"{"lat":0,"lng":-180.5}"#).is_err());
    }

    #[test]
    fn each_modality_is_sent_in_one_form() {
        let id = "0".repeat(32);
        let frames = format!(r#""liveness":{{"challenge_id":"{id}","frames":["AAAA"]}}"#);
        let read = format!(r#""spoken":{{"challenge_id":"{id}","audio":"AAAA"}}"#);
        let (data, voice) = (r#""biometric_data":"AAAA""#, r#""voice_data":"AAAA""#);
        let members = [data, &frames, voice, &read];
        // Data, frames, a voice beside a face, digits: a bit for each, as they stand here.
        let good = [
            ("facial", vec![0b0001, 0b0010]),
            ("voice", vec![0b0001, 0b1000]),
            ("multimodal", vec![0b0101, 0b0110, 0b1001, 0b1010]),
        ];
        for (modality, good) in good {
            for bits in 0..16 {
                let mut text = format!(r#"{{"user_id":"a","modality":"{modality}""#);
                let there = members
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| bits >> at & 1 == 1);
                let count = there.clone().count();
                there.for_each(|(_, member)| text = format!("{text},{member}"));
                let request: VerifyRequest = serde_json::from_str(&(text + "}")).unwrap();
                assert_eq!(
                    request.is_one(),
                    good.contains(&bits),
                    "{modality} {bits:b}"
                );
                assert_eq!(request.bytes(), 3 * count);
            }
        }
        let text = format!(r#"{{"challenge_id":"{id}","audio":"AAAA","digits":"1"}}"#);
        assert!(serde_json::from_str::<SpokenAnswer>(&text).is_err());
    }

    #[test]
    fn a_misspelt_member_is_refused() {
        let text = r#"{"user_id":"a","modality":"facial","consent_gives":true}"#;
        assert!(serde_json::from_str::<EnrollInitiate>(text).is_err());
    }
}
