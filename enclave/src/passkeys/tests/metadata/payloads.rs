//! What the payload says, and that its number never goes back.

use super::*;
use crate::passkeys::metadata::Seen;

#[test]
fn each_bent_payload_has_its_name() {
    let service = Service::new();
    let top = |member: &str, value: Value| {
        let mut payload = payload();
        payload[member] = value;
        payload
    };
    let entry = |member: &str, value: Value| {
        let mut payload = payload();
        payload["entries"][0][member] = value;
        payload
    };
    let report = |report: Value| entry("statusReports", json!([report]));
    let mut unnamed = payload();
    unnamed["entries"][0]
        .as_object_mut()
        .unwrap()
        .remove("aaguid");
    let roots = json!({"attestationRootCertificates": vec![""; 513]});
    let cases = [
        (json!([]), "payload_malformed"),
        (top("no", json!(-1)), "payload_malformed"),
        (top("no", json!("7")), "payload_malformed"),
        (top("no", json!(7.5)), "payload_malformed"),
        (top("entries", json!({})), "payload_malformed"),
        (entry("statusReports", Value::Null), "payload_malformed"),
        (report(json!({})), "payload_malformed"),
        (report(json!({"status": 1})), "payload_malformed"),
        (top("nextUpdate", json!("2026-7-1")), "date_malformed"),
        (top("nextUpdate", json!("2026-02-30")), "date_malformed"),
        (top("nextUpdate", json!("2026-07-01Z")), "date_malformed"),
        (top("nextUpdate", json!("+026-07-01")), "date_malformed"),
        (
            report(json!({"status": "REVOKED", "effectiveDate": "soon"})),
            "date_malformed",
        ),
        (entry("aaguid", json!("0011")), "identifier_malformed"),
        (
            entry("aaguid", json!(AAGUID.replace('-', ""))),
            "identifier_malformed",
        ),
        (
            entry("aaguid", json!(AAGUID.replace('a', "g"))),
            "identifier_malformed",
        ),
        (entry("aaid", json!("1234-5678")), "identifier_malformed"),
        (entry("aaid", json!("1234#567")), "identifier_malformed"),
        (
            entry("attestationCertificateKeyIdentifiers", json!(["00"])),
            "identifier_malformed",
        ),
        (unnamed, "identifier_missing"),
        (
            top("entries", json!(vec![json!({"statusReports": []}); 8193])),
            "payload_too_many",
        ),
        (entry("metadataStatement", roots), "payload_too_many"),
    ];
    for (payload, reason) in cases {
        refused(service.verify(&service.blob(&payload)), reason);
    }
    let text = payload().to_string();
    let header = service.header().to_string();
    let raw = [
        text.replacen('{', r#"{"no":8,"#, 1),
        format!("{text}{{}}"),
        format!("\u{feff}{text}"),
        String::new(),
    ];
    for text in raw {
        refused(
            service.verify(&service.sign(&header, &text)),
            "payload_malformed",
        );
    }
}

#[test]
fn the_number_never_goes_back_and_names_one_payload() {
    let service = Service::new();
    let numbered = |no: u64| {
        let mut payload = payload();
        payload["no"] = json!(no);
        service.blob(&payload)
    };
    let seven = service.verify(&numbered(7)).unwrap().seen;
    let after = |blob: &str| service.verify_as(blob, |expected| expected.last = Some(seven));
    // Signed anew, yet the same payload.
    assert_eq!(after(&numbered(7)).unwrap().seen, seven);
    assert_eq!(after(&numbered(122)).unwrap().seen.number, 122);
    refused(after(&numbered(6)), "number_rolled_back");
    refused(after(&numbered(0)), "number_rolled_back");
    let mut other = payload();
    other["nextUpdate"] = json!("2026-08-01");
    refused(after(&service.blob(&other)), "number_forked");
}

#[test]
fn an_old_blob_is_a_rollback_even_when_its_certificates_have_expired() {
    let service = Service::new();
    let blob = service.blob(&payload());
    let later = NOW_MS + 400 * DAY_MS;
    let last = Seen {
        number: 8,
        digest: [0; 32],
    };
    let judged = |service: &Service, blob: &str| {
        service.verify_as(blob, |expected| {
            expected.now_ms = later;
            expected.last = Some(last);
        })
    };
    refused(judged(&service, &blob), "number_rolled_back");
    // What the service never signed is a forgery first of all.
    let impostor = Service::new().blob(&payload());
    refused(judged(&service, &impostor), "certificate_expired");
    let forged = service.verify_as(&impostor, |expected| expected.last = Some(last));
    refused(forged, "root_not_trusted");
}

#[test]
fn once_the_next_update_is_due_policy_decides() {
    let service = Service::new();
    let at = |day: &str, overdue| {
        let mut payload = payload();
        payload["nextUpdate"] = json!(day);
        service.verify_as(&service.blob(&payload), |expected| {
            expected.overdue = overdue;
        })
    };
    assert!(!at("2026-06-15", Overdue::Refuse).unwrap().overdue);
    assert!(at("2026-06-14", Overdue::Accept).unwrap().overdue);
    refused(at("2026-06-14", Overdue::Refuse), "next_update_past");
    let mut undated = payload();
    undated.as_object_mut().unwrap().remove("nextUpdate");
    let blob = service.blob(&undated);
    let metadata = service.verify_as(&blob, |expected| expected.overdue = Overdue::Refuse);
    assert_eq!(metadata.unwrap().next_update, None);
}

#[test]
fn models_are_found_by_each_kind_of_identifier() {
    let service = Service::new();
    let identifier = "2806df6c60b1656a78f97a28e168e5ec8d2937b4";
    let mut payload = payload();
    payload["entries"] = json!([
        {"aaguid": AAGUID.to_uppercase(), "statusReports": []},
        {"aaid": "4E4E#4005", "statusReports": []},
        {"attestationCertificateKeyIdentifiers": [identifier], "statusReports": []},
        {"attestationCertificateKeyIdentifiers": ["00".repeat(20), identifier], "statusReports": []},
    ]);
    let metadata = service.verify(&service.blob(&payload)).unwrap();
    let aaguid = u128::from_str_radix(&AAGUID.replace('-', ""), 16).unwrap();
    assert_eq!(metadata.of_aaguid(aaguid.to_be_bytes()).count(), 1);
    assert_eq!(metadata.of_aaguid([0; 16]).count(), 0);
    assert_eq!(metadata.of_aaid("4e4e#4005").count(), 1);
    assert_eq!(metadata.of_aaid("4E4E#4006").count(), 0);
    let mut bytes = [0; 20];
    hex::decode_to_slice(identifier, &mut bytes).unwrap();
    assert_eq!(metadata.of_key_identifier(bytes).count(), 2);
    assert_eq!(metadata.of_key_identifier([1; 20]).count(), 0);
}
