//! Ed448 (RFC 8032) verification, for policies that name the algorithm.
//!
//! Protects against a quiet widening of what is trusted: aws-lc-rs has no
//! Ed448, and the one maintained Rust implementation has not been audited, so
//! options do not offer the algorithm unless policy asks for it. It also decodes
//! points that RFC 8032 §5.2.3 refuses (unused bits set, y not below the prime),
//! so those are refused here first. Verification handles public values only.

use ed448_goldilocks::{Signature, VerifyingKey};

const POINT_BYTES: usize = 57;
const SIGNATURE_BYTES: usize = 2 * POINT_BYTES;

/// The field's prime, 2^448 - 2^224 - 1, little-endian.
const PRIME: [u8; 56] = {
    let mut prime = [0xff; 56];
    prime[28] = 0xfe;
    prime
};

/// Whether `signature` over `message` verifies under the encoded point `key`.
pub(crate) fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (
        <&[u8; POINT_BYTES]>::try_from(key),
        <&[u8; SIGNATURE_BYTES]>::try_from(signature),
    ) else {
        return false;
    };
    let (r, _) = signature.split_at(POINT_BYTES);
    if !is_canonical(key) || !is_canonical(r) {
        return false;
    }
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(key),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_raw(&signature, message).is_ok()
}

/// Whether y is below the prime and the seven bits beside the sign are zero.
fn is_canonical(point: &[u8]) -> bool {
    let Some((last, y)) = point.split_last() else {
        return false;
    };
    last & 0x7f == 0 && y.iter().rev().lt(PRIME.iter().rev())
}
