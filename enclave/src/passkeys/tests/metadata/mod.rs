//! FIDO metadata BLOBs of a service of our own.

mod chains;
mod envelopes;
mod payloads;
mod reports;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::certificates::Authority;
use crate::passkeys::Base64Url;
use crate::passkeys::metadata::{Expectation, Metadata, MetadataError, Overdue, SIGNER, verify};

/// 2026-06-15T12:00:00Z.
const NOW_MS: u64 = 1_781_524_800_000;
const DAY_MS: u64 = 86_400_000;

/// The service: root, authority below it, signer.
struct Service {
    root: Authority,
    middle: Authority,
    key: KeyPair,
    signer: Vec<u8>,
}

/// A certificate as the service has it.
fn signer_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec![SIGNER.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
}

impl Service {
    fn new() -> Self {
        Self::with(&signer_params(), &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    fn with(params: &CertificateParams, algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let root = Authority::new("root");
        let middle = root.intermediate("middle");
        Self::below(root, middle, params, algorithm)
    }

    fn below(
        root: Authority,
        middle: Authority,
        params: &CertificateParams,
        algorithm: &'static rcgen::SignatureAlgorithm,
    ) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let signer = middle.certify(params, &key);
        Self {
            root,
            middle,
            key,
            signer,
        }
    }

    fn header(&self) -> Value {
        self.header_with(&[&self.signer, &self.middle.der])
    }

    fn header_with(&self, chain: &[&[u8]]) -> Value {
        let x5c: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
        json!({"alg": "ES256", "typ": "JWT", "x5c": x5c})
    }

    /// A BLOB with this header and payload, signed with the signer's key.
    fn sign(&self, header: &str, payload: &str) -> String {
        let part = |text: &str| Base64Url::from(text.as_bytes()).encode();
        let input = format!("{}.{}", part(header), part(payload));
        let signature = Base64Url::from(self.signature(input.as_bytes()));
        format!("{input}.{}", signature.encode())
    }

    fn signature(&self, input: &[u8]) -> Vec<u8> {
        let pkcs8 = self.key.serialize_der();
        let random = SystemRandom::new();
        if self.key.algorithm() == &rcgen::PKCS_RSA_SHA256 {
            let key = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&lc::RSA_PKCS1_SHA256, &random, input, &mut signature)
                .unwrap();
            return signature;
        }
        let algorithm = match self.key.algorithm() == &rcgen::PKCS_ECDSA_P384_SHA384 {
            true => &lc::ECDSA_P384_SHA384_FIXED_SIGNING,
            false => &lc::ECDSA_P256_SHA256_FIXED_SIGNING,
        };
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap();
        key.sign(&random, input).unwrap().as_ref().to_vec()
    }

    fn blob(&self, payload: &Value) -> String {
        self.sign(&self.header().to_string(), &payload.to_string())
    }

    fn verify(&self, blob: &str) -> Result<Metadata, MetadataError> {
        self.verify_as(blob, |_| ())
    }

    fn verify_as(
        &self,
        blob: &str,
        change: impl FnOnce(&mut Expectation<'_>),
    ) -> Result<Metadata, MetadataError> {
        let roots = vec![self.root.der.clone()];
        let mut expected = Expectation {
            roots: &roots,
            signer: SIGNER,
            now_ms: NOW_MS,
            last: None,
            overdue: Overdue::Accept,
        };
        change(&mut expected);
        verify(blob.as_bytes(), &expected)
    }
}

const AAGUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

fn payload() -> Value {
    json!({
        "legalHeader": {"whatever": 1},
        "no": 7,
        "nextUpdate": "2026-07-01",
        "entries": [{
            "aaguid": AAGUID,
            "metadataStatement": {"attestationRootCertificates": []},
            "statusReports": [{"status": "FIDO_CERTIFIED", "effectiveDate": "2026-01-01"}],
            "timeOfLastStatusChange": "2026-01-01",
            "invented": {},
        }],
    })
}

#[track_caller]
fn refused(result: Result<Metadata, MetadataError>, reason: &str) {
    let error = result.map(|metadata| metadata.seen.number).unwrap_err();
    assert_eq!(error.reason(), reason);
}
