//! Ed448 (RFC 8032) verification, for policies that name the algorithm.
//!
//! Protects against a quiet widening of what is trusted: aws-lc-rs has no
//! Ed448, and the one maintained Rust implementation has not been audited, so
//! options do not offer the algorithm unless policy asks for it. Verification
//! handles public values only.

use ed448_goldilocks::{Signature, VerifyingKey};

/// Whether `signature` over `message` verifies under the encoded point `key`.
pub(crate) fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = <&[u8; 57]>::try_from(key) else {
        return false;
    };
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(key),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_raw(&signature, message).is_ok()
}
