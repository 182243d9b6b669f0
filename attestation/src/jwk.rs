//! Public keys as JSON Web Keys: EC P-256 (RFC 7518), AKP ML-DSA-65 (RFC 9964)
//! and OKP Ed25519 (RFC 8037), with RFC 7638 thumbprints as key ids.
//!
//! Protects against a key of one kind standing where another belongs: one type
//! per kind, unknown members refused, coordinates of exact length.

use serde::{Deserialize, Serialize};

use crate::encode::{Digest32, b64u, b64u_array, b64u_bytes, exactly, sha256};

/// Bytes of an ML-DSA-65 public key.
pub const ML_DSA_65_PUBLIC: usize = 1952;
/// DER in front of the uncompressed point of every P-256 SubjectPublicKeyInfo.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

macro_rules! constant_member {
    ($name:ident, $variant:ident, $text:literal) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        enum $name {
            #[serde(rename = $text)]
            $variant,
        }
    };
}
constant_member!(KtyEc, Ec, "EC");
constant_member!(CrvP256, P256, "P-256");
constant_member!(KtyAkp, Akp, "AKP");
constant_member!(AlgMlDsa65, MlDsa65, "ML-DSA-65");
constant_member!(KtyOkp, Okp, "OKP");
constant_member!(CrvEd25519, Ed25519, "Ed25519");

/// An ECDSA P-256 public key, algorithm ES256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EcP256Jwk {
    kty: KtyEc,
    crv: CrvP256,
    #[serde(with = "b64u_array")]
    x: [u8; 32],
    #[serde(with = "b64u_array")]
    y: [u8; 32],
}

impl EcP256Jwk {
    /// From an uncompressed SEC1 point (0x04, x, y). Whether it lies on the curve
    /// is checked by whoever verifies with it.
    pub fn from_sec1(point: &[u8]) -> Option<Self> {
        let point: [u8; 65] = exactly(point).ok()?;
        if point[0] != 4 {
            return None;
        }
        Some(Self {
            kty: KtyEc::Ec,
            crv: CrvP256::P256,
            x: exactly(&point[1..33]).ok()?,
            y: exactly(&point[33..]).ok()?,
        })
    }

    /// From a SubjectPublicKeyInfo with the named curve P-256 and an uncompressed point.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        Self::from_sec1(spki.strip_prefix(&P256_SPKI_PREFIX)?)
    }

    /// The uncompressed SEC1 point.
    pub fn to_sec1(&self) -> [u8; 65] {
        let mut point = [4; 65];
        point[1..33].copy_from_slice(&self.x);
        point[33..].copy_from_slice(&self.y);
        point
    }

    /// The SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        [&P256_SPKI_PREFIX[..], &self.to_sec1()].concat()
    }

    /// RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> Digest32 {
        let (x, y) = (b64u(&self.x), b64u(&self.y));
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        sha256(&[text.as_bytes()])
    }

    /// The thumbprint as a key id.
    pub fn kid(&self) -> String {
        b64u(&self.thumbprint().0)
    }
}

/// An ML-DSA-65 public key (RFC 9964).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "AkpWire", into = "AkpWire")]
pub struct AkpMlDsa65Jwk {
    public: Box<[u8; ML_DSA_65_PUBLIC]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AkpWire {
    kty: KtyAkp,
    alg: AlgMlDsa65,
    #[serde(rename = "pub", with = "b64u_bytes")]
    public: Vec<u8>,
}

impl TryFrom<AkpWire> for AkpMlDsa65Jwk {
    type Error = &'static str;
    fn try_from(wire: AkpWire) -> Result<Self, &'static str> {
        Self::from_bytes(&wire.public).ok_or("pub: an ML-DSA-65 public key has 1952 bytes")
    }
}

impl From<AkpMlDsa65Jwk> for AkpWire {
    fn from(jwk: AkpMlDsa65Jwk) -> Self {
        Self {
            kty: KtyAkp::Akp,
            alg: AlgMlDsa65::MlDsa65,
            public: jwk.public.to_vec(),
        }
    }
}

impl AkpMlDsa65Jwk {
    /// From the FIPS 204 encoding of the public key.
    pub fn from_bytes(public: &[u8]) -> Option<Self> {
        Some(Self {
            public: Box::new(exactly(public).ok()?),
        })
    }

    /// The FIPS 204 encoding.
    pub fn as_bytes(&self) -> &[u8; ML_DSA_65_PUBLIC] {
        &self.public
    }

    /// RFC 7638 thumbprint over the members that RFC 9964 requires.
    pub fn thumbprint(&self) -> Digest32 {
        let public = b64u(&self.public[..]);
        let text = format!(r#"{{"alg":"ML-DSA-65","kty":"AKP","pub":"{public}"}}"#);
        sha256(&[text.as_bytes()])
    }

    /// The thumbprint as a key id.
    pub fn kid(&self) -> String {
        b64u(&self.thumbprint().0)
    }
}

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OkpEd25519Jwk {
    kty: KtyOkp,
    crv: CrvEd25519,
    #[serde(with = "b64u_array")]
    x: [u8; 32],
}

impl OkpEd25519Jwk {
    /// From the 32 bytes of RFC 8032.
    pub fn from_bytes(x: [u8; 32]) -> Self {
        Self {
            kty: KtyOkp::Okp,
            crv: CrvEd25519::Ed25519,
            x,
        }
    }

    /// The 32 bytes of RFC 8032.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.x
    }

    /// RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> Digest32 {
        let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64u(&self.x));
        sha256(&[text.as_bytes()])
    }

    /// The thumbprint as a key id.
    pub fn kid(&self) -> String {
        b64u(&self.thumbprint().0)
    }
}

/// Any of the three kinds, told apart by their members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Jwk {
    /// ECDSA P-256.
    EcP256(EcP256Jwk),
    /// ML-DSA-65.
    MlDsa65(AkpMlDsa65Jwk),
    /// Ed25519.
    Ed25519(OkpEd25519Jwk),
}

impl Jwk {
    /// The thumbprint as a key id.
    pub fn kid(&self) -> String {
        match self {
            Jwk::EcP256(key) => key.kid(),
            Jwk::MlDsa65(key) => key.kid(),
            Jwk::Ed25519(key) => key.kid(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}"#;

    #[test]
    fn a_key_of_one_kind_is_not_read_as_another() {
        assert!(matches!(serde_json::from_str(EC).unwrap(), Jwk::EcP256(_)));
        assert!(serde_json::from_str::<OkpEd25519Jwk>(EC).is_err());
        assert!(serde_json::from_str::<EcP256Jwk>(&EC.replace("P-256", "P-384")).is_err());
        assert!(serde_json::from_str::<EcP256Jwk>(&EC.replace("AAE\"", "\"")).is_err());
    }

    #[test]
    fn a_private_member_is_refused() {
        let leaky = EC.replace("}", r#","d":"AA"}"#);
        assert!(serde_json::from_str::<EcP256Jwk>(&leaky).is_err());
    }

    #[test]
    fn the_ed25519_thumbprint_is_that_of_rfc_8037() {
        let jwk: OkpEd25519Jwk = serde_json::from_str(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        )
        .unwrap();
        assert_eq!(jwk.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn spki_and_point_agree() {
        let jwk: EcP256Jwk = serde_json::from_str(EC).unwrap();
        assert_eq!(EcP256Jwk::from_spki(&jwk.to_spki()), Some(jwk.clone()));
        assert_eq!(EcP256Jwk::from_sec1(&jwk.to_sec1()), Some(jwk));
        assert_eq!(EcP256Jwk::from_spki(&[0; 91]), None);
    }
}
