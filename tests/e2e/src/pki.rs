//! Certificates for every role of a test: each role has its own anchor.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use redoubt_bank::dev::Identity;
use redoubt_bank::tls::ClientPem;

/// A certificate authority of one bank or role.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// PEM of its certificate.
    pub anchor: String,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let anchor = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            anchor,
        })
    }

    /// A client certificate with these names.
    pub fn client(&self, common_name: &str, names: &[&str]) -> Result<ClientPem> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ClientPem {
            cert: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        })
    }
}

/// A self-signed server certificate and its key, PEM.
pub fn self_signed_server(name: &str) -> Result<ClientPem> {
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec![name.to_owned()])?;
    Ok(ClientPem {
        cert: params.self_signed(&key)?.pem().into_bytes(),
        key: key.serialize_pem().into_bytes(),
    })
}

/// Writes an identity to files.
pub fn write(dir: &Path, name: &str, pem: &ClientPem) -> Result<Identity> {
    let file = |kind: &str| -> PathBuf { dir.join(format!("{name}.{kind}")) };
    let identity = Identity {
        cert: file("crt"),
        key: file("key"),
    };
    std::fs::write(&identity.cert, &pem.cert)?;
    std::fs::write(&identity.key, &pem.key)?;
    Ok(identity)
}
