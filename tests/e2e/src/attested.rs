//! Registrations that a maker of authenticators vouches for: format `packed` with a
//! certificate (WebAuthn Level 3 section 8.2).

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SigningKey as _,
};
use redoubt_bank::api::{b64u, from_b64u};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What a registration of format `none` has before its authenticator data.
const NONE: &[u8] = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58";

/// A maker: a root, and the key that speaks for one model.
pub struct Maker {
    /// DER of the root.
    pub root: Vec<u8>,
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Maker {
    /// A new one.
    pub fn new() -> Result<Self> {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "maker root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&root_key)?.der().to_vec();
        let issuer = Issuer::new(params, root_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        for (kind, value) in [
            (DnType::CountryName, "SE"),
            (DnType::OrganizationName, "Maker"),
            (DnType::OrganizationalUnitName, "Authenticator Attestation"),
            (DnType::CommonName, "Maker's model"),
        ] {
            params.distinguished_name.push(kind, value);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        let certificate = params.signed_by(&key, &issuer)?.der().to_vec();
        Ok(Self {
            root,
            key,
            certificate,
        })
    }

    /// A registration of format `none`, with this maker's statement instead.
    pub fn vouch(&self, created: &Value) -> Result<Value> {
        let part = |name: &str| -> Result<Vec<u8>> {
            let text = created["response"][name].as_str().context("response")?;
            Ok(from_b64u(text)?)
        };
        let object = part("attestationObject")?;
        let data = object.strip_prefix(NONE).context("no format none")?;
        let (length, data) = data.split_first().context("no data")?;
        ensure!(data.len() == usize::from(*length), "another length");
        let mut signed = data.to_vec();
        signed.extend_from_slice(&Sha256::digest(part("clientDataJSON")?));
        let mut out = b"\xa3\x63fmt\x66packed\x67attStmt\xa3\x63alg\x26\x63sig".to_vec();
        push_bytes(&mut out, &self.key.sign(&signed)?);
        out.extend_from_slice(b"\x63x5c\x81");
        push_bytes(&mut out, &self.certificate);
        out.extend_from_slice(b"\x68authData");
        push_bytes(&mut out, data);
        let mut vouched = created.clone();
        vouched["response"]["attestationObject"] = json!(b64u(&out));
        Ok(vouched)
    }
}

/// A CBOR byte string of up to 65535 bytes, as short as it can be said.
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match (bytes.len(), u8::try_from(bytes.len())) {
        (0..24, Ok(short)) => out.push(0x40 | short),
        (_, Ok(short)) => out.extend_from_slice(&[0x58, short]),
        (long, Err(_)) => {
            out.push(0x59);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
