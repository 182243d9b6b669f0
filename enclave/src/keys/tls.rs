//! The TLS key of this boot and the certificates around it.
//!
//! Protects clients that only have curl: they pin a CA whose key lives in the
//! sealed ledger, and a leaf proves that an unsealed, attested enclave minted it
//! within the last day. The CA's key signs through a type of our own, since the
//! library's keeps its private key after it is dropped.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::Entropy;
use redoubt_attestation::sign::{Es256Signer, SignerError};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// How long a leaf is valid.
const LEAF_HOURS: i64 = 24;
const CA_YEARS: i64 = 10;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library's reason.
    #[error("certificate: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// The key could not be made.
    #[error("certificate key: {0}")]
    Signer(#[from] SignerError),
    /// The time is outside what a certificate can say.
    #[error("certificate: the time {0} ms is out of range")]
    Time(u64),
}

/// The P-256 key this boot speaks TLS with.
pub struct TlsKey(KeyPair);

impl TlsKey {
    /// Makes a key.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, CertificateError> {
        Ok(Self(key_pair(entropy)?))
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(&self.0)
    }

    /// For the TLS stack.
    pub fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.0.serialize_der()))
    }

    /// The certificate served before unsealing: it proves nothing, the evidence does.
    pub fn self_signed(
        &self,
        names: &[String],
        now_ms: u64,
    ) -> Result<CertificateDer<'static>, CertificateError> {
        let params = leaf_params(names, "redoubt enclave awaiting unseal", now_ms)?;
        Ok(params.self_signed(&self.0)?.into())
    }
}

/// A P-256 key that signs certificates, and is wiped when dropped.
struct CaKey {
    signer: Es256Signer,
    /// Its public point, SEC 1.
    point: [u8; 65],
}

impl CaKey {
    fn of(signer: Es256Signer) -> Self {
        let point = signer.jwk().to_sec1();
        Self { signer, point }
    }
}

impl rcgen::PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.signer.sign_der(message);
        signature.map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// The CA whose certificate clients pin.
pub struct CertificateAuthority {
    key: CaKey,
    certificate: CertificateDer<'static>,
}

impl CertificateAuthority {
    /// Makes a CA for an appliance.
    pub fn generate(
        appliance: &str,
        now_ms: u64,
        entropy: &dyn Entropy,
    ) -> Result<Self, CertificateError> {
        let key = CaKey::of(Es256Signer::generate(entropy)?);
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Redoubt {appliance} CA"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = at(now_ms)?;
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(365 * CA_YEARS);
        let certificate = params.self_signed(&key)?.into();
        Ok(Self { key, certificate })
    }

    /// Restores a CA from the sealed ledger.
    pub fn restore(pkcs8: &[u8], certificate: Vec<u8>) -> Result<Self, CertificateError> {
        let key = CaKey::of(Es256Signer::from_pkcs8_der(pkcs8)?);
        Ok(Self {
            key,
            certificate: certificate.into(),
        })
    }

    /// The private key, for sealed storage and nothing else.
    pub fn expose_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SignerError> {
        self.key.signer.expose_pkcs8_der()
    }

    /// The certificate to pin.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate to pin, PEM.
    pub fn certificate_pem(&self) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap_or_default())
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> Digest32 {
        redoubt_attestation::encode::sha256(&[&self.key.signer.jwk().to_spki()])
    }

    /// A leaf for this boot's TLS key.
    pub fn mint(
        &self,
        key: &TlsKey,
        names: &[String],
        now_ms: u64,
    ) -> Result<CertificateDer<'static>, CertificateError> {
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        let params = leaf_params(names, "redoubt enclave", now_ms)?;
        Ok(params.signed_by(&key.0, &issuer)?.into())
    }
}

/// A P-256 key from the enclave's own entropy, not the library's.
fn key_pair(entropy: &dyn Entropy) -> Result<KeyPair, CertificateError> {
    let pem = Es256Signer::generate(entropy)?.expose_pkcs8_pem()?;
    Ok(KeyPair::from_pkcs8_pem_and_sign_algo(
        &pem,
        &PKCS_ECDSA_P256_SHA256,
    )?)
}

fn leaf_params(
    names: &[String],
    common_name: &str,
    now_ms: u64,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let now = at(now_ms)?;
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::hours(LEAF_HOURS - 1);
    Ok(params)
}

fn at(now_ms: u64) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp((now_ms / 1000) as i64)
        .map_err(|_| CertificateError::Time(now_ms))
}
