//! Which origins count as being below an RP ID.

use super::authenticator::*;
use super::cbor_writer::Item;
use crate::passkeys::*;

#[test]
fn origins_below_the_rp_id_are_told_from_lookalikes() {
    let authenticator = Authenticator::new();
    let object = attestation_object("none", Item::Map(vec![]), &authenticator.attested_data());
    let attestation = AttestationPolicy::default();
    let native = ["android:apk-key-hash:AAAA".to_owned()];
    let accepted = |origin: &str| {
        let client_data = client_data("webauthn.create", CHALLENGE, origin);
        let expected = RegistrationExpectation {
            challenge: CHALLENGE,
            rp_id: RP_ID,
            origins: Origins::BelowRpIdOr(&native),
            cross_origin: CrossOrigin::Refuse,
            user_presence: UserPresence::Required,
            user_verification: UserVerification::Required,
            backup: BackupPolicy::Any,
            algorithms: Algorithm::DEFAULT,
            attestation: &attestation,
            is_registered: &|_| false,
            now_ms: NOW_MS,
        };
        register(
            &authenticator.response(client_data, object.clone()),
            &expected,
        )
        .is_ok()
    };
    for good in [
        "https://bank.example",
        "https://a.b.bank.example",
        "https://bank.example:8443",
        "android:apk-key-hash:AAAA",
    ] {
        assert!(accepted(good), "{good}");
    }
    for bad in [
        "http://bank.example",
        "https://evilbank.example",
        "https://bank.example.evil",
        "https://.bank.example",
        "https://bank.example@evil.example",
        "https://evil.example/bank.example",
        "https://evil.example#.bank.example",
        "https://bank.example:port",
        "android:apk-key-hash:bank.example",
        "",
    ] {
        assert!(!accepted(bad), "{bad}");
    }
}
