//! Verification with RustCrypto: the second opinion that shares no code with
//! [`super::native`].

use ml_dsa::{EncodedVerifyingKey, MlDsa65};
use p256::ecdsa::signature::Verifier as _;

use super::BadSignature;
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk, OkpEd25519Jwk};

fn p256_key(key: &EcP256Jwk) -> Result<p256::ecdsa::VerifyingKey, BadSignature> {
    p256::ecdsa::VerifyingKey::from_sec1_bytes(&key.to_sec1()).map_err(|_| BadSignature)
}

/// ECDSA P-256 with SHA-256, signature r || s (JOSE).
pub fn verify_es256(key: &EcP256Jwk, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let signature = p256::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    p256_key(key)?
        .verify(message, &signature)
        .map_err(|_| BadSignature)
}

/// ECDSA P-384 with SHA-384, signature r || s, public key as an uncompressed point (COSE).
pub fn verify_es384(
    point: &[u8; 97],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let signature = p384::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
        .and_then(|key| key.verify(message, &signature))
        .map_err(|_| BadSignature)
}

/// ML-DSA-65 (FIPS 204) with the empty context.
pub fn verify_ml_dsa_65(
    key: &AkpMlDsa65Jwk,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let encoded =
        EncodedVerifyingKey::<MlDsa65>::try_from(&key.as_bytes()[..]).map_err(|_| BadSignature)?;
    let signature = ml_dsa::Signature::<MlDsa65>::try_from(signature).map_err(|_| BadSignature)?;
    ml_dsa::VerifyingKey::<MlDsa65>::decode(&encoded)
        .verify(message, &signature)
        .map_err(|_| BadSignature)
}

/// Ed25519 (RFC 8032), refusing keys of small order.
pub fn verify_ed25519(
    key: &OkpEd25519Jwk,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes())
        .and_then(|key| key.verify_strict(message, &signature))
        .map_err(|_| BadSignature)
}
