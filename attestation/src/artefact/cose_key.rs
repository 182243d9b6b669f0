//! A customer's public key as registered (COSE_Key, RFC 9052 §7), read strictly.
//!
//! Protects against a key that means two things: type, curve and algorithm have to
//! agree, every parameter stands once, and no other is there.

use super::AssertionError;
use crate::cbor::{CborError, Reader};
use crate::sign::CredentialKey;

/// Longest RSA number, in bytes.
const RSA_BYTES: usize = 1024;

#[derive(Default)]
struct Parameters<'a> {
    kty: Option<i64>,
    alg: Option<i64>,
    crv: Option<i64>,
    /// `x`, `n` or `pub`: RFC 9053 §7, RFC 8230 §4, RFC 9964 §2.
    first: Option<&'a [u8]>,
    second: Option<&'a [u8]>,
}

const WRONG: AssertionError = AssertionError::CoseKey("no key of an algorithm that is judged");

/// Reads a key that fills `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<CredentialKey, AssertionError> {
    let Parameters {
        kty,
        alg,
        crv,
        first,
        second,
    } = read(bytes)?;
    let first = first.ok_or(WRONG)?;
    let point = |width: usize| match second {
        Some(y) if first.len() == width && y.len() == width => Ok([&[4], first, y].concat()),
        _ => Err(AssertionError::CoseKey("a coordinate of another length")),
    };
    let alone = |length: usize| match second {
        None if first.len() == length => Ok(first.to_vec()),
        _ => Err(AssertionError::CoseKey("a key of another length")),
    };
    let rsa = || {
        let number = |n: &[u8]| (1..=RSA_BYTES).contains(&n.len()) && n[0] != 0;
        match second {
            Some(e) if number(first) && number(e) => Ok((first.to_vec(), e.to_vec())),
            // RFC 8230 §4: the minimum number of octets.
            _ => Err(AssertionError::CoseKey("an RSA number of another length")),
        }
    };
    match (kty.ok_or(WRONG)?, alg.ok_or(WRONG)?, crv) {
        (2, -7 | -9, Some(1)) => point(32).map(CredentialKey::P256),
        (2, -35, Some(2)) => point(48).map(CredentialKey::P384),
        (2, -36, Some(3)) => point(66).map(CredentialKey::P521),
        (1, -8 | -19, Some(6)) => alone(32).map(CredentialKey::Ed25519),
        (7, -48, None) => alone(1312).map(CredentialKey::MlDsa44),
        (7, -49, None) => alone(1952).map(CredentialKey::MlDsa65),
        (7, -50, None) => alone(2592).map(CredentialKey::MlDsa87),
        (3, -257, None) => rsa().map(|(n, e)| CredentialKey::Rs256(n, e)),
        (3, -37, None) => rsa().map(|(n, e)| CredentialKey::Ps256(n, e)),
        _ => Err(WRONG),
    }
}

fn read(bytes: &[u8]) -> Result<Parameters<'_>, AssertionError> {
    let cbor = |_: CborError| AssertionError::CoseKey("not the CBOR of a key");
    let mut reader = Reader::new(bytes);
    let mut pairs = reader.map().map_err(cbor)?;
    let mut found = Parameters::default();
    while reader.more(&mut pairs).map_err(cbor)? {
        // Below -1 all are byte strings; -1 is a curve for kty 1 and 2, and bytes for others.
        let repeated = match (reader.int().map_err(cbor)?, found.kty) {
            (1, _) => found.kty.replace(reader.int().map_err(cbor)?).is_some(),
            (3, _) => found.alg.replace(reader.int().map_err(cbor)?).is_some(),
            (-1, Some(1 | 2)) => found.crv.replace(reader.int().map_err(cbor)?).is_some(),
            (-1, Some(3 | 7)) | (-2, Some(1 | 2)) => {
                found.first.replace(reader.bytes().map_err(cbor)?).is_some()
            }
            (-2, Some(3)) | (-3, Some(2)) => {
                let bytes = reader.bytes().map_err(cbor)?;
                found.second.replace(bytes).is_some()
            }
            _ => {
                return Err(AssertionError::CoseKey(
                    "an unknown parameter, or one before kty",
                ));
            }
        };
        if repeated {
            return Err(AssertionError::CoseKey("a parameter stands twice"));
        }
    }
    reader.end().map_err(cbor)?;
    Ok(found)
}
