//! Roots and leaves of the emulated attester.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use time::{Duration, OffsetDateTime};

/// A root or leaf could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("emulated attester, {what}: {problem}")]
pub struct CertificateError {
    what: &'static str,
    problem: String,
}

impl CertificateError {
    pub(super) fn new(what: &'static str, problem: impl ToString) -> Self {
        Self {
            what,
            problem: problem.to_string(),
        }
    }
}

/// A new P-384 root: certificate and private key, both PEM. Whoever holds the
/// key can forge any emulated enclave; only an emulated genesis trusts it.
pub fn emulated_root(name: &str) -> Result<(String, String), CertificateError> {
    let wrong = |error: rcgen::Error| CertificateError::new("making a root", error);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(wrong)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::OrganizationName,
        "Redoubt emulated, not for production",
    );
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = params.not_before + Duration::days(3650);
    let certificate = params.self_signed(&key).map_err(wrong)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A short-lived leaf under a root: certificate in DER and private key in PKCS#8.
pub(super) fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    module_id: &str,
    from: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
    let wrong = |error: rcgen::Error| CertificateError::new("making a leaf", error);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(wrong)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, module_id);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = from;
    params.not_after = until;
    let certificate = params.signed_by(&key, issuer).map_err(wrong)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}
