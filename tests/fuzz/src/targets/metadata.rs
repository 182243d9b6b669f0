//! What the FIDO metadata service sends: envelope, certificates, payload.

use redoubt_attestation::encode::b64u;
use redoubt_enclave::passkeys::metadata::conformance::{read_payload, row};
use redoubt_enclave::passkeys::metadata::{Expectation, Overdue, SIGNER};
use serde_json::{Value, json};

use super::{NOW_MS, Paper, Prepared, json_bytes};

fn seed() -> Value {
    json!({
        "legalHeader": "", "no": 7, "nextUpdate": "2026-07-01",
        "entries": [
            {
                "aaguid": "00112233-4455-6677-8899-aabbccddeeff",
                "metadataStatement": {"attestationRootCertificates": ["MAA="]},
                "statusReports": [{"status": "REVOKED", "effectiveDate": "2026-01-01"}],
            },
            {"aaid": "4e4e#4005", "statusReports": [{"status": "UPDATE_AVAILABLE"}]},
            {"attestationCertificateKeyIdentifiers": ["00".repeat(20)], "statusReports": []},
        ],
    })
}

/// The base64 between the lines of a PEM.
fn base64_of(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

pub(super) fn blob() -> Prepared {
    let certificate = base64_of(&Paper::new().root);
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "x5c": [certificate]});
    let seeds = ["ES256", "RS256", "none"].map(|alg| json_bytes(&header(alg)));
    let payload = b64u(&json_bytes(&seed()));
    let roots = vec![vec![0x30, 0]];
    let read = move |input: &[u8]| {
        let mut expected = Expectation {
            roots: &roots,
            signer: SIGNER,
            now_ms: NOW_MS,
            last: None,
            overdue: Overdue::Refuse,
        };
        let _ = row(input, &mut expected);
        // Bent headers in an envelope that can be read.
        let signature = b64u(&[1; 64]);
        let blob = format!("{}.{payload}.{signature}", b64u(input));
        let _ = row(blob.as_bytes(), &mut expected);
    };
    (Box::new(read), seeds.to_vec())
}

/// Nobody signs what was bent, so the payload is read without its envelope.
pub(super) fn payload() -> Prepared {
    let seed = json_bytes(&seed());
    assert!(read_payload(&seed).is_ok(), "the seed is a good payload");
    let read = |input: &[u8]| {
        let _ = read_payload(input);
    };
    (Box::new(read), vec![seed])
}
