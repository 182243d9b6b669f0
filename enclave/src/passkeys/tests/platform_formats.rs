//! Section 8.4 and 8.8: statements of phones, where certificates carry the
//! credential's own key.

use super::authenticator::*;
use super::cbor_writer::Item;
use super::certificates::*;
use super::expectations::*;
use crate::passkeys::*;

/// A credential whose key a certificate can carry.
fn certifiable() -> (rcgen::KeyPair, Authenticator) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let authenticator = Authenticator::with_key(es256_of(&key));
    (key, authenticator)
}

#[test]
fn apple_statements_are_verified() {
    let root = Authority::new("anonymization CA");
    let (key, authenticator) = certifiable();
    let (other, _) = certifiable();
    let run = |subject: &rcgen::KeyPair, nonce: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let response = authenticator.register_attested("apple", |data, hash| {
            let mut params = packed_leaf();
            let oid = &[1, 2, 840, 113635, 100, 8, 2];
            let value = nonce(sha256(&[data, hash].concat()));
            params.custom_extensions = vec![extension(oid, value)];
            let leaf = root.issue_for(&params, subject);
            Item::Map(vec![x5c(&[&leaf.der])])
        });
        Registration::default().run(&response)
    };
    let wrapped = |nonce: Vec<u8>| tlv(&[0x30], &tlv(&[0xa1], &tlv(&[0x04], &nonce)));
    let registered = run(&key, &wrapped).unwrap();
    assert_eq!(
        registered.attestation.kind,
        AttestationType::AnonymizationCa
    );
    refused(
        run(&key, &|nonce| wrapped(sha256(&nonce))),
        "7.1.22",
        "apple_nonce_mismatch",
    );
    refused(run(&key, &|nonce| nonce), "7.1.22", "apple_nonce_missing");
    refused(run(&other, &wrapped), "7.1.22", "apple_public_key_mismatch");
}

/// Android's key description with two authorization lists.
fn key_description(challenge: &[u8], software: &[u8], tee: &[u8]) -> Vec<u8> {
    let head = [0x02, 1, 3, 0x0a, 1, 0, 0x02, 1, 4, 0x0a, 1, 1];
    let fields = [
        head.to_vec(),
        tlv(&[0x04], challenge),
        tlv(&[0x04], &[]),
        tlv(&[0x30], software),
        tlv(&[0x30], tee),
    ];
    tlv(&[0x30], &fields.concat())
}

fn purpose(value: u8) -> Vec<u8> {
    tlv(&[0xa1], &tlv(&[0x31], &[0x02, 1, value]))
}

fn origin(value: u8) -> Vec<u8> {
    tlv(&[0xbf, 0x85, 0x3e], &[0x02, 1, value])
}

fn all_applications() -> Vec<u8> {
    tlv(&[0xbf, 0x84, 0x58], &[0x05, 0])
}

fn android(
    policy: AndroidKeyPolicy,
    description: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<RegisteredCredential, CeremonyError> {
    let root = Authority::new("Google");
    let (key, authenticator) = certifiable();
    let response = authenticator.register_attested("android-key", |data, hash| {
        let mut params = packed_leaf();
        let oid = &[1, 3, 6, 1, 4, 1, 11129, 2, 1, 17];
        params.custom_extensions = vec![extension(oid, description(hash))];
        let leaf = root.issue_for(&params, &key);
        let signature = authenticator.key.sign(&[data, hash].concat());
        Item::Map(vec![alg(-7), sig(signature), x5c(&[&leaf.der])])
    });
    let mut expected = Registration::default();
    expected.attestation.android_key = policy;
    expected.run(&response)
}

#[test]
fn android_keys_are_judged_by_what_their_lists_state() {
    use AndroidKeyPolicy::{HardwareEnforced, NotContradicted, Stated};
    let step = "7.1.22";
    let good = [purpose(2), origin(0)].concat();
    let tee = |hash: &[u8]| key_description(hash, &[], &good);
    let software = |hash: &[u8]| key_description(hash, &good, &[]);
    let silent = |hash: &[u8]| key_description(hash, &[], &[]);
    for policy in [HardwareEnforced, Stated, NotContradicted] {
        android(policy, tee).unwrap();
    }
    android(Stated, software).unwrap();
    refused(
        android(HardwareEnforced, software),
        step,
        "android_key_origin_not_generated",
    );
    refused(
        android(Stated, silent),
        step,
        "android_key_origin_not_generated",
    );
    android(NotContradicted, silent).unwrap();

    let imported = [purpose(2), origin(2)].concat();
    let decrypts = [purpose(1), origin(0)].concat();
    let shared = [purpose(2), all_applications(), origin(0)].concat();
    for policy in [HardwareEnforced, Stated, NotContradicted] {
        let result = android(policy, |hash| key_description(hash, &good, &imported));
        refused(result, step, "android_key_origin_not_generated");
        let result = android(policy, |hash| key_description(hash, &[], &decrypts));
        refused(result, step, "android_key_purpose_not_sign");
        let result = android(policy, |hash| key_description(hash, &shared, &good));
        refused(result, step, "android_key_all_applications");
    }
    let stale = |_: &[u8]| key_description(b"another ceremony", &[], &good);
    refused(
        android(Stated, stale),
        step,
        "android_key_challenge_mismatch",
    );
    let cut = |hash: &[u8]| tee(hash)[..40].to_vec();
    refused(
        android(Stated, cut),
        step,
        "android_key_description_malformed",
    );
}

#[test]
fn an_android_certificate_for_another_key_is_refused() {
    let (key, authenticator) = certifiable();
    let (_, other) = certifiable();
    let leaf = Authority::new("Google").issue_for(&packed_leaf(), &key);
    let response = other.register_attested("android-key", |data, hash| {
        let signature = authenticator.key.sign(&[data, hash].concat());
        Item::Map(vec![alg(-7), sig(signature), x5c(&[&leaf.der])])
    });
    refused(
        Registration::default().run(&response),
        "7.1.22",
        "android_key_public_key_mismatch",
    );
}
