//! Verification with aws-lc-rs, the implementation on request paths.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ML_DSA_65, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::BadSignature;
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk, OkpEd25519Jwk};

fn verify(
    algorithm: &'static dyn VerificationAlgorithm,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(algorithm, public)
        .verify(message, signature)
        .map_err(|_| BadSignature)
}

/// ECDSA P-256 with SHA-256, signature r || s (JOSE).
pub fn verify_es256(key: &EcP256Jwk, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    verify(&ECDSA_P256_SHA256_FIXED, &key.to_sec1(), message, signature)
}

/// ECDSA P-384 with SHA-384, signature r || s, public key as an uncompressed point (COSE).
pub fn verify_es384(
    point: &[u8; 97],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    verify(&ECDSA_P384_SHA384_FIXED, point, message, signature)
}

/// ML-DSA-65 (FIPS 204) with the empty context.
pub fn verify_ml_dsa_65(
    key: &AkpMlDsa65Jwk,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    verify(&ML_DSA_65, key.as_bytes(), message, signature)
}

/// Ed25519 (RFC 8032).
pub fn verify_ed25519(
    key: &OkpEd25519Jwk,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    verify(&ED25519, key.as_bytes(), message, signature)
}
