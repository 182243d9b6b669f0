//! The JWS around the payload.

use super::*;

#[test]
fn a_blob_of_the_service_verifies_with_either_algorithm() {
    let service = Service::new();
    let metadata = service.verify(&service.blob(&payload())).unwrap();
    assert_eq!(metadata.seen.number, 7);
    assert_eq!(metadata.next_update.unwrap().to_string(), "2026-07-01");
    assert!(!metadata.overdue);
    assert_eq!(metadata.entries.len(), 1);

    let rsa = Service::with(&signer_params(), &rcgen::PKCS_RSA_SHA256);
    let mut header = rsa.header();
    header["alg"] = json!("RS256");
    let blob = rsa.sign(&header.to_string(), &payload().to_string());
    rsa.verify(&blob).unwrap();
    refused(rsa.verify(&rsa.blob(&payload())), "algorithm_mismatch");
}

#[test]
fn each_bent_header_has_its_name() {
    let service = Service::new();
    let with = |member: &str, value: Value| {
        let mut header = service.header();
        header[member] = value;
        header.to_string()
    };
    let without = |member: &str| {
        let mut header = service.header();
        header.as_object_mut().unwrap().remove(member);
        header.to_string()
    };
    let signer = STANDARD.encode(&service.signer);
    let good = service.header().to_string();
    let twice = good.replacen('{', r#"{"alg":"none","#, 1);
    let cases = [
        (with("alg", json!("none")), "algorithm_refused"),
        (with("alg", json!("HS256")), "algorithm_refused"),
        (with("alg", json!("es256")), "algorithm_refused"),
        (with("alg", json!("ES384")), "algorithm_refused"),
        (with("alg", json!("PS256")), "algorithm_refused"),
        (with("alg", json!("RS256")), "algorithm_mismatch"),
        (with("alg", json!(7)), "jws_header_malformed"),
        (without("alg"), "jws_header_malformed"),
        (twice, "jws_header_malformed"),
        (with("typ", json!("JOSE")), "jws_header_malformed"),
        (format!("{good} x"), "jws_header_malformed"),
        ("[]".to_owned(), "jws_header_malformed"),
        (with("crit", json!(["exp"])), "jws_extension_refused"),
        (with("crit", Value::Null), "jws_extension_refused"),
        (with("b64", json!(false)), "jws_extension_refused"),
        (with("x5u", json!("https://a.example")), "jws_x5u_refused"),
        (without("x5c"), "x5c_missing"),
        (with("x5c", json!([])), "x5c_missing"),
        (with("x5c", json!(vec![&signer; 9])), "x5c_too_long"),
        (with("x5c", json!(["AA"])), "certificate_malformed"),
        (with("x5c", json!(["AAAA"])), "certificate_malformed"),
        (
            with("x5c", json!(["A".repeat(20_000)])),
            "certificate_malformed",
        ),
    ];
    for (header, reason) in cases {
        let blob = service.sign(&header, &payload().to_string());
        refused(service.verify(&blob), reason);
    }
    for harmless in [
        without("typ"),
        with("kid", json!("k")),
        with("typ", json!("jwt")),
    ] {
        let blob = service.sign(&harmless, &payload().to_string());
        service.verify(&blob).unwrap();
    }
}

#[test]
fn only_the_compact_form_is_read() {
    let service = Service::new();
    let blob = service.blob(&payload());
    let (input, signature) = blob.rsplit_once('.').unwrap();
    let malformed = [
        String::new(),
        "..".to_owned(),
        input.to_owned(),
        format!("{blob}."),
        format!("{blob}.{signature}"),
        format!("{blob}="),
        format!("{blob}\n"),
        format!(" {blob}"),
        format!("{blob}AA=="),
        r#"{"payload":"","signatures":[]}"#.to_owned(),
    ];
    for (number, bent) in malformed.iter().enumerate() {
        let error = service.verify(bent).unwrap_err();
        let expected = if number == 1 {
            "jws_header_malformed"
        } else {
            "jws_malformed"
        };
        assert_eq!(error.reason(), expected, "{bent}");
    }
    let long = "A".repeat(crate::passkeys::metadata::MAX_BLOB_BYTES + 1);
    refused(service.verify(&long), "metadata_too_large");
}

#[test]
fn the_signature_is_the_signers_over_these_very_bytes() {
    let service = Service::new();
    let blob = service.blob(&payload());
    let (input, _) = blob.rsplit_once('.').unwrap();
    let with = |signature: Vec<u8>| format!("{input}.{}", Base64Url::from(signature).encode());
    refused(service.verify(&with(vec![])), "signature_invalid");
    refused(service.verify(&with(vec![0; 64])), "signature_invalid");
    let pkcs8 = service.key.serialize_der();
    let der = EcdsaKeyPair::from_pkcs8(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).unwrap();
    let der = der.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    refused(
        service.verify(&with(der.as_ref().to_vec())),
        "signature_invalid",
    );
    let other = Service::new().signature(input.as_bytes());
    refused(service.verify(&with(other)), "signature_invalid");
    let mut newer = payload();
    newer["no"] = json!(8);
    let swapped = service.blob(&newer);
    let parts: Vec<&str> = swapped.split('.').collect();
    let (_, signature) = blob.rsplit_once('.').unwrap();
    let swapped = format!("{}.{}.{signature}", parts[0], parts[1]);
    refused(service.verify(&swapped), "signature_invalid");
}

#[test]
fn no_changed_character_goes_unnoticed() {
    let service = Service::new();
    let blob = service.blob(&payload()).into_bytes();
    for at in 0..blob.len() {
        for bit in [0x01, 0x02, 0x20] {
            let mut bent = blob.clone();
            bent[at] ^= bit;
            let bent = String::from_utf8(bent).unwrap();
            assert!(
                service.verify(&bent).is_err(),
                "character {at}, bit {bit:#x}"
            );
        }
    }
}
