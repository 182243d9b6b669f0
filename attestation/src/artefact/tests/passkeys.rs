//! Passkeys of every algorithm that options offer, for tests.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING,
    ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::super::*;
use super::court::{ORIGIN, RP};
use crate::encode::{Digest32, b64u, sha256};

/// COSE identifiers of all algorithms that are judged.
pub(crate) const ALL: [i64; 11] = [-7, -8, -49, -48, -50, -35, -36, -257, -37, -9, -19];

pub(crate) struct Passkey {
    pub(crate) id: String,
    pub(crate) cose: Vec<u8>,
    sign: Sign,
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Head of a CBOR item.
fn head(major: u8, argument: usize) -> Vec<u8> {
    match argument {
        0..=23 => vec![major << 5 | argument as u8],
        24..=255 => vec![major << 5 | 24, argument as u8],
        _ => [&[major << 5 | 25][..], &(argument as u16).to_be_bytes()].concat(),
    }
}

fn int(value: i64) -> Vec<u8> {
    match value {
        0.. => head(0, value as usize),
        _ => head(1, (-1 - value) as usize),
    }
}

/// A COSE_Key: integers, then byte strings.
fn cose(integers: &[(i64, i64)], strings: &[(i64, &[u8])]) -> Vec<u8> {
    let mut out = head(5, integers.len() + strings.len());
    for (label, value) in integers {
        out.extend([int(*label), int(*value)].concat());
    }
    for (label, value) in strings {
        out.extend([&int(*label)[..], &head(2, value.len()), value].concat());
    }
    out
}

fn ec(alg: i64, crv: i64, of: &'static EcdsaSigningAlgorithm) -> Passkey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(of, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(of, pkcs8.as_ref()).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let cose = cose(&[(1, 2), (3, alg), (-1, crv)], &[(-2, x), (-3, y)]);
    Passkey::of(cose, move |message| {
        let signature = pair.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    })
}

fn ml_dsa(alg: i64, of: &'static PqdsaSigningAlgorithm, length: usize) -> Passkey {
    let pair = PqdsaKeyPair::generate(of).unwrap();
    let cose = cose(&[(1, 7), (3, alg)], &[(-1, pair.public_key().as_ref())]);
    Passkey::of(cose, move |message| {
        let mut signature = vec![0; length];
        pair.sign(message, &mut signature).unwrap();
        signature
    })
}

fn rsa(alg: i64) -> Passkey {
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let (n, e) = (
        n.big_endian_without_leading_zero(),
        e.big_endian_without_leading_zero(),
    );
    let cose = cose(&[(1, 3), (3, alg)], &[(-1, n), (-2, e)]);
    Passkey::of(cose, move |message| {
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        let made = match alg {
            -257 => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
            _ => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature),
        };
        made.unwrap();
        signature
    })
}

impl Passkey {
    /// A new one of this COSE algorithm.
    pub(crate) fn new(alg: i64) -> Self {
        match alg {
            -7 | -9 => ec(alg, 1, &ECDSA_P256_SHA256_ASN1_SIGNING),
            -35 => ec(alg, 2, &ECDSA_P384_SHA384_ASN1_SIGNING),
            -36 => ec(alg, 3, &ECDSA_P521_SHA512_ASN1_SIGNING),
            -8 | -19 => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let public = pair.public_key().as_ref();
                let cose = cose(&[(1, 1), (3, alg), (-1, 6)], &[(-2, public)]);
                Self::of(cose, move |message| pair.sign(message).as_ref().to_vec())
            }
            -48 => ml_dsa(alg, &ML_DSA_44_SIGNING, 2420),
            -49 => ml_dsa(alg, &ML_DSA_65_SIGNING, 3309),
            -50 => ml_dsa(alg, &ML_DSA_87_SIGNING, 4627),
            -257 | -37 => rsa(alg),
            _ => panic!("no key of {alg}"),
        }
    }

    fn of(cose: Vec<u8>, sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        Self {
            id: b64u(&sha256(&[&cose]).0[..16]),
            cose,
            sign: Box::new(sign),
        }
    }

    /// Answers a challenge: 1 present, 4 verified, 8 may be copied.
    pub(crate) fn answer(&self, challenge: &Digest32, flags: u8) -> Assertion {
        let client_data = json!({
            "type": "webauthn.get", "challenge": b64u(&challenge.0), "origin": ORIGIN, "crossOrigin": false,
        })
        .to_string();
        let rp = sha256(&[RP.as_bytes()]).0;
        let data = [&rp[..], &[flags], &7u32.to_be_bytes()].concat();
        let signed = [&data[..], &sha256(&[client_data.as_bytes()]).0].concat();
        Assertion {
            credential_id: self.id.clone(),
            public_key_cose: self.cose.clone(),
            signature: (self.sign)(&signed),
            authenticator_data: data,
            client_data_json: client_data.into_bytes(),
            sign_count: 7,
            user_verified: flags & 4 != 0,
            origin: ORIGIN.into(),
        }
    }
}

#[test]
fn every_algorithm_that_options_offer_is_judged_by_two_implementations() {
    let challenge = Digest32([7; 32]);
    for alg in ALL {
        let passkey = Passkey::new(alg);
        assert!(Assertion::judges(&passkey.cose), "{alg}");
        let good = passkey.answer(&challenge, 5);
        assert_eq!(good.verify(RP, &challenge), Ok(()), "{alg}");
        let key = super::super::cose_key::parse(&passkey.cose).unwrap();
        let signed = [
            &good.authenticator_data[..],
            &sha256(&[&good.client_data_json]).0,
        ]
        .concat();
        assert!(key.verify_native(&signed, &good.signature).is_ok(), "{alg}");
        assert!(
            key.verify_independent(&signed, &good.signature).is_ok(),
            "{alg}"
        );
        // Neither takes another message or another signature.
        assert!(key.verify_native(b"x", &good.signature).is_err(), "{alg}");
        assert!(
            key.verify_independent(b"x", &good.signature).is_err(),
            "{alg}"
        );
        for at in [0, good.signature.len() / 2, good.signature.len() - 1] {
            let mut bent = good.signature.clone();
            bent[at] ^= 1;
            assert!(key.verify_native(&signed, &bent).is_err(), "{alg} {at}");
            assert!(
                key.verify_independent(&signed, &bent).is_err(),
                "{alg} {at}"
            );
        }
        let other = Passkey::new(alg);
        let stolen = Assertion {
            public_key_cose: other.cose,
            ..good
        };
        assert_eq!(
            stolen.verify(RP, &challenge),
            Err(AssertionError::BadSignature)
        );
    }
}

#[test]
fn a_key_of_one_algorithm_is_not_read_as_another() {
    let keys: Vec<Passkey> = ALL.into_iter().map(Passkey::new).collect();
    for (alg, key) in ALL.iter().zip(&keys) {
        for other in ALL {
            let (from, to) = (int(*alg), int(other));
            let at = 1 + int(1).len() + 1 + int(3).len();
            assert_eq!(&key.cose[at..at + from.len()], &from[..]);
            let bent = [&key.cose[..at], &to, &key.cose[at + from.len()..]].concat();
            // Some have one key format: the algorithm alone decides, and is signed over by none.
            let same = |group: &[i64]| group.contains(alg) && group.contains(&other);
            let alike = same(&[-7, -9]) || same(&[-8, -19]) || same(&[-257, -37]) || *alg == other;
            assert_eq!(Assertion::judges(&bent), alike, "{alg} as {other}");
        }
        for cut in [0, 1, key.cose.len() - 1] {
            assert!(!Assertion::judges(&key.cose[..cut]));
        }
        assert!(!Assertion::judges(&[&key.cose[..], &[0]].concat()));
    }
    let zero_led = cose(&[(1, 3), (3, -257)], &[(-1, &[0, 1, 2]), (-2, &[1, 0, 1])]);
    assert!(!Assertion::judges(&zero_led), "RFC 8230: no leading zeros");
    let twice = cose(&[(1, 1), (3, -8), (3, -8), (-1, 6)], &[(-2, &[1; 32])]);
    assert!(!Assertion::judges(&twice));
}
