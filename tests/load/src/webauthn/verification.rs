//! One assertion verified (WebAuthn Level 3 section 7.2), beside the signature
//! check it cannot do without, in one thread.

use anyhow::{Context, Result};
use redoubt_attestation::encode::{b64u, sha256};
use redoubt_enclave::passkeys::{
    self, AssertionExpectation, AttestationFormat, AuthenticationResponse, BackupPolicy,
    CredentialRecord, CrossOrigin, Identification, Origins, SignCountPolicy, UserVerification,
};
use serde_json::json;

use super::keys::{ALGORITHMS, Key};
use crate::cpu;
use crate::rows::Row;

const RP_ID: &str = "bank.example";
const ORIGIN: &str = "https://login.bank.example";
const CHALLENGE: &[u8] = b"0123456789abcdef0123456789abcdef";
const USER_HANDLE: &[u8] = b"sixteen byte id!";
/// Least share of the bare rate.
const SHARE: f64 = 0.8;
const CALLS: usize = 100;
/// Both sides take turns; the best round of each counts.
const ROUNDS: usize = 20;

pub(super) fn rows() -> Result<Vec<Row>> {
    ALGORITHMS
        .into_iter()
        .map(|algorithm| row(&Key::generate(algorithm)?))
        .collect()
}

fn row(key: &Key) -> Result<Row> {
    let signed = Signed::by(key)?;
    let record = record(key, b"credential".to_vec());
    anyhow::ensure!(key.bare(&signed.message, &signed.signature));
    let (mut ours, mut bare) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        ours = ours.min(cpu::per_call(CALLS, || assert!(signed.holds(&record)))?);
        bare = bare.min(cpu::per_call(CALLS, || {
            assert!(key.bare(&signed.message, &signed.signature))
        })?);
    }
    let name = format!(
        "webauthn: {} assertions a second in one thread, against bare signature checks",
        key.algorithm.name()
    );
    let n = ROUNDS * CALLS * 5;
    Ok(Row::new(name, 1e6 / ours, 1e6 / bare, "/s", n).at_least(SHARE))
}

/// What is kept of a key.
pub(super) fn record(key: &Key, id: Vec<u8>) -> CredentialRecord {
    CredentialRecord {
        id,
        public_key: key.cose.clone(),
        algorithm: key.algorithm,
        sign_count: 0,
        uv_initialized: true,
        transports: vec!["internal".into(), "hybrid".into()],
        backup_eligible: false,
        backup_state: false,
        attestation_format: AttestationFormat::None,
        attestation_trusted: false,
        aaguid: [6; 16],
        created_ms: 1_700_000_000_000,
    }
}

/// An assertion as a browser sends it.
struct Signed {
    response: AuthenticationResponse,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn by(key: &Key) -> Result<Self> {
        let client_data = json!({
            "type": "webauthn.get",
            "challenge": b64u(CHALLENGE),
            "origin": ORIGIN,
            "crossOrigin": false,
        })
        .to_string();
        let mut data = sha256(&[RP_ID.as_bytes()]).0.to_vec();
        data.extend([0x05, 0, 0, 0, 1]);
        let message = [&data[..], &sha256(&[client_data.as_bytes()]).0].concat();
        let signature = key.sign(&message)?;
        let response = serde_json::from_value(json!({
            "id": b64u(b"credential"),
            "rawId": b64u(b"credential"),
            "type": "public-key",
            "response": {
                "clientDataJSON": b64u(client_data.as_bytes()),
                "authenticatorData": b64u(&data),
                "signature": b64u(&signature),
                "userHandle": b64u(USER_HANDLE),
            },
            "clientExtensionResults": {},
        }));
        Ok(Self {
            response: response.context("our own assertion does not read")?,
            message,
            signature,
        })
    }

    fn holds(&self, record: &CredentialRecord) -> bool {
        let origins = [ORIGIN.to_owned()];
        let expectation = AssertionExpectation {
            challenge: CHALLENGE,
            rp_id: RP_ID,
            origins: Origins::Exactly(&origins),
            cross_origin: CrossOrigin::Refuse,
            user_verification: UserVerification::Required,
            backup: BackupPolicy::Any,
            sign_count: SignCountPolicy::Refuse,
            allow_credentials: &[&record.id],
            identification: Identification::Before {
                user_handle: USER_HANDLE,
            },
            credential: record,
        };
        passkeys::assert(&self.response, &expectation).is_ok()
    }
}
