//! Ceremonies recorded by other projects.

use super::authenticator::*;
use super::expectations::*;
use crate::passkeys::conformance::{self, Row};
use crate::passkeys::*;

fn recorded() -> Option<String> {
    let folder = std::env::var_os("REDOUBT_VECTORS")?;
    let path = std::path::Path::new(&folder).join("webauthn/cases.json");
    Some(std::fs::read_to_string(path).unwrap())
}

#[test]
fn recorded_ceremonies_agree() {
    let Some(cases) = recorded() else {
        println!("skipped: recorded_ceremonies_agree: REDOUBT_VECTORS is not set");
        return;
    };
    let rows = conformance::rows(&cases).unwrap();
    assert!(rows.len() >= 80);
    let differ: Vec<&Row> = rows
        .iter()
        .filter(|row| row.verdict != row.expect)
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {}: {differ:#?}",
        differ.len(),
        rows.len()
    );
}

/// One SafetyNet recording was edited after Google signed it. With trust open
/// it counts as recorded; nobody's default policy would take it.
#[test]
fn a_recording_with_an_edited_verdict_is_refused_where_its_origin_counts() {
    let Some(cases) = recorded() else {
        println!(
            "skipped: a_recording_with_an_edited_verdict_is_refused: REDOUBT_VECTORS is not set"
        );
        return;
    };
    let file: serde_json::Value = serde_json::from_str(&cases).unwrap();
    let case = file["cases"].as_array().unwrap().iter();
    let case = case
        .clone()
        .find(|case| case["id"] == "go-webauthn/attestation_safetynet_test.go#8");
    let reg = &case.unwrap()["reg"];
    let response: RegistrationResponse = serde_json::from_value(serde_json::json!({
        "id": reg["id"], "rawId": reg["id"], "type": "public-key", "response": {
            "clientDataJSON": reg["clientDataJSON"], "attestationObject": reg["attestationObject"],
        },
    }))
    .unwrap();
    let challenge: Base64Url = serde_json::from_value(reg["challenge"].clone()).unwrap();
    let mut expected = Registration {
        challenge: challenge.0,
        rp_id: "webauthn.io",
        origins: vec!["https://webauthn.io".to_owned()],
        user_verification: UserVerification::Preferred,
        ..Registration::default()
    };
    refused(
        expected.run(&response),
        "7.1.21",
        "attestation_format_refused",
    );
    expected.attestation.formats = AttestationFormat::ALL.to_vec();
    refused(
        expected.run(&response),
        "7.1.22",
        "safetynet_signature_invalid",
    );
    expected.attestation.safetynet_origin = SafetyNetOrigin::DangerouslyUnverified;
    expected.attestation.trust = TrustAnchors::Roots(Vec::new());
    refused(
        expected.run(&response),
        "7.1.22",
        "safetynet_signature_invalid",
    );
}

#[test]
fn a_file_of_another_shape_is_refused() {
    for not_recordings in ["", "{}", "[]", r#"{"cases":{}}"#] {
        assert!(conformance::rows(not_recordings).is_err());
    }
}

fn case(authenticator: &Authenticator, note: &str) -> serde_json::Value {
    let response = authenticator.assert();
    serde_json::json!({"cases": [{
        "id": "own/assertion", "rp_id": RP_ID, "origin": ORIGIN, "expect": "ok", "note": note,
        "auth": {
            "id": response.raw_id, "challenge": Base64Url::from(CHALLENGE),
            "clientDataJSON": response.response.client_data_json,
            "authenticatorData": response.response.authenticator_data,
            "signature": response.response.signature,
            "credential_public_key": Base64Url::from(authenticator.key.cose()),
        },
    }]})
}

#[test]
fn what_a_recording_says_of_its_policy_is_heeded() {
    let mut authenticator = Authenticator::new();
    authenticator.sign_count = 5;
    authenticator.flags = UP;
    let row = |note: &str| {
        conformance::rows(&case(&authenticator, note).to_string())
            .unwrap()
            .remove(0)
    };
    assert_eq!(row("stored sign_count=4 uv=None").verdict, "ok");
    let stale = row("stored sign_count=5 uv=None");
    assert_eq!(
        (stale.verdict, stale.step, stale.reason),
        ("error", Some("7.2.22"), Some("sign_count_not_increased"))
    );
    assert_eq!(row("stored sign_count=4 uv=True").step, Some("7.2.17"));
    let json = serde_json::to_value(row("")).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"id": "own/assertion", "expect": "ok", "verdict": "ok", "step": null, "reason": null})
    );
}

#[test]
fn one_unreadable_recording_does_not_hide_the_others() {
    let mut file = case(&Authenticator::new(), "");
    let good = file["cases"][0].clone();
    let mut padded = good.clone();
    let signature = padded["auth"]["signature"].as_str().unwrap();
    padded["auth"]["signature"] = format!("{signature}==").into();
    let broken = serde_json::json!({"id": "broken", "expect": "error", "auth": 7});
    file["cases"] = vec![broken, good, padded].into();
    let rows = conformance::rows(&file.to_string()).unwrap();
    let verdicts: Vec<_> = rows.iter().map(|row| row.verdict).collect();
    assert_eq!(verdicts, ["error", "ok", "ok"]);
    assert_eq!(
        (rows[0].id.as_str(), rows[0].reason),
        ("broken", Some("recording_malformed"))
    );
}
