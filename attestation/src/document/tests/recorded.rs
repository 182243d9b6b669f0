//! Documents that AWS signed, and some that it did not.

use super::*;
use serde_json::Value;

fn vectors(test: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var("REDOUBT_VECTORS").ok();
    if folder.is_none() {
        println!("skipped: {test}: REDOUBT_VECTORS is not set");
    }
    folder.map(|folder| std::path::Path::new(&folder).join("nitro"))
}

#[test]
fn real_documents_verify_at_their_own_time_against_the_aws_root() {
    let Some(folder) = vectors("real_documents_verify_at_their_own_time_against_the_aws_root")
    else {
        return;
    };
    let index: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let mut seen = 0;
    for expected in index.iter().filter(|entry| entry["verdict"] == "OK") {
        let name = expected["file"].as_str().unwrap();
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let verified = verify(&bytes, &VendorRoot::aws_nitro(), Time::OfDocument)
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let document = &verified.document;
        assert_eq!(verified.debug, expected["debug"], "{name}");
        assert_eq!(document.pcrs.0.len() as u64, expected["npcr"], "{name}");
        assert_eq!(document.timestamp_ms, expected["timestamp"], "{name}");
        let nonzero: BTreeMap<String, Value> = document
            .pcrs
            .to_hex()
            .into_iter()
            .filter(|(_, value)| value.bytes().any(|b| b != b'0'))
            .map(|(index, value)| (index.to_string(), value.into()))
            .collect();
        assert_eq!(
            serde_json::to_value(nonzero).unwrap(),
            expected["pcrs"],
            "{name}"
        );
        for (field, value) in [
            ("user_data", &document.user_data),
            ("nonce", &document.nonce),
            ("public_key", &document.public_key),
        ] {
            let said = value.as_ref().map(|v| format!("{}B:", v.len()));
            match (expected[field].as_str(), said) {
                (Some(text), Some(said)) => assert!(text.starts_with(&said), "{name} {field}"),
                (None, None) => {}
                other => panic!("{name} {field}: {other:?}"),
            }
        }
        let late = verify(
            &bytes,
            &VendorRoot::aws_nitro(),
            Time::At(document.timestamp_ms + 24 * HOUR_MS),
        );
        assert_eq!(late.unwrap_err().code(), "certificate_expired", "{name}");
        let mut bent = bytes.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(
            refusal(&bent, &VendorRoot::aws_nitro()),
            "bad_signature",
            "{name}"
        );
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} documents were found");
}

#[test]
fn real_signatures_verify_in_the_second_implementation_too() {
    let Some(folder) = vectors("real_signatures_verify_in_the_second_implementation_too") else {
        return;
    };
    let name = "ok_2025-09-16_tkhq-rust-sdk_ce1e1c6e.cose";
    let bytes = std::fs::read(folder.join(name)).unwrap();
    verify_twice(&bytes, &VendorRoot::aws_nitro(), Time::OfDocument).unwrap();
}

#[test]
fn recorded_negatives_are_refused_and_the_recorded_twin_verifies() {
    let Some(folder) = vectors("recorded_negatives_are_refused_and_the_recorded_twin_verifies")
    else {
        return;
    };
    let folder = folder.join("negative");
    let judge = |name: &str| {
        row(
            &std::fs::read(folder.join(name)).unwrap(),
            &VendorRoot::aws_nitro(),
            None,
        )
    };
    for (name, reason) in [
        // Its unprotected header is null where a map belongs.
        ("blocky_selfsigned_attestation.cose", "wrong_type"),
        (
            "notaws_2024-12-13_marlinprotocol-oyster-monorepo_d8032479.cose",
            "root_not_pinned",
        ),
    ] {
        let row = judge(name);
        assert_eq!(
            (row.verdict, row.reason),
            (Verdict::Refuse, Some(reason)),
            "{name}"
        );
    }
    let twin =
        judge("malleable_twin_of_ok_2021-03-17_anjuna-security-go-nitro-attestation_234f1201.cose");
    assert_eq!(twin.verdict, Verdict::Accept, "{:?}", twin.reason);
}

#[test]
fn a_channel_binding_of_the_field_is_found_in_user_data() {
    let Some(folder) = vectors("a_channel_binding_of_the_field_is_found_in_user_data") else {
        return;
    };
    let name = "ok_2023-09-18_evervault-attestation-doc-validation_6f80ac25.cose";
    let document = Document::parse(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    let der = std::fs::read(folder.join("evervault_ga_channel_binding_cert.der")).unwrap();
    let spki = crate::genesis::spki_of(&der).unwrap();
    assert_eq!(document.user_data.unwrap(), spki);
}
