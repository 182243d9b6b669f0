//! §7.1: which registrations are accepted, and where the others are refused.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::expectations::*;
use crate::passkeys::*;

#[test]
fn a_good_registration_gives_the_record_that_was_attested() {
    let mut authenticator = Authenticator::new();
    authenticator.flags = UP | UV | BE | BS;
    let registered = Registration::default()
        .run(&authenticator.register())
        .unwrap();
    let record = registered.record;
    assert_eq!(record.id, authenticator.credential_id);
    assert_eq!(record.public_key, authenticator.key.cose());
    assert_eq!((record.algorithm, record.sign_count), (Algorithm::Es256, 1));
    assert!(record.uv_initialized && record.backup_eligible && record.backup_state);
    assert_eq!((record.aaguid, record.created_ms), (AAGUID, NOW_MS));
    assert_eq!(record.transports, ["internal", "hybrid"]);
    assert_eq!(record.attestation_format, AttestationFormat::None);
    assert!(!record.attestation_trusted);
    assert_eq!(registered.attestation.kind, AttestationType::None);
}

#[test]
fn transports_are_kept_within_bounds() {
    let mut response = Authenticator::new().register();
    response.response.transports = (0..20).map(|n| format!("t{n}")).collect();
    response.response.transports[0] = "x".repeat(1000);
    let record = Registration::default().run(&response).unwrap().record;
    assert_eq!(record.transports.len(), 8);
    assert_eq!(record.transports[0], "t1");
}

#[test]
fn a_response_of_another_kind_is_refused() {
    let mut response = Authenticator::new().register();
    response.kind = "password".to_owned();
    refused(
        Registration::default().run(&response),
        "7.1.3",
        "response_malformed",
    );
    let mut response = Authenticator::new().register();
    response.response.attestation_object = vec![0; 70_000].into();
    refused(
        Registration::default().run(&response),
        "7.1.3",
        "response_too_long",
    );
}

#[test]
fn client_data_of_another_ceremony_page_or_challenge_is_refused() {
    let authenticator = Authenticator::new();
    let object = attestation_object("none", Item::Map(vec![]), &authenticator.attested_data());
    let over = |client_data: Vec<u8>| {
        Registration::default().run(&authenticator.response(client_data, object.clone()))
    };
    over(client_data("webauthn.create", CHALLENGE, ORIGIN)).unwrap();
    refused(over(vec![0xff]), "7.1.5", "client_data_not_utf8");
    refused(over(b"{".to_vec()), "7.1.6", "client_data_not_json");
    refused(
        over(client_data("webauthn.get", CHALLENGE, ORIGIN)),
        "7.1.7",
        "client_data_type_mismatch",
    );
    refused(
        over(client_data("webauthn.create", b"another", ORIGIN)),
        "7.1.8",
        "challenge_mismatch",
    );
    refused(
        over(client_data(
            "webauthn.create",
            CHALLENGE,
            "https://evil.example",
        )),
        "7.1.9",
        "origin_not_expected",
    );
    let framed = String::from_utf8(client_data("webauthn.create", CHALLENGE, ORIGIN)).unwrap();
    let framed = framed.replace("\"crossOrigin\":false", "\"crossOrigin\":true");
    refused(over(framed.into_bytes()), "7.1.10", "cross_origin_refused");
    let below = String::from_utf8(client_data("webauthn.create", CHALLENGE, ORIGIN)).unwrap();
    let below = below.replace(
        "\"crossOrigin\":false",
        "\"topOrigin\":\"https://x.example\"",
    );
    refused(
        over(below.into_bytes()),
        "7.1.11",
        "top_origin_not_expected",
    );
}

fn with_object(authenticator: &Authenticator, object: Vec<u8>) -> RegistrationResponse {
    authenticator.response(client_data("webauthn.create", CHALLENGE, ORIGIN), object)
}

#[test]
fn an_attestation_object_must_be_whole_cbor_and_nothing_more() {
    let authenticator = Authenticator::new();
    let good = attestation_object("none", Item::Map(vec![]), &authenticator.attested_data());
    for length in 0..good.len() {
        let response = with_object(&authenticator, good[..length].to_vec());
        refused(
            Registration::default().run(&response),
            "7.1.13",
            "cbor_truncated",
        );
    }
    let longer = with_object(&authenticator, [good.as_slice(), &[0]].concat());
    refused(
        Registration::default().run(&longer),
        "7.1.13",
        "cbor_trailing_bytes",
    );
}

#[test]
fn an_attestation_object_with_a_key_twice_is_refused() {
    let authenticator = Authenticator::new();
    let member = |name, item| (Item::Text(name), item);
    let data = Item::bytes(&authenticator.attested_data());
    let object = Item::Map(vec![
        member("fmt", Item::Text("none")),
        member("attStmt", Item::Map(vec![])),
        member("authData", data.clone()),
        member("fmt", Item::Text("packed")),
    ]);
    let response = with_object(&authenticator, object.encode());
    refused(
        Registration::default().run(&response),
        "7.1.13",
        "cbor_duplicate_key",
    );

    let lacking = Item::Map(vec![
        member("fmt", Item::Text("none")),
        member("authData", data),
    ]);
    let response = with_object(&authenticator, lacking.encode());
    refused(
        Registration::default().run(&response),
        "7.1.13",
        "attestation_object_malformed",
    );
}

#[test]
fn authenticator_data_must_be_whole_and_nothing_more() {
    let authenticator = Authenticator::new();
    let over = |data: &[u8]| {
        let object = attestation_object("none", Item::Map(vec![]), data);
        Registration::default().run(&with_object(&authenticator, object))
    };
    let good = authenticator.attested_data();
    over(&good).unwrap();
    for length in 0..good.len() {
        let error = over(&good[..length]).unwrap_err();
        assert_eq!(error.step(), "7.1.13");
        assert!(error.reason().ends_with("truncated"), "{length}: {error}");
    }
    let longer = [good.as_slice(), &[0]].concat();
    refused(over(&longer), "7.1.13", "authenticator_data_trailing_bytes");
    refused(
        over(&authenticator.assertion_data()),
        "7.1.13",
        "attested_credential_missing",
    );
}

#[test]
fn a_public_key_that_is_not_canonical_is_refused() {
    let authenticator = Authenticator::new();
    let over = |cose: Vec<u8>| {
        let data = authenticator.attested_data_with_key(&cose);
        let object = attestation_object("none", Item::Map(vec![]), &data);
        Registration::default().run(&with_object(&authenticator, object))
    };
    let entries = authenticator.key.cose_entries();
    let mut twice = entries.clone();
    twice.push(entries[4].clone());
    refused(
        over(Item::Map(twice).encode()),
        "7.1.13",
        "public_key_duplicate_key",
    );
    let mut unsorted = entries.clone();
    unsorted.swap(0, 1);
    refused(
        over(Item::Map(unsorted).encode()),
        "7.1.13",
        "public_key_not_canonical",
    );
    let mut long_form = entries.clone();
    long_form[0].1 = Item::Raw(vec![0x18, 0x02]);
    refused(
        over(Item::Map(long_form).encode()),
        "7.1.13",
        "public_key_not_canonical",
    );
}

#[test]
fn flags_are_judged_step_by_step() {
    let mut authenticator = Authenticator::new();
    let mut expected = Registration::default();
    authenticator.rp_id = "evil.example";
    refused(
        expected.run(&authenticator.register()),
        "7.1.14",
        "rp_id_hash_mismatch",
    );
    authenticator.rp_id = RP_ID;
    authenticator.flags = UV;
    refused(
        expected.run(&authenticator.register()),
        "7.1.15",
        "user_not_present",
    );
    expected.user_presence = UserPresence::ConditionalMediation;
    expected.run(&authenticator.register()).unwrap();
    authenticator.flags = UP;
    refused(
        expected.run(&authenticator.register()),
        "7.1.16",
        "user_not_verified",
    );
    expected.user_verification = UserVerification::Preferred;
    expected.run(&authenticator.register()).unwrap();
    authenticator.flags = UP | BS;
    refused(
        expected.run(&authenticator.register()),
        "7.1.17",
        "backup_flags_inconsistent",
    );
    authenticator.flags = UP | BE;
    expected.backup = BackupPolicy::DeviceBoundOnly;
    refused(
        expected.run(&authenticator.register()),
        "7.1.18",
        "backup_eligible_refused",
    );
    authenticator.flags = UP | BE | BS;
    expected.backup = BackupPolicy::NotBackedUp;
    refused(
        expected.run(&authenticator.register()),
        "7.1.19",
        "backed_up_refused",
    );
}

#[test]
fn an_algorithm_that_was_not_asked_for_is_refused() {
    let expected = Registration {
        algorithms: vec![Algorithm::EdDsa],
        ..Registration::default()
    };
    refused(
        expected.run(&Authenticator::new().register()),
        "7.1.20",
        "algorithm_not_requested",
    );
}

#[test]
fn weak_and_unaudited_algorithms_are_not_offered_by_default() {
    for refused in [Algorithm::Rs1, Algorithm::Ed448, Algorithm::Es256K] {
        assert!(!Algorithm::DEFAULT.contains(&refused));
    }
    let ledgers = Authenticator::with_key(Key::generate(Algorithm::Es256K)).register();
    let mut expected = Registration {
        algorithms: Algorithm::DEFAULT.to_vec(),
        ..Registration::default()
    };
    refused(expected.run(&ledgers), "7.1.20", "algorithm_not_requested");
    expected.algorithms.push(Algorithm::Es256K);
    expected.run(&ledgers).unwrap();
}

#[test]
fn formats_are_matched_exactly_and_by_policy() {
    let authenticator = Authenticator::new();
    let mut expected = Registration::default();
    for unknown in ["None", "none ", "", "not_real_fmt", "android-safetynet"] {
        let response = authenticator.register_attested(unknown, |_, _| Item::Map(vec![]));
        refused(
            expected.run(&response),
            "7.1.21",
            "attestation_format_refused",
        );
    }
    expected.attestation.formats = vec![AttestationFormat::Packed];
    refused(
        expected.run(&authenticator.register()),
        "7.1.21",
        "attestation_format_refused",
    );
}

#[test]
fn credential_ids_have_1_to_1023_bytes() {
    let mut authenticator = Authenticator::new();
    for (length, accepted) in [(0, false), (1, true), (1023, true), (1024, false)] {
        authenticator.credential_id = vec![7; length];
        let result = Registration::default().run(&authenticator.register());
        match accepted {
            true => drop(result.unwrap()),
            false => refused(result, "7.1.25", "credential_id_too_long"),
        }
    }
}

#[test]
fn a_credential_id_that_is_taken_is_refused() {
    let authenticator = Authenticator::new();
    let expected = Registration {
        taken: vec![authenticator.credential_id.clone()],
        ..Registration::default()
    };
    refused(
        expected.run(&authenticator.register()),
        "7.1.26",
        "credential_id_taken",
    );
}

#[test]
fn a_credential_is_not_registered_under_another_id() {
    let mut response = Authenticator::new().register();
    response.id = vec![1, 2, 3].into();
    response.raw_id = vec![1, 2, 3].into();
    refused(
        Registration::default().run(&response),
        "7.1.27",
        "credential_id_mismatch",
    );
}

#[test]
fn authenticator_models_are_judged_by_policy() {
    let response = Authenticator::new().register();
    let mut expected = Registration::default();
    expected.attestation.denied_aaguids = vec![AAGUID];
    refused(expected.run(&response), "7.1.24", "aaguid_denied");
    expected.attestation.denied_aaguids.clear();
    expected.attestation.allowed_aaguids = vec![[1; 16]];
    refused(expected.run(&response), "7.1.24", "aaguid_not_allowed");
    expected.attestation.allowed_aaguids = vec![AAGUID];
    expected.run(&response).unwrap();
    expected.attestation.trust = TrustAnchors::Roots(Vec::new());
    refused(expected.run(&response), "7.1.24", "aaguid_unproven");
}
