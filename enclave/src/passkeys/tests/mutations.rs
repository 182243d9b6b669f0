//! One bit changed anywhere in a good ceremony: refused, and at the step that
//! guards that bit.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::expectations::*;
use crate::passkeys::*;

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

fn alice() -> (Authenticator, Login) {
    let mut authenticator = Authenticator::new();
    let login = Login::of(&mut authenticator);
    (authenticator, login)
}

/// Steps that may refuse a flip in this byte of authenticator data.
fn guards(byte: usize) -> &'static [&'static str] {
    match byte {
        0..32 => &["7.2.15"],
        // Presence, verification, backup, lengths by AT and ED; reserved bits
        // are guarded by the signature alone.
        32 => &["7.2.7", "7.2.16", "7.2.17", "7.2.18", "7.2.19", "7.2.21"],
        _ => &["7.2.21"],
    }
}

#[test]
fn every_bit_of_authenticator_data_counts() {
    let (authenticator, login) = alice();
    let good = authenticator.assert();
    let data = good.response.authenticator_data.as_slice();
    for bit in 0..data.len() * 8 {
        let mut response = good.clone();
        response.response.authenticator_data = flipped(data, bit).into();
        let error = login.run(&response).unwrap_err();
        assert!(
            guards(bit / 8).contains(&error.step()),
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn every_bit_of_the_signature_counts() {
    let (authenticator, login) = alice();
    let good = authenticator.assert();
    let signature = good.response.signature.as_slice();
    for bit in 0..signature.len() * 8 {
        let mut response = good.clone();
        response.response.signature = flipped(signature, bit).into();
        refused(login.run(&response), "7.2.21", "signature_invalid");
    }
}

#[test]
fn every_bit_of_client_data_counts() {
    let (authenticator, login) = alice();
    let good = authenticator.assert();
    let client_data = good.response.client_data_json.as_slice();
    let text = String::from_utf8(client_data.to_vec()).unwrap();
    let span = |value: &str| {
        let start = text.find(value).unwrap();
        start..start + value.len()
    };
    let challenge = span(&Base64Url::from(CHALLENGE).encode());
    let (kind, origin) = (span("webauthn.get"), span(ORIGIN));
    for bit in 0..client_data.len() * 8 {
        let mut response = good.clone();
        response.response.client_data_json = flipped(client_data, bit).into();
        let step = login.run(&response).unwrap_err().step();
        // Inside a value: that value's step, or the parser's; elsewhere the
        // structure breaks, or the signature does.
        let byte = bit / 8;
        let expected: &[&str] = if kind.contains(&byte) {
            &["7.2.8", "7.2.9", "7.2.10"]
        } else if challenge.contains(&byte) {
            &["7.2.8", "7.2.9", "7.2.11"]
        } else if origin.contains(&byte) {
            &["7.2.8", "7.2.9", "7.2.12"]
        } else {
            &["7.2.8", "7.2.9", "7.2.10", "7.2.11", "7.2.12", "7.2.21"]
        };
        assert!(expected.contains(&step), "bit {bit}: {step}");
    }
}

#[test]
fn every_bit_of_a_self_attested_registration_counts() {
    let authenticator = Authenticator::new();
    let good = authenticator.register_attested("packed", |data, hash| {
        Item::Map(vec![
            (Item::Text("alg"), Item::Int(-7)),
            (
                Item::Text("sig"),
                Item::Bytes(authenticator.key.sign(&[data, hash].concat())),
            ),
        ])
    });
    Registration::default().run(&good).unwrap();
    let object = good.response.attestation_object.as_slice();
    for bit in 0..object.len() * 8 {
        let mut response = good.clone();
        response.response.attestation_object = flipped(object, bit).into();
        assert!(
            Registration::default().run(&response).is_err(),
            "bit {bit} of the object"
        );
    }
    let client_data = good.response.client_data_json.as_slice();
    for bit in 0..client_data.len() * 8 {
        let mut response = good.clone();
        response.response.client_data_json = flipped(client_data, bit).into();
        assert!(
            Registration::default().run(&response).is_err(),
            "bit {bit} of client data"
        );
    }
}

#[test]
fn swapped_parts_of_two_good_ceremonies_are_refused() {
    let (authenticator, login) = alice();
    let mine = authenticator.assert();
    let stale = authenticator.assert_over(client_data("webauthn.get", b"yesterday's", ORIGIN));
    refused(login.run(&stale), "7.2.11", "challenge_mismatch");
    let mut grafted = mine.clone();
    grafted.response.signature = stale.response.signature.clone();
    refused(login.run(&grafted), "7.2.21", "signature_invalid");
    let mut disguised = stale;
    disguised.response.client_data_json = mine.response.client_data_json.clone();
    refused(login.run(&disguised), "7.2.21", "signature_invalid");

    let mut elsewhere = login;
    elsewhere.rp_id = "other.example";
    refused(elsewhere.run(&mine), "7.2.15", "rp_id_hash_mismatch");
}

#[test]
fn a_registration_is_no_login() {
    let (authenticator, login) = alice();
    let registration = authenticator.register_attested("packed", |data, hash| {
        Item::Map(vec![
            (Item::Text("alg"), Item::Int(-7)),
            (
                Item::Text("sig"),
                Item::Bytes(authenticator.key.sign(&[data, hash].concat())),
            ),
        ])
    });
    let client_data = registration.response.client_data_json.0.clone();
    for data in [
        authenticator.attested_data(),
        authenticator.assertion_data(),
    ] {
        let replay = authenticator.assert_with(client_data.clone(), data);
        refused(login.run(&replay), "7.2.10", "client_data_type_mismatch");
    }
}
