//! HKDF with SHA-256 (RFC 5869), its pseudorandom key made once and used often.
//!
//! Protects nothing by itself: every key of the enclave that is derived, is derived here.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::core::TenantKeySeeds;

/// Bytes of one block of output.
const BLOCK: usize = 32;
/// Bytes of one block of the hash's input.
const PAD: usize = 64;

/// A pseudorandom key (RFC 5869 section 2.2), ready to be expanded.
pub(crate) struct Prk(hmac::Key);

impl Prk {
    /// HKDF-Extract (RFC 5869 section 2.2). HMAC's two hashes (RFC 2104) are made in one go each: the library's streaming context keeps the last bytes of its
    /// input, here a secret, and leaves them on the stack wherever it is moved.
    pub(crate) fn extract(salt: &[u8], input: &[u8]) -> Self {
        let hashed;
        let salt = match salt.len() > PAD {
            true => {
                hashed = digest(&SHA256, salt);
                hashed.as_ref()
            }
            false => salt,
        };
        let hash = |pad: u8, text: &[u8]| {
            let mut whole = Zeroizing::new(Vec::with_capacity(PAD + text.len()));
            whole.extend((0..PAD).map(|at| salt.get(at).unwrap_or(&0) ^ pad));
            whole.extend_from_slice(text);
            digest(&SHA256, &whole)
        };
        let inner = hash(0x36, input);
        let tag = hash(0x5c, inner.as_ref());
        let mut key = Zeroizing::new([0u8; BLOCK]);
        key.copy_from_slice(tag.as_ref());
        Self(hmac::Key::new(HMAC_SHA256, &key[..]))
    }
}

/// HKDF-Expand (RFC 5869 section 2.3) into `out`; `info` is the parts one after the other.
///
/// # Errors
/// More than 255 blocks of 32 bytes are asked for.
pub(crate) fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
    if out.len() > 255 * BLOCK {
        return Err(Unspecified);
    }
    let mut block = Zeroizing::new([0u8; BLOCK]);
    for (number, chunk) in (1..=u8::MAX).zip(out.chunks_mut(BLOCK)) {
        let mut mac = hmac::Context::with_key(&prk.0);
        if number > 1 {
            mac.update(&block[..]);
        }
        info.iter().for_each(|part| mac.update(part));
        mac.update(&[number]);
        block.copy_from_slice(mac.sign().as_ref());
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    Ok(())
}

/// HKDF-Extract of a tenant's seeds, for keys that outlive epochs as they do.
pub(crate) fn of_tenant(seeds: &TenantKeySeeds, domain: &[u8]) -> Prk {
    let mut input = Zeroizing::new(seeds.es256.to_vec());
    input.extend_from_slice(&seeds.mldsa65);
    Prk::extract(domain, &input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    /// RFC 5869 appendix A.1 to A.3.
    #[test]
    fn the_standard_s_test_cases_come_out() {
        let long = |from: u8| (0..80).map(|at| from + at).collect::<Vec<u8>>();
        let cases = [
            (
                vec![0x0b; 22],
                bytes("000102030405060708090a0b0c"),
                bytes("f0f1f2f3f4f5f6f7f8f9"),
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            ),
            (
                long(0x00),
                long(0x60),
                long(0xb0),
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
            ),
            (
                vec![0x0b; 22],
                Vec::new(),
                Vec::new(),
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            ),
        ];
        for (input, salt, info, expected) in cases {
            let expected = bytes(expected);
            let mut out = vec![0; expected.len()];
            let (one, other) = info.split_at(info.len() / 2);
            expand(&Prk::extract(&salt, &input), &[one, other], &mut out).unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn more_than_the_standard_allows_is_refused() {
        let prk = Prk::extract(b"salt", b"input");
        assert!(expand(&prk, &[], &mut [0; 255 * 32]).is_ok());
        assert!(expand(&prk, &[], &mut [0; 255 * 32 + 1]).is_err());
    }
}
