//! Both implementations must accept: for evidence that is judged rarely and
//! matters for years.

use super::{BadSignature, independent, native};
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk, OkpEd25519Jwk};

/// ES256, signature r || s.
pub fn verify_es256(key: &EcP256Jwk, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    native::verify_es256(key, message, signature)?;
    independent::verify_es256(key, message, signature)
}

/// ML-DSA-65 with the empty context.
pub fn verify_ml_dsa_65(
    key: &AkpMlDsa65Jwk,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    native::verify_ml_dsa_65(key, message, signature)?;
    independent::verify_ml_dsa_65(key, message, signature)
}

/// Ed25519.
pub fn verify_ed25519(
    key: &OkpEd25519Jwk,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    native::verify_ed25519(key, message, signature)?;
    independent::verify_ed25519(key, message, signature)
}
