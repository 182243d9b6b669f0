//! The CBOR reader on the forms that CTAP2 forbids, and every parser on noise.

use proptest::prelude::*;

use super::authenticator::*;
use super::cbor_writer::Item;
use super::expectations::*;
use crate::passkeys::authenticator_data::AuthenticatorData;
use crate::passkeys::cbor::{self, CborError, Form, Value};
use crate::passkeys::client_data::ClientData;
use crate::passkeys::public_key::PublicKey;
use crate::passkeys::*;

fn canonical(hex_text: &str) -> Result<Value<'static>, CborError> {
    let bytes: &'static [u8] = Vec::leak(hex::decode(hex_text).unwrap());
    cbor::decode(bytes, Form::Ctap2Canonical)
}

#[test]
fn integers_strings_and_containers_are_read() {
    assert_eq!(
        canonical("1bffffffffffffffff"),
        Ok(Value::Integer(u64::MAX.into()))
    );
    assert_eq!(
        canonical("3bffffffffffffffff"),
        Ok(Value::Integer(-1 - i128::from(u64::MAX)))
    );
    assert_eq!(canonical("4101").unwrap().as_bytes(), Some(&[1][..]));
    assert_eq!(canonical("6161").unwrap().as_text(), Some("a"));
    assert_eq!(canonical("820102").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(
        canonical("a1616101").unwrap().as_map().unwrap().text("a"),
        Some(&Value::Integer(1))
    );
    assert_eq!(canonical("f5"), Ok(Value::Bool(true)));
    assert_eq!(canonical("f6"), Ok(Value::Null));
}

#[test]
fn forbidden_forms_are_refused_by_name() {
    let cases = [
        ("", CborError::Truncated),
        ("18", CborError::Truncated),
        ("4201", CborError::Truncated),
        ("5bffffffffffffffff", CborError::Truncated),
        ("8201", CborError::Truncated),
        ("a161", CborError::Truncated),
        ("0000", CborError::TrailingBytes),
        ("1817", CborError::NotShortest),
        ("1900ff", CborError::NotShortest),
        ("1a0000ffff", CborError::NotShortest),
        ("1b00000000ffffffff", CborError::NotShortest),
        ("580101", CborError::NotShortest),
        ("5f4101ff", CborError::Forbidden),
        ("9f01ff", CborError::Forbidden),
        ("bf616101ff", CborError::Forbidden),
        ("c001", CborError::Forbidden),
        ("1c", CborError::Forbidden),
        ("e0", CborError::Forbidden),
        ("f8ff", CborError::Forbidden),
        ("61ff", CborError::NotUtf8),
        ("a201020103", CborError::DuplicateKey),
        ("a202010101", CborError::UnsortedKeys),
        ("a2616101 0101", CborError::UnsortedKeys),
        ("a2626161016162 01", CborError::UnsortedKeys),
        ("9b7fffffffffffffff", CborError::TooLarge),
        ("bb7fffffffffffffff", CborError::TooLarge),
        ("818181818181818180", CborError::TooLarge),
    ];
    for (hex_text, error) in cases {
        let compact = hex_text.replace(' ', "");
        assert_eq!(canonical(&compact), Err(error), "{hex_text}");
    }
}

#[test]
fn the_lenient_form_tolerates_order_and_length_but_no_second_key() {
    let lenient = |bytes: &'static [u8]| cbor::decode(bytes, Form::WellFormed);
    lenient(&[0xa2, 0x02, 0x01, 0x01, 0x01]).unwrap();
    lenient(&[0x18, 0x01]).unwrap();
    let twice = lenient(&[0xa2, 0x01, 0x01, 0x18, 0x01, 0x02]);
    assert_eq!(
        twice,
        Err(CborError::DuplicateKey),
        "1 in two lengths is one key"
    );
}

proptest! {
    #[test]
    fn written_items_are_read_back(n in any::<i64>().prop_map(|n| n >> 34), bytes in any::<Vec<u8>>()) {
        let item = Item::Array(vec![Item::Int(n), Item::bytes(&bytes)]).encode();
        let value = cbor::decode(&item, Form::Ctap2Canonical).unwrap();
        let items = value.as_array().unwrap();
        prop_assert_eq!(items[0].as_integer(), Some(n));
        prop_assert_eq!(items[1].as_bytes(), Some(bytes.as_slice()));
    }

    #[test]
    fn no_parser_panics_on_noise(bytes in any::<Vec<u8>>()) {
        let _ = cbor::decode(&bytes, Form::WellFormed);
        let _ = cbor::decode(&bytes, Form::Ctap2Canonical);
        let _ = AuthenticatorData::parse(&bytes, Form::Ctap2Canonical);
        let _ = PublicKey::from_cose(&bytes);
        let _ = ClientData::utf8(&bytes).and_then(ClientData::parse);
    }

    #[test]
    fn no_ceremony_panics_on_noise(a in any::<Vec<u8>>(), b in any::<Vec<u8>>(), c in any::<Vec<u8>>()) {
        let authenticator = shared();
        let registration = authenticator.response(a.clone(), b.clone());
        prop_assert!(Registration::default().run(&registration).is_err());
        let mut assertion = authenticator.assert_with(a, b);
        assertion.response.signature = c.into();
        prop_assert!(login().run(&assertion).is_err());
    }

    #[test]
    fn no_statement_panics_on_noise(
        format in proptest::sample::select(AttestationFormat::ALL.to_vec()),
        noise in any::<Vec<u8>>(),
        certificate in any::<Vec<u8>>(),
    ) {
        let mut expected = Registration::default();
        expected.attestation.formats = AttestationFormat::ALL.to_vec();
        let text = |name| Item::Text(name);
        let shaped = Item::Map(vec![
            (text("alg"), Item::Int(-7)),
            (text("sig"), Item::bytes(&noise)),
            (text("x5c"), Item::Array(vec![Item::bytes(&certificate)])),
        ]);
        let authenticator = shared();
        let response = authenticator.register_attested(format.name(), |_, _| shaped.clone());
        prop_assert!(expected.run(&response).is_err());
        let raw = authenticator.register_attested(format.name(), |_, _| Item::Raw(noise.clone()));
        let _ = expected.run(&raw);
    }
}

fn shared() -> &'static Authenticator {
    static SHARED: std::sync::OnceLock<Authenticator> = std::sync::OnceLock::new();
    SHARED.get_or_init(Authenticator::new)
}

fn login() -> &'static Login {
    static LOGIN: std::sync::OnceLock<Login> = std::sync::OnceLock::new();
    LOGIN.get_or_init(|| Login::of(&mut Authenticator::new()))
}
