//! FIDO metadata BLOBs of a service of our own.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use redoubt_attestation::sign::Es256Signer;
use redoubt_enclave::passkeys::metadata::SIGNER;
use serde_json::{Value, json};

/// A root and a signer below it, under the service's name.
pub struct Blobs {
    /// PEM of the root.
    pub root: String,
    signer: Es256Signer,
    certificate: Vec<u8>,
}

impl Blobs {
    /// A new one.
    pub fn new() -> Result<Self> {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "metadata root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&root_key)?.pem();
        let issuer = Issuer::new(params, root_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec![SIGNER.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "signer");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &issuer)?.der().to_vec();
        Ok(Self {
            root,
            signer: Es256Signer::from_pkcs8_pem(&key.serialize_pem())?,
            certificate,
        })
    }

    /// A BLOB of this number: models with the names of their reports, newest first.
    pub fn blob(&self, number: u64, models: &[(&str, &[&str])]) -> Result<String> {
        let entries = models.iter().map(|(aaguid, reports)| {
            let dated = reports.iter().enumerate().map(|(age, status)| {
                json!({ "status": status, "effectiveDate": format!("2025-01-{:02}", 28 - age) })
            });
            json!({
                "aaguid": aaguid,
                "metadataStatement": { "attestationRootCertificates": [] },
                "statusReports": dated.collect::<Vec<_>>(),
                "timeOfLastStatusChange": "2025-01-28",
            })
        });
        self.sign(&json!({
            "no": number,
            "nextUpdate": "2999-12-31",
            "entries": entries.collect::<Vec<_>>(),
        }))
    }

    /// A BLOB with this payload.
    pub fn sign(&self, payload: &Value) -> Result<String> {
        let x5c = [STANDARD.encode(&self.certificate)];
        let header = json!({ "alg": "ES256", "typ": "JWT", "x5c": x5c });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(payload));
        let signature = self.signer.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
