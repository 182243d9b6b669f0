//! Public keys, from COSE and from X.509, and the one place that verifies.
//!
//! Protects against keys that mean two things: key type, algorithm, curve and
//! coordinate lengths have to agree, compressed points are refused (§5.8.5), and
//! no member may be missing or of another type.

use aws_lc_rs::signature::{self as lc, RsaPublicKeyComponents, UnparsedPublicKey};

use super::algorithm::Algorithm;
use super::cbor::{self, CborError, Form, Map};

/// Why a COSE key is not a usable credential public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not CBOR.
    #[error("COSE key: {0}")]
    Cbor(CborError),
    /// `kty` or `alg` missing, or an algorithm unknown here.
    #[error("COSE key names no algorithm that is known here")]
    UnknownAlgorithm,
    /// `kty` or `crv` does not belong to `alg`.
    #[error("COSE key type or curve does not belong to its algorithm")]
    TypeMismatch,
    /// A parameter is missing, of the wrong type or of the wrong length.
    #[error("COSE key parameter is missing, compressed or of the wrong length")]
    BadParameter,
}

impl KeyError {
    /// Stable name of this error.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Cbor(_) => "public_key_malformed",
            Self::UnknownAlgorithm => "public_key_algorithm_unknown",
            Self::TypeMismatch => "public_key_type_mismatch",
            Self::BadParameter => "public_key_parameter_bad",
        }
    }
}

/// Elliptic curves of EC2 keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
    Secp256k1,
}

impl Curve {
    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// The key itself, independent of where it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyMaterial {
    /// Uncompressed point, `04 || x || y`.
    Ec { curve: Curve, point: Vec<u8> },
    /// Ed25519, 32 bytes.
    Ed25519(Vec<u8>),
    /// Ed448, 57 bytes.
    Ed448(Vec<u8>),
    /// RSA, both big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// ML-DSA public key.
    MlDsa(Vec<u8>),
}

/// A key together with the only algorithm it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) material: KeyMaterial,
}

const KTY: i64 = 1;
const ALG: i64 = 3;
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
const AKP: i64 = 7;

impl PublicKey {
    /// Reads a stored COSE key that fills `bytes`. That it is canonical was
    /// judged at registration; imported keys of early authenticators are not.
    pub(crate) fn from_cose(bytes: &[u8]) -> Result<Self, KeyError> {
        let value = cbor::decode(bytes, Form::WellFormed).map_err(KeyError::Cbor)?;
        Self::from_map(value.as_map().ok_or(KeyError::UnknownAlgorithm)?)
    }

    /// Reads a decoded COSE key.
    pub(crate) fn from_map(map: &Map<'_>) -> Result<Self, KeyError> {
        let integer = |label| map.int(label).and_then(cbor::Value::as_integer);
        let algorithm = integer(ALG)
            .and_then(Algorithm::from_cose_id)
            .ok_or(KeyError::UnknownAlgorithm)?;
        let kty = integer(KTY).ok_or(KeyError::TypeMismatch)?;
        let crv = integer(-1);
        let material = match (kty, Family::of(algorithm)) {
            (EC2, Family::Ec(curve, identifier)) => {
                require(crv == Some(identifier), KeyError::TypeMismatch)?;
                ec2(map, curve)?
            }
            (OKP, Family::Ed25519) => {
                require(crv == Some(6), KeyError::TypeMismatch)?;
                KeyMaterial::Ed25519(sized(map, -2, 32)?)
            }
            (OKP, Family::Ed448) => {
                require(crv == Some(7), KeyError::TypeMismatch)?;
                KeyMaterial::Ed448(sized(map, -2, 57)?)
            }
            (RSA, Family::Rsa) => KeyMaterial::Rsa {
                n: unsigned(map, -1)?,
                e: unsigned(map, -2)?,
            },
            (AKP, Family::MlDsa(length)) => KeyMaterial::MlDsa(sized(map, -1, length)?),
            _ => return Err(KeyError::TypeMismatch),
        };
        Ok(Self {
            algorithm,
            material,
        })
    }

    /// Whether `signature` over `message` verifies under this key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.material.verify(self.algorithm, message, signature)
    }
}

/// What kind of key an algorithm needs.
enum Family {
    Ec(Curve, i64),
    Ed25519,
    Ed448,
    Rsa,
    MlDsa(usize),
}

impl Family {
    fn of(algorithm: Algorithm) -> Self {
        use Algorithm as A;
        match algorithm {
            A::Es256 | A::Esp256 => Self::Ec(Curve::P256, 1),
            A::Es384 | A::Esp384 => Self::Ec(Curve::P384, 2),
            A::Es512 | A::Esp512 => Self::Ec(Curve::P521, 3),
            A::Es256K => Self::Ec(Curve::Secp256k1, 8),
            A::EdDsa | A::Ed25519 => Self::Ed25519,
            A::Ed448 => Self::Ed448,
            A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512 | A::Rs1 => Self::Rsa,
            A::MlDsa44 => Self::MlDsa(1312),
            A::MlDsa65 => Self::MlDsa(1952),
            A::MlDsa87 => Self::MlDsa(2592),
        }
    }
}

fn ec2(map: &Map<'_>, curve: Curve) -> Result<KeyMaterial, KeyError> {
    let width = curve.coordinate_bytes();
    let mut point = vec![4];
    point.extend(sized(map, -2, width)?);
    point.extend(sized(map, -3, width)?);
    Ok(KeyMaterial::Ec { curve, point })
}

fn sized(map: &Map<'_>, label: i64, length: usize) -> Result<Vec<u8>, KeyError> {
    match map.int(label).and_then(cbor::Value::as_bytes) {
        Some(bytes) if bytes.len() == length => Ok(bytes.to_vec()),
        _ => Err(KeyError::BadParameter),
    }
}

fn unsigned(map: &Map<'_>, label: i64) -> Result<Vec<u8>, KeyError> {
    match map.int(label).and_then(cbor::Value::as_bytes) {
        Some(bytes) if !strip_zeros(bytes).is_empty() && bytes.len() <= 1024 => {
            Ok(strip_zeros(bytes).to_vec())
        }
        _ => Err(KeyError::BadParameter),
    }
}

/// A big-endian unsigned integer without leading zeros.
pub(crate) fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn require(holds: bool, otherwise: KeyError) -> Result<(), KeyError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl KeyMaterial {
    /// Whether `signature` over `message` verifies under this key with exactly
    /// `algorithm`; a key of another kind never verifies.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ec { curve, point } => ecdsa(algorithm, *curve)
                .is_some_and(|verifier| lc_verify(verifier, point, message, signature)),
            Self::Ed25519(key) => match algorithm {
                Algorithm::EdDsa | Algorithm::Ed25519 => {
                    lc_verify(&lc::ED25519, key, message, signature)
                }
                _ => false,
            },
            Self::Ed448(key) => {
                algorithm == Algorithm::Ed448 && super::ed448::verify(key, message, signature)
            }
            Self::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).is_ok()
            }),
            Self::MlDsa(key) => ml_dsa(algorithm)
                .is_some_and(|verifier| lc_verify(verifier, key, message, signature)),
        }
    }
}

fn lc_verify(
    verifier: &'static dyn lc::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(verifier, key)
        .verify(message, signature)
        .is_ok()
}

/// Attestation keys may combine a curve with any SHA-2; credential keys cannot,
/// their curve was fixed when they were read.
fn ecdsa(algorithm: Algorithm, curve: Curve) -> Option<&'static lc::EcdsaVerificationAlgorithm> {
    use Algorithm as A;
    match (algorithm, curve) {
        (A::Es256 | A::Esp256, Curve::P256) => Some(&lc::ECDSA_P256_SHA256_ASN1),
        (A::Es384 | A::Esp384, Curve::P384) => Some(&lc::ECDSA_P384_SHA384_ASN1),
        (A::Es512 | A::Esp512, Curve::P521) => Some(&lc::ECDSA_P521_SHA512_ASN1),
        (A::Es256K, Curve::Secp256k1) => Some(&lc::ECDSA_P256K1_SHA256_ASN1),
        (A::Es256, Curve::P384) => Some(&lc::ECDSA_P384_SHA256_ASN1),
        (A::Es256, Curve::P521) => Some(&lc::ECDSA_P521_SHA256_ASN1),
        (A::Es384, Curve::P256) => Some(&lc::ECDSA_P256_SHA384_ASN1),
        (A::Es384, Curve::P521) => Some(&lc::ECDSA_P521_SHA384_ASN1),
        (A::Es512, Curve::P256) => Some(&lc::ECDSA_P256_SHA512_ASN1),
        (A::Es512, Curve::P384) => Some(&lc::ECDSA_P384_SHA512_ASN1),
        _ => None,
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static lc::RsaParameters> {
    use Algorithm as A;
    match algorithm {
        A::Rs256 => Some(&lc::RSA_PKCS1_2048_8192_SHA256),
        A::Rs384 => Some(&lc::RSA_PKCS1_2048_8192_SHA384),
        A::Rs512 => Some(&lc::RSA_PKCS1_2048_8192_SHA512),
        A::Ps256 => Some(&lc::RSA_PSS_2048_8192_SHA256),
        A::Ps384 => Some(&lc::RSA_PSS_2048_8192_SHA384),
        A::Ps512 => Some(&lc::RSA_PSS_2048_8192_SHA512),
        A::Rs1 => Some(&lc::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

fn ml_dsa(algorithm: Algorithm) -> Option<&'static lc::PqdsaVerificationAlgorithm> {
    match algorithm {
        Algorithm::MlDsa44 => Some(&lc::ML_DSA_44),
        Algorithm::MlDsa65 => Some(&lc::ML_DSA_65),
        Algorithm::MlDsa87 => Some(&lc::ML_DSA_87),
        _ => None,
    }
}
