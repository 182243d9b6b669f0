//! Artefacts and receipts, honest and not.

pub(crate) mod court;
pub(crate) mod fresh;
pub(crate) mod golden;
pub(crate) mod line;
pub(crate) mod passkeys;
pub(crate) mod several;

use court::{Court, ORIGIN, RP, transaction};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::binding::{NonceInput, Purpose};
use crate::encode::{Digest32, b64u, sha256};
use crate::entropy::SystemEntropy;
use crate::jcs::to_jcs;
use crate::jwk::EcP256Jwk;
use crate::ledger::Receipt;
use crate::sign::Es256Signer;
use crate::testkit::TENANT;

#[test]
fn a_good_artefact_is_accepted_by_both_implementations() {
    let court = Court::new();
    let artefact = court.artefact(&court.claims());
    let verified = court.judge(&artefact).unwrap();
    assert_eq!(verified.transaction, transaction());
    assert_eq!(verified.origin, ORIGIN);
    assert!(verified.receipt.receipt.post_quantum);
    assert_eq!(
        verified.receipt.environment,
        crate::genesis::Environment::Emulated
    );
}

#[test]
fn one_changed_digit_of_the_amount_is_refused_wherever_it_is_changed() {
    let court = Court::new();
    // By the enclave, in the transaction only.
    let amount = |claims: &mut Value| claims["transaction"]["amount"] = "250.01".into();
    assert_eq!(court.refused(amount), "challenge");
    // By the enclave, in transaction and challenge input, but not in what was signed.
    let both = |claims: &mut Value| {
        amount(claims);
        claims["challenge_input"]["transaction_jcs"] =
            to_jcs(&claims["transaction"]).unwrap().into();
    };
    assert_eq!(court.refused(both), "challenge");
    // By the enclave, everywhere but in the customer's own signature.
    let all = |claims: &mut Value| {
        both(claims);
        let input: ChallengeInput =
            serde_json::from_value(claims["challenge_input"].clone()).unwrap();
        claims["challenge"] = b64u(&input.challenge().0).into();
    };
    assert_eq!(court.refused(all), "assertion_challenge");
    // By anybody, in the payload after signing.
    let mut artefact = court.artefact(&court.claims());
    let text = artefact.receipt.claims.replace("250.00", "250.01");
    artefact.payload = b64u(text.as_bytes());
    assert_eq!(court.judge(&artefact).unwrap_err(), "other_claim");
    // By anybody, in payload and receipt.
    artefact.receipt.claims = text;
    assert_eq!(court.judge(&artefact).unwrap_err(), "receipt");
}

#[test]
fn each_part_of_the_challenge_is_bound() {
    let court = Court::new();
    let input = |name: &'static str, value: Value| {
        move |claims: &mut Value| claims["challenge_input"][name] = value
    };
    assert_eq!(court.refused(input("domain", "x".into())), "challenge");
    assert_eq!(court.refused(input("purpose", "login".into())), "challenge");
    assert_eq!(court.refused(input("tenant", "bank-b".into())), "challenge");
    assert_eq!(
        court.refused(input("user_id", "customer-2".into())),
        "challenge"
    );
    assert_eq!(
        court.refused(input("nonce", b64u(&[6; 32]).into())),
        "challenge"
    );
    assert_eq!(
        court.refused(input("rp_id", "evil.example".into())),
        "challenge"
    );
    assert_eq!(court.refused(input("expires_ms", 2001.into())), "challenge");
    assert_eq!(
        court.refused(|claims| claims["time_ms"] = 2001.into()),
        "expired"
    );
}

#[test]
fn the_customers_assertion_is_judged_step_by_step() {
    let court = Court::new();
    let challenge = court.challenge_input().challenge();
    let good = court.assertion(&challenge, 5);
    good.verify(RP, &challenge).unwrap();
    assert_eq!(
        good.verify("other.example", &challenge),
        Err(AssertionError::RelyingParty)
    );
    assert_eq!(
        good.verify(RP, &Digest32([0; 32])),
        Err(AssertionError::Challenge)
    );
    assert_eq!(
        court.assertion(&challenge, 4).verify(RP, &challenge),
        Err(AssertionError::NotPresent)
    );
    assert_eq!(
        court.assertion(&challenge, 1).verify(RP, &challenge),
        Err(AssertionError::NotVerified)
    );
    let bent = |change: fn(&mut Assertion)| {
        let mut bent = good.clone();
        change(&mut bent);
        bent.verify(RP, &challenge).unwrap_err()
    };
    assert_eq!(
        bent(|a| a.user_verified = false),
        AssertionError::Contradiction("user_verified")
    );
    assert_eq!(
        bent(|a| a.sign_count = 8),
        AssertionError::Contradiction("sign_count")
    );
    assert_eq!(
        bent(|a| a.authenticator_data.truncate(36)),
        AssertionError::AuthenticatorData
    );
    assert!(matches!(
        bent(|a| a.origin = "https://evil.example".into()),
        AssertionError::Origin(_)
    ));
    assert!(matches!(
        bent(|a| a.client_data_json = b"{}".to_vec()),
        AssertionError::ClientData(_)
    ));
    assert_eq!(
        bent(|a| a.authenticator_data.push(0)),
        AssertionError::BadSignature
    );
    let text = |a: &mut Assertion, from: &str, to: &str| {
        a.client_data_json = String::from_utf8_lossy(&a.client_data_json)
            .replace(from, to)
            .into_bytes();
    };
    let mut create = good.clone();
    text(&mut create, "webauthn.get", "webauthn.create");
    assert!(matches!(
        create.verify(RP, &challenge),
        Err(AssertionError::ClientDataType(_))
    ));
    let mut framed = good.clone();
    text(&mut framed, "false", "true");
    assert_eq!(
        framed.verify(RP, &challenge),
        Err(AssertionError::CrossOrigin)
    );
    assert!(matches!(
        bent(|a| a.public_key_cose[4] = 0x27),
        AssertionError::CoseKey(_)
    ));
    assert!(matches!(
        bent(|a| a.public_key_cose.push(0)),
        AssertionError::CoseKey(_)
    ));
}

#[test]
fn every_signature_is_needed_and_no_other_counts() {
    let court = Court::new();
    let good = court.artefact(&court.claims());
    for missing in 0..4 {
        let mut artefact = good.clone();
        artefact.signatures.remove(missing);
        assert_eq!(
            court.judge(&artefact).unwrap_err(),
            "signatures",
            "{missing}"
        );
        // Nor can another of the four stand in its place.
        artefact.signatures.push(artefact.signatures[0].clone());
        assert_eq!(
            court.judge(&artefact).unwrap_err(),
            "signatures",
            "{missing}"
        );
        let mut artefact = good.clone();
        let other = (missing + 2) % 4;
        artefact.signatures[missing].signature = good.signatures[other].signature.clone();
        assert_eq!(
            court.judge(&artefact).unwrap_err(),
            "bad_signature",
            "{missing}"
        );
    }
    let mut artefact = good.clone();
    artefact.tenant_keys.0 = Es256Signer::generate(&SystemEntropy).unwrap().jwk().clone();
    assert_eq!(court.judge(&artefact).unwrap_err(), "tenant_keys");
    let mut artefact = good.clone();
    artefact.signatures[1].protected = b64u(br#"{"alg":"none","kid":"","crit":[]}"#);
    assert_eq!(court.judge(&artefact).unwrap_err(), "jws");
}

#[test]
fn a_claim_that_contradicts_its_document_is_refused() {
    let court = Court::new();
    let zero = Digest32([0; 32]).to_string();
    for field in ["config", "policy", "models"] {
        assert_eq!(
            court.refused(|claims| claims[field] = zero.clone().into()),
            "contradiction",
            "{field}"
        );
    }
    assert_eq!(
        court.refused(|claims| claims["environment"] = "hardware".into()),
        "contradiction"
    );
    assert_eq!(
        court.refused(|claims| claims["document"] = zero.clone().into()),
        "receipt"
    );
    assert_eq!(
        court.refused(|claims| claims["tenant"] = "bank-b".into()),
        "other_ledger"
    );
    assert_eq!(
        court.refused(|claims| claims["type"] = "verification".into()),
        "not_an_approval"
    );
    assert_eq!(
        court.refused(|claims| claims["decision"] = "refused".into()),
        "not_an_approval"
    );
}

#[test]
fn a_receipt_is_judged_without_an_artefact() {
    let court = Court::new();
    let receipt = court.receipt(&court.common().to_string());
    let judged = verify_receipt(&receipt, &court.trust()).unwrap();
    assert_eq!(judged.receipt.claims["type"], "verification");
    let bare = Receipt {
        evidence: vec![],
        ..receipt
    };
    assert_eq!(
        verify_receipt(&bare, &court.trust()).unwrap_err().code(),
        "no_evidence"
    );
}

#[test]
fn evidence_of_another_appliance_or_session_is_refused() {
    let (ours, theirs) = (Court::new(), Court::new());
    let receipt = ours.receipt(&ours.common().to_string());
    let code =
        |receipt: &Receipt, trust: &Trust| verify_receipt(receipt, trust).unwrap_err().code();
    assert_eq!(code(&receipt, &theirs.trust()), "root_not_pinned");
    let superseded = Trust {
        minimum_counter: 9,
        ..ours.trust()
    };
    assert_eq!(code(&receipt, &superseded), "counter_too_low");
    // A document made for a session is not one that was kept.
    let nonce = NonceInput::Session {
        client_nonce: b"12345678",
        exporter: &[0; 32],
    };
    let bench = ours.bench;
    let evidence = bench.attest(&bench.binding(Purpose::Serve), nonce);
    let session = Court {
        evidence,
        bench,
        ..ours
    };
    let receipt = session.receipt(&session.common().to_string());
    assert_eq!(code(&receipt, &session.trust()), "wrong_nonce");
}

#[test]
fn a_challenge_is_the_digest_of_its_framed_members() {
    let court = Court::new();
    let input = court.challenge_input();
    let mut framed = Vec::new();
    let expires = input.expires_ms.to_be_bytes();
    let members: [&[u8]; 8] = [
        b"redoubt/approval/v1",
        TENANT.as_bytes(),
        RP.as_bytes(),
        b"customer-1",
        b"approval",
        &expires,
        &[5; 32],
        input.transaction_jcs.as_bytes(),
    ];
    for member in members {
        framed.extend((member.len() as u32).to_be_bytes());
        framed.extend(member);
    }
    assert_eq!(input.challenge(), sha256(&[&framed]));
    let shifted = ChallengeInput {
        rp_id: format!("{RP}c"),
        ..input.clone()
    };
    assert_ne!(shifted.challenge(), input.challenge());
}

#[test]
fn the_customers_key_is_read_as_registered() {
    let court = Court::new();
    let assertion = court.assertion(&Digest32([0; 32]), 5);
    let point = court.customer.verifying_key().to_sec1_point(false);
    let jwk = EcP256Jwk::from_sec1(point.as_bytes()).unwrap();
    assert!(
        assertion
            .public_key_cose
            .windows(32)
            .any(|w| w == &jwk.to_sec1()[1..33])
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_judge_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let assertion = Assertion {
            credential_id: String::new(),
            public_key_cose: bytes.clone(),
            authenticator_data: bytes.clone(),
            client_data_json: bytes.clone(),
            signature: bytes.clone(),
            sign_count: 0,
            user_verified: true,
            origin: String::new(),
        };
        prop_assert!(assertion.verify(RP, &Digest32([0; 32])).is_err());
        let _ = serde_json::from_slice::<Artefact>(&bytes);
    }
}
