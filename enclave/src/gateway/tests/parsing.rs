//! Whatever arrives is either a value of the type or one problem.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::*;
use crate::gateway::extract::parse;
use crate::gateway::handlers::read_nonce;

fn read_all(text: &[u8]) -> [bool; 7] {
    fn read<T: serde::de::DeserializeOwned>(text: &[u8]) -> bool {
        match parse::<T>(text) {
            Ok(_) => true,
            Err(problem) => {
                assert_eq!(problem.code(), "malformed_request");
                assert_eq!(problem.internal(), None);
                false
            }
        }
    }
    [
        read::<RegisterOptions>(text),
        read::<PresentedRegistration>(text),
        read::<PresentedAuthentication>(text),
        read::<EnrollInitiate>(text),
        read::<VerifyRequest>(text),
        read::<ApprovalRequest>(text),
        read::<ShareSubmission>(text),
    ]
}

fn valid() -> Vec<Value> {
    vec![
        json!({"user_id": "a", "user_name": "n", "display_name": "d"}),
        json!({"user_id": "a", "id": "AQ", "rawId": "AQ", "type": "public-key",
            "response": {"clientDataJSON": "AQ", "attestationObject": "AQ", "transports": ["usb"]}}),
        json!({"user_id": "a", "id": "AQ", "rawId": "AQ", "type": "public-key",
            "response": {"clientDataJSON": "AQ", "authenticatorData": "AQ", "signature": "AQ"}}),
        json!({"user_id": "a", "modality": "facial", "consent_given": true}),
        json!({"user_id": "a", "modality": "facial", "biometric_data": "AAAA"}),
        json!({"user_id": "a", "transaction": {"amount": "250.00", "currency": "EUR",
            "payee": {"name": "n", "account": "a"}, "reference": "r"}}),
        json!({"officer": "o", "aad": "AQ", "enc": "AQ", "ciphertext": "AQ"}),
    ]
}

#[test]
fn each_valid_body_is_read_as_its_own_type() {
    for (index, body) in valid().iter().enumerate() {
        assert!(read_all(body.to_string().as_bytes())[index], "{body}");
    }
}

/// Every place of a value that can be replaced.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    if let Value::Object(members) = value {
        for (name, member) in members {
            places(member, &format!("{at}/{name}"), found);
        }
    }
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,200}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        "[A-Za-z0-9+/=_-]{0,40}".prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&text);
    }

    #[test]
    fn a_valid_body_with_a_place_replaced_is_read_or_refused(
        which in 0..7usize, place in any::<prop::sample::Index>(), junk in junk(),
    ) {
        let mut body = valid().swap_remove(which);
        let mut found = Vec::new();
        places(&body, "", &mut found);
        *body.pointer_mut(&found[place.index(found.len())]).unwrap() = junk;
        read_all(body.to_string().as_bytes());
    }

    #[test]
    fn a_valid_body_cut_or_flipped_is_read_or_refused(
        which in 0..7usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut text = valid()[which].to_string().into_bytes();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        read_all(&text);
    }

    #[test]
    fn unknown_members_are_refused_where_the_contract_is_ours(name in "[a-z_]{1,12}") {
        for which in [0usize, 3, 4, 5, 6] {
            let mut body = valid().swap_remove(which);
            let known = ["user_id", "user_name", "display_name", "modality", "consent_given",
                "device_info", "biometric_data", "geolocation", "ip_address", "transaction",
                "officer", "aad", "enc", "ciphertext"];
            prop_assume!(!known.contains(&name.as_str()));
            body[&name] = json!(1);
            prop_assert!(!read_all(body.to_string().as_bytes())[which]);
        }
    }

    #[test]
    fn unknown_members_are_tolerated_in_webauthn_answers(name in "[a-zA-Z]{1,12}") {
        for which in [1usize, 2] {
            let mut body = valid().swap_remove(which);
            prop_assume!(body.get(&name).is_none());
            let known = ["credential", "clientExtensionResults", "authenticatorAttachment"];
            prop_assume!(!known.contains(&name.as_str()));
            body[&name] = json!({"x": [1]});
            prop_assert!(read_all(body.to_string().as_bytes())[which]);
        }
    }

    #[test]
    fn an_accepted_amount_keeps_its_spelling(text in "[0-9]{1,17}(\\.[0-9]{0,6})?") {
        if let Some(amount) = Amount::new(text.clone()) {
            prop_assert_eq!(amount.as_str(), text.as_str());
            let value: f64 = text.parse().unwrap();
            prop_assert!(value > 0.0);
        }
    }

    #[test]
    fn any_nonce_text_is_read_or_refused(text in ".{0,140}") {
        if let Some(nonce) = read_nonce(&text) {
            prop_assert!((8..=64).contains(&nonce.len()));
        }
    }

    #[test]
    fn nonces_are_read_back_in_both_spellings(nonce in proptest::collection::vec(any::<u8>(), 8..=64)) {
        use base64::Engine;
        let url = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&nonce);
        let spelt_like_hex = url.len() % 2 == 0 && url.bytes().all(|b| b.is_ascii_hexdigit());
        prop_assume!(!spelt_like_hex);
        prop_assert_eq!(read_nonce(&url), Some(nonce.clone()));
        prop_assert_eq!(read_nonce(&hex::encode(&nonce)), Some(nonce));
    }
}
