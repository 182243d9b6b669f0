//! §7.2: which assertions are accepted, and where the others are refused.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::expectations::*;
use crate::passkeys::*;

fn alice() -> (Authenticator, Login) {
    let mut authenticator = Authenticator::new();
    let login = Login::of(&mut authenticator);
    (authenticator, login)
}

#[test]
fn a_good_assertion_is_accepted_and_described() {
    let (authenticator, login) = alice();
    let assertion = login.run(&authenticator.assert()).unwrap();
    assert_eq!(assertion.sign_count, 2);
    assert!(assertion.user_verified && assertion.sign_count_plausible);
    assert_eq!(assertion.origin, ORIGIN);
    let mut record = login.record;
    record.update(&assertion);
    assert_eq!(record.sign_count, 2);
}

#[test]
fn an_assertion_that_is_no_public_key_credential_is_refused() {
    let (authenticator, login) = alice();
    let mut response = authenticator.assert();
    response.kind = "password".to_owned();
    refused(login.run(&response), "7.2.3", "response_malformed");
    let mut response = authenticator.assert();
    response.id = vec![1].into();
    refused(login.run(&response), "7.2.3", "response_malformed");
}

#[test]
fn a_credential_that_the_options_did_not_allow_is_refused() {
    let (authenticator, mut login) = alice();
    login.allow = vec![vec![1], vec![2]];
    refused(
        login.run(&authenticator.assert()),
        "7.2.5",
        "credential_not_allowed",
    );
    login.allow = Vec::new();
    login.run(&authenticator.assert()).unwrap();
}

/// The lesson of YSA-2026-02: a perfectly good assertion by Mallory's own
/// credential is no login for Alice, however the lookup was done.
#[test]
fn another_users_assertion_is_refused() {
    let (_, login) = alice();
    let mallory = Authenticator::new();
    let response = mallory.assert();
    refused(login.run(&response), "7.2.5", "credential_not_allowed");

    let (_, mut usernameless) = alice();
    usernameless.allow = Vec::new();
    refused(usernameless.run(&response), "7.2.6", "credential_unknown");

    let mut found_by_id_alone = Login::of(&mut Authenticator::new());
    found_by_id_alone.record = mallory.record();
    found_by_id_alone.record.sign_count = 0;
    found_by_id_alone.allow = Vec::new();
    found_by_id_alone.identification = Identification::ByUserHandle {
        user_handle: b"handle-of-mallory",
    };
    refused(
        found_by_id_alone.run(&response),
        "7.2.6",
        "user_handle_mismatch",
    );
}

#[test]
fn an_assertion_by_another_key_under_the_right_id_is_refused() {
    let (authenticator, login) = alice();
    let mut forger = Authenticator::new();
    forger.credential_id = authenticator.credential_id.clone();
    forger.sign_count = 9;
    refused(login.run(&forger.assert()), "7.2.21", "signature_invalid");
}

#[test]
fn a_user_handle_must_be_the_accounts() {
    let (authenticator, mut login) = alice();
    let mut response = authenticator.assert();
    response.response.user_handle = Some(b"handle-of-bob".as_slice().into());
    refused(login.run(&response), "7.2.6", "user_handle_mismatch");
    for absent in [None, Some(Base64Url::default())] {
        response.response.user_handle = absent;
        login.identification = Identification::Before {
            user_handle: USER_HANDLE,
        };
        login.run(&response).unwrap();
        login.identification = Identification::ByUserHandle {
            user_handle: USER_HANDLE,
        };
        refused(login.run(&response), "7.2.6", "user_handle_missing");
    }
}

#[test]
fn authenticator_data_must_be_whole_and_nothing_more() {
    let (authenticator, login) = alice();
    let over = |data: Vec<u8>| {
        login.run(&authenticator.assert_with(client_data("webauthn.get", CHALLENGE, ORIGIN), data))
    };
    let good = authenticator.assertion_data();
    for length in 0..good.len() {
        let cut = good[..length].to_vec();
        refused(over(cut), "7.2.7", "authenticator_data_truncated");
    }
    let longer = [good.as_slice(), &[0]].concat();
    refused(over(longer), "7.2.7", "authenticator_data_trailing_bytes");
}

#[test]
fn attested_data_repeated_in_an_assertion_must_be_of_this_credential() {
    let (mut authenticator, login) = alice();
    let client_data = client_data("webauthn.get", CHALLENGE, ORIGIN);
    let own = authenticator.assert_with(client_data.clone(), authenticator.attested_data());
    login.run(&own).unwrap();
    let credential_id = std::mem::replace(&mut authenticator.credential_id, vec![9; 32]);
    let data = authenticator.attested_data();
    authenticator.credential_id = credential_id;
    let other = authenticator.assert_with(client_data, data);
    refused(login.run(&other), "7.2.7", "attested_credential_unexpected");
}

#[test]
fn oversized_members_are_refused_before_they_are_read() {
    let (authenticator, login) = alice();
    let mut response = authenticator.assert();
    response.response.signature = vec![0; 9000].into();
    refused(login.run(&response), "7.2.7", "response_too_long");
    let mut response = authenticator.assert();
    response.response.client_data_json = vec![b' '; MAX_CLIENT_DATA_BYTES + 1].into();
    refused(login.run(&response), "7.2.8", "client_data_too_long");
}

#[test]
fn an_assertion_for_another_relying_party_is_refused() {
    let (mut authenticator, login) = alice();
    authenticator.rp_id = "evil.example";
    refused(
        login.run(&authenticator.assert()),
        "7.2.15",
        "rp_id_hash_mismatch",
    );
}

#[test]
fn presence_is_demanded_and_verification_by_policy() {
    let (mut authenticator, mut login) = alice();
    authenticator.flags = UV;
    refused(
        login.run(&authenticator.assert()),
        "7.2.16",
        "user_not_present",
    );
    authenticator.flags = UP;
    refused(
        login.run(&authenticator.assert()),
        "7.2.17",
        "user_not_verified",
    );
    login.user_verification = UserVerification::Preferred;
    assert!(!login.run(&authenticator.assert()).unwrap().user_verified);
}

#[test]
fn backup_flags_must_agree_with_each_other_and_with_the_record() {
    let (mut authenticator, mut login) = alice();
    authenticator.flags = UP | UV | BS;
    refused(
        login.run(&authenticator.assert()),
        "7.2.18",
        "backup_flags_inconsistent",
    );
    authenticator.flags = UP | UV | BE;
    refused(
        login.run(&authenticator.assert()),
        "7.2.19",
        "backup_eligibility_changed",
    );
    login.record.backup_eligible = true;
    login.run(&authenticator.assert()).unwrap();
    login.backup = BackupPolicy::DeviceBoundOnly;
    refused(
        login.run(&authenticator.assert()),
        "7.2.19",
        "backup_eligible_refused",
    );
    authenticator.flags = UP | UV | BE | BS;
    login.backup = BackupPolicy::NotBackedUp;
    refused(
        login.run(&authenticator.assert()),
        "7.2.19",
        "backed_up_refused",
    );
    login.backup = BackupPolicy::Any;
    assert!(login.run(&authenticator.assert()).unwrap().backup_state);
}

#[test]
fn a_counter_that_does_not_grow_is_refused_or_reported() {
    let (mut authenticator, mut login) = alice();
    for stale in [0, 1] {
        authenticator.sign_count = stale;
        login.sign_count = SignCountPolicy::Refuse;
        refused(
            login.run(&authenticator.assert()),
            "7.2.22",
            "sign_count_not_increased",
        );
        login.sign_count = SignCountPolicy::Report;
        let assertion = login.run(&authenticator.assert()).unwrap();
        assert!(!assertion.sign_count_plausible);
        let mut record = login.record.clone();
        record.update(&assertion);
        assert_eq!(
            record.sign_count, 1,
            "a clone must not wind the record back"
        );
    }
}

#[test]
fn an_authenticator_without_counter_is_accepted() {
    let mut authenticator = Authenticator::new();
    authenticator.sign_count = 0;
    let login = Login::of(&mut authenticator);
    authenticator.sign_count = 0;
    assert!(
        login
            .run(&authenticator.assert())
            .unwrap()
            .sign_count_plausible
    );
}

#[test]
fn extension_outputs_are_read_whole_and_handed_on() {
    let (mut authenticator, login) = alice();
    let outputs = Item::Map(vec![(Item::Text("credProtect"), Item::Int(2))]).encode();
    authenticator.extensions = Some(outputs.clone());
    let assertion = login.run(&authenticator.assert()).unwrap();
    assert_eq!(assertion.extensions, Some(outputs));

    let twice = Item::Map(vec![
        (Item::Text("a"), Item::Int(1)),
        (Item::Text("a"), Item::Int(1)),
    ]);
    for bad in [
        twice.encode(),
        Item::Map(vec![(Item::Int(1), Item::Int(1))]).encode(),
        vec![0x80],
        vec![],
    ] {
        authenticator.extensions = Some(bad);
        refused(
            login.run(&authenticator.assert()),
            "7.2.7",
            "extensions_malformed",
        );
    }
}

#[test]
fn a_record_whose_key_and_algorithm_disagree_verifies_nothing() {
    let (authenticator, mut login) = alice();
    login.record.algorithm = Algorithm::Esp256;
    refused(
        login.run(&authenticator.assert()),
        "7.2.21",
        "signature_invalid",
    );
    login.record.public_key.truncate(20);
    refused(
        login.run(&authenticator.assert()),
        "7.2.21",
        "public_key_malformed",
    );
}
