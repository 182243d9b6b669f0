//! What browsers and authenticators send: WebAuthn's JSON, and the bytes inside it.

use redoubt_attestation::encode::{b64u, sha256};
use redoubt_enclave::passkeys::conformance::rows;
use redoubt_enclave::passkeys::{AuthenticationResponse, RegistrationResponse};
use serde_json::{Value, json};

use super::{Prepared, json_bytes};

const RP: &str = "bank.example";
const ORIGIN: &str = "https://bank.example";

fn client_data(kind: &str) -> Vec<u8> {
    let challenge = b64u(&[5; 32]);
    json_bytes(&json!({
        "type": kind, "challenge": challenge, "origin": ORIGIN, "crossOrigin": false,
    }))
}

/// An ES256 COSE_Key.
fn key() -> Vec<u8> {
    let head = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
    [&head[..], &[1; 32], &[0x22, 0x58, 32], &[2; 32]].concat()
}

/// Authenticator data, with a credential if it is of a registration.
fn authenticator_data(credential: bool) -> Vec<u8> {
    let mut data = sha256(&[RP.as_bytes()]).0.to_vec();
    data.push(if credential { 0x45 } else { 0x05 });
    data.extend([0, 0, 0, 7]);
    if credential {
        data.extend([0; 16]);
        data.extend([0, 16]);
        data.extend([8; 16]);
        data.extend(key());
    }
    data
}

/// {"fmt": fmt, "attStmt": statement, "authData": data}, the statement as CBOR.
fn attestation_object(fmt: &str, statement: &[u8]) -> Vec<u8> {
    let data = authenticator_data(true);
    let mut out = vec![0xa3, 0x63];
    out.extend(b"fmt");
    out.push(0x60 + fmt.len() as u8);
    out.extend(fmt.as_bytes());
    out.push(0x67);
    out.extend(b"attStmt");
    out.extend(statement);
    out.push(0x68);
    out.extend(b"authData");
    out.extend([0x59, (data.len() >> 8) as u8, data.len() as u8]);
    out.extend(data);
    out
}

fn packed_statement() -> Vec<u8> {
    let mut out = vec![0xa2, 0x63];
    out.extend(b"alg");
    out.push(0x26);
    out.push(0x63);
    out.extend(b"sig");
    out.extend([0x48, 0x30, 6, 2, 1, 1, 2, 1, 1]);
    out
}

pub(super) fn wire() -> Prepared {
    let id = b64u(&[8; 16]);
    let registration = json!({
        "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
        "authenticatorAttachment": "platform",
        "response": {
            "clientDataJSON": b64u(&client_data("webauthn.create")), "transports": ["internal"],
            "attestationObject": b64u(&attestation_object("none", &[0xa0])),
        },
    });
    let authentication = json!({
        "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
        "response": {
            "clientDataJSON": b64u(&client_data("webauthn.get")), "userHandle": b64u(b"user"),
            "authenticatorData": b64u(&authenticator_data(false)), "signature": b64u(&[1; 70]),
        },
    });
    let read = |input: &[u8]| {
        let _ = serde_json::from_slice::<RegistrationResponse>(input);
        let _ = serde_json::from_slice::<AuthenticationResponse>(input);
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = rows(text);
        }
    };
    let seeds = [
        json_bytes(&registration),
        json_bytes(&authentication),
        recording(registered(&attestation_object("none", &[0xa0]))).into_bytes(),
    ];
    (Box::new(read), seeds.to_vec())
}

/// A file of one recorded ceremony, which the verifier runs in full.
fn recording(mut case: Value) -> String {
    for (name, value) in [
        ("id", json!("fuzz")),
        ("source", json!("fuzz")),
        ("expect", json!("ok")),
        ("rp_id", json!(RP)),
        ("origin", json!(ORIGIN)),
    ] {
        case[name] = value;
    }
    json!({"cases": [case]}).to_string()
}

fn registered(object: &[u8]) -> Value {
    json!({"reg": {
        "id": b64u(&[8; 16]), "challenge": b64u(&[5; 32]),
        "clientDataJSON": b64u(&client_data("webauthn.create")), "attestationObject": b64u(object),
    }})
}

/// The attestation object: CBOR, authenticator data, key, statements of every format.
pub(super) fn registration() -> Prepared {
    let formats = [
        "none",
        "packed",
        "tpm",
        "android-key",
        "android-safetynet",
        "fido-u2f",
        "apple",
        "compound",
    ];
    let mut seeds: Vec<Vec<u8>> = formats
        .iter()
        .map(|fmt| attestation_object(fmt, &packed_statement()))
        .collect();
    seeds.push(attestation_object("none", &[0xa0]));
    let read = |object: &[u8]| drop(rows(&recording(registered(object))));
    (Box::new(read), seeds)
}

/// Authenticator data and, behind a length byte, the credential's key.
pub(super) fn assertion() -> Prepared {
    let read = |input: &[u8]| {
        let (length, rest) = input.split_first().unwrap_or((&0, &[]));
        let (data, key) = rest.split_at(usize::from(*length).min(rest.len()));
        let case = json!({"auth": {
            "id": b64u(&[8; 16]), "challenge": b64u(&[5; 32]),
            "clientDataJSON": b64u(&client_data("webauthn.get")),
            "authenticatorData": b64u(data), "signature": b64u(&[0x30, 6, 2, 1, 1, 2, 1, 1]),
            "userHandle": null, "credential_public_key": b64u(key),
        }});
        let _ = rows(&recording(case));
    };
    let seed = [&[37][..], &authenticator_data(false), &key()].concat();
    (Box::new(read), vec![seed])
}
