//! Customers' keys: every algorithm that options offer, each judged by two
//! implementations.

use aws_lc_rs::signature as lc;
use ml_dsa::{EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams};
use p256::ecdsa::signature::Verifier as _;
use rsa::BoxedUint;
use sha2::Sha256;

use super::BadSignature;

/// Bits of an RSA modulus: aws-lc-rs judges 2048 to 8192, so both do.
const RSA_BITS: (u32, usize) = (2048, 8192);

/// A credential's public key with the one algorithm it is used with. Signatures are as
/// WebAuthn Level 3 §6.5.5 gives them: ECDSA in DER, all others as their standards do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKey {
    /// ECDSA P-256 with SHA-256 (COSE -7, -9): uncompressed point, 65 bytes.
    P256(Vec<u8>),
    /// ECDSA P-384 with SHA-384 (COSE -35): 97 bytes.
    P384(Vec<u8>),
    /// ECDSA P-521 with SHA-512 (COSE -36): 133 bytes.
    P521(Vec<u8>),
    /// Ed25519 (COSE -8, -19): 32 bytes.
    Ed25519(Vec<u8>),
    /// ML-DSA-44 (COSE -48), empty context: 1312 bytes.
    MlDsa44(Vec<u8>),
    /// ML-DSA-65 (COSE -49), empty context: 1952 bytes.
    MlDsa65(Vec<u8>),
    /// ML-DSA-87 (COSE -50), empty context: 2592 bytes.
    MlDsa87(Vec<u8>),
    /// RSASSA-PKCS1-v1_5 with SHA-256 (COSE -257): modulus and exponent, big-endian.
    Rs256(Vec<u8>, Vec<u8>),
    /// RSASSA-PSS with SHA-256, salt of 32 bytes (COSE -37).
    Ps256(Vec<u8>, Vec<u8>),
}

impl CredentialKey {
    /// Accepts only what both implementations accept.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.verify_native(message, signature)?;
        self.verify_independent(message, signature)
    }

    /// With aws-lc-rs.
    pub fn verify_native(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let (algorithm, key): (&'static dyn lc::VerificationAlgorithm, &[u8]) = match self {
            Self::P256(point) => (&lc::ECDSA_P256_SHA256_ASN1, point),
            Self::P384(point) => (&lc::ECDSA_P384_SHA384_ASN1, point),
            Self::P521(point) => (&lc::ECDSA_P521_SHA512_ASN1, point),
            Self::Ed25519(key) => (&lc::ED25519, key),
            Self::MlDsa44(key) => (&lc::ML_DSA_44, key),
            Self::MlDsa65(key) => (&lc::ML_DSA_65, key),
            Self::MlDsa87(key) => (&lc::ML_DSA_87, key),
            Self::Rs256(n, e) => {
                return native_rsa(&lc::RSA_PKCS1_2048_8192_SHA256, n, e, message, signature);
            }
            Self::Ps256(n, e) => {
                return native_rsa(&lc::RSA_PSS_2048_8192_SHA256, n, e, message, signature);
            }
        };
        lc::UnparsedPublicKey::new(algorithm, key)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }

    /// With RustCrypto.
    pub fn verify_independent(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match self {
            Self::P256(point) => {
                let signature = p256::ecdsa::Signature::from_der(signature);
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
                both(key, signature, |key, signature| {
                    key.verify(message, signature)
                })
            }
            Self::P384(point) => {
                let signature = p384::ecdsa::Signature::from_der(signature);
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point);
                both(key, signature, |key, signature| {
                    key.verify(message, signature)
                })
            }
            Self::P521(point) => {
                let signature = p521::ecdsa::Signature::from_der(signature);
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
                both(key, signature, |key, signature| {
                    key.verify(message, signature)
                })
            }
            Self::Ed25519(key) => {
                let key: &[u8; 32] = key.as_slice().try_into().map_err(|_| BadSignature)?;
                let signature = ed25519_dalek::Signature::from_slice(signature);
                let key = ed25519_dalek::VerifyingKey::from_bytes(key);
                both(key, signature, |key, signature| {
                    key.verify_strict(message, signature)
                })
            }
            Self::MlDsa44(key) => ml_dsa::<MlDsa44>(key, message, signature),
            Self::MlDsa65(key) => ml_dsa::<MlDsa65>(key, message, signature),
            Self::MlDsa87(key) => ml_dsa::<MlDsa87>(key, message, signature),
            Self::Rs256(n, e) => {
                let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(n, e)?);
                let signature = rsa::pkcs1v15::Signature::try_from(signature);
                both(Ok::<_, BadSignature>(key), signature, |key, signature| {
                    key.verify(message, signature)
                })
            }
            Self::Ps256(n, e) => {
                let key = rsa::pss::VerifyingKey::<Sha256>::new(rsa_key(n, e)?);
                let signature = rsa::pss::Signature::try_from(signature);
                both(Ok::<_, BadSignature>(key), signature, |key, signature| {
                    key.verify(message, signature)
                })
            }
        }
    }
}

/// Key and signature were read, and the one verifies the other.
fn both<K, S, E, F, G>(
    key: Result<K, E>,
    signature: Result<S, F>,
    verify: impl FnOnce(&K, &S) -> Result<(), G>,
) -> Result<(), BadSignature> {
    let key = key.map_err(|_| BadSignature)?;
    let signature = signature.map_err(|_| BadSignature)?;
    verify(&key, &signature).map_err(|_| BadSignature)
}

fn native_rsa(
    parameters: &'static lc::RsaParameters,
    n: &[u8],
    e: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    lc::RsaPublicKeyComponents { n, e }
        .verify(parameters, message, signature)
        .map_err(|_| BadSignature)
}

fn rsa_key(n: &[u8], e: &[u8]) -> Result<rsa::RsaPublicKey, BadSignature> {
    let n = BoxedUint::from_be_slice_vartime(n);
    if n.bits() < RSA_BITS.0 {
        return Err(BadSignature);
    }
    let e = BoxedUint::from_be_slice_vartime(e);
    rsa::RsaPublicKey::new_with_max_size(n, e, RSA_BITS.1).map_err(|_| BadSignature)
}

fn ml_dsa<P: MlDsaParams>(
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let encoded = EncodedVerifyingKey::<P>::try_from(key).map_err(|_| BadSignature)?;
    let signature = ml_dsa::Signature::<P>::try_from(signature).map_err(|_| BadSignature)?;
    ml_dsa::VerifyingKey::<P>::decode(&encoded)
        .verify(message, &signature)
        .map_err(|_| BadSignature)
}
