//! Section 8.5: SafetyNet verdicts signed by a service of our own.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::authenticator::*;
use super::cbor_writer::Item;
use super::certificates::*;
use super::expectations::*;
use crate::passkeys::*;

/// What a verdict says; each field can be bent.
struct Verdict {
    host: &'static str,
    algorithm: &'static str,
    nonce: fn(Vec<u8>) -> Vec<u8>,
    timestamp_ms: u64,
    cts_profile_match: bool,
    signature_bit: u8,
    policy: AttestationPolicy,
}

impl Default for Verdict {
    fn default() -> Self {
        Self {
            host: "attest.android.com",
            algorithm: "RS256",
            nonce: |nonce| nonce,
            timestamp_ms: NOW_MS - 1000,
            cts_profile_match: true,
            signature_bit: 0,
            policy: AttestationPolicy {
                formats: AttestationFormat::ALL.to_vec(),
                ..AttestationPolicy::default()
            },
        }
    }
}

impl Verdict {
    fn jws(&self, to_be_signed: &[u8]) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let mut params = packed_leaf();
        params.subject_alt_names = vec![rcgen::SanType::DnsName(self.host.try_into().unwrap())];
        let certificate = params.self_signed(&key).unwrap();
        let header = serde_json::json!({
            "alg": self.algorithm,
            "x5c": [STANDARD.encode(certificate.der())],
        });
        let payload = serde_json::json!({
            "nonce": STANDARD.encode((self.nonce)(sha256(to_be_signed))),
            "timestampMs": self.timestamp_ms,
            "ctsProfileMatch": self.cts_profile_match,
            "basicIntegrity": true,
        });
        let part =
            |json: &serde_json::Value| Base64Url::from(json.to_string().into_bytes()).encode();
        let input = format!("{}.{}", part(&header), part(&payload));
        let signer = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        let mut signature = vec![0; signer.public_modulus_len()];
        let random = SystemRandom::new();
        signer
            .sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature)
            .unwrap();
        signature[40] ^= self.signature_bit;
        format!("{input}.{}", Base64Url(signature).encode()).into_bytes()
    }

    fn register(self) -> Result<RegisteredCredential, CeremonyError> {
        let response = Authenticator::new().register_attested("android-safetynet", |data, hash| {
            Item::Map(vec![
                (Item::Text("ver"), Item::Text("252037029")),
                (
                    Item::Text("response"),
                    Item::Bytes(self.jws(&[data, hash].concat())),
                ),
            ])
        });
        let expected = Registration {
            attestation: self.policy,
            ..Registration::default()
        };
        expected.run(&response)
    }
}

#[test]
fn a_fresh_verdict_about_this_ceremony_is_verified() {
    let registered = Verdict::default().register().unwrap();
    assert_eq!(
        registered.attestation.format,
        AttestationFormat::AndroidSafetyNet
    );
    assert!(!registered.attestation.trusted);
}

#[test]
fn bent_verdicts_are_refused_for_their_own_reason() {
    let bent = |bend: &dyn Fn(&mut Verdict), reason: &str| {
        let mut verdict = Verdict::default();
        bend(&mut verdict);
        refused(verdict.register(), "7.1.22", reason);
    };
    bent(&|v| v.host = "attest.example.com", "safetynet_wrong_host");
    bent(&|v| v.algorithm = "none", "safetynet_algorithm_refused");
    bent(&|v| v.signature_bit = 1, "safetynet_signature_invalid");
    bent(&|v| v.nonce = |n| sha256(&n), "safetynet_nonce_mismatch");
    bent(&|v| v.timestamp_ms = NOW_MS - 61_000, "safetynet_stale");
    bent(&|v| v.timestamp_ms = NOW_MS + 11_000, "safetynet_stale");
    bent(
        &|v| v.cts_profile_match = false,
        "safetynet_cts_profile_mismatch",
    );
}

#[test]
fn default_policy_refuses_the_format() {
    let verdict = Verdict {
        policy: AttestationPolicy::default(),
        ..Verdict::default()
    };
    refused(verdict.register(), "7.1.21", "attestation_format_refused");
}

#[test]
fn an_unverified_origin_is_tolerated_only_while_trust_is_open() {
    let unverified = |trust| Verdict {
        host: "attest.example.com",
        policy: AttestationPolicy {
            safetynet_origin: SafetyNetOrigin::DangerouslyUnverified,
            trust,
            ..Verdict::default().policy
        },
        ..Verdict::default()
    };
    assert!(
        !unverified(TrustAnchors::Open)
            .register()
            .unwrap()
            .attestation
            .trusted
    );
    let judged = unverified(TrustAnchors::Roots(Vec::new())).register();
    refused(judged, "7.1.22", "safetynet_wrong_host");
}
