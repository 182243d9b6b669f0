//! §8.8 `apple`: a CA certifies the credential's key together with a nonce over
//! this very ceremony.

use aws_lc_rs::digest;

use super::super::cbor::Value;
use super::der::{self, Tag};
use super::x509::Certificate;
use super::{AttestationFormat, AttestationType, Statement, Verified, syntax};

checks! {
    /// Why an `apple` statement is refused.
    AppleError {
        Syntax = "apple_syntax", "the statement is not (x5c)";
        Certificate = "apple_certificate_malformed", "the credential certificate cannot be read";
        NonceMissing = "apple_nonce_missing", "the credential certificate carries no nonce extension";
        Nonce = "apple_nonce_mismatch", "the certified nonce is not that of this ceremony";
        PublicKey = "apple_public_key_mismatch", "the certified key is not the credential's";
    }
}

const NONCE_EXTENSION: &str = "1.2.840.113635.100.8.2";

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, AppleError> {
    // Early devices also sent `alg`, which the syntax no longer names.
    let map = syntax::members(att_stmt, &["x5c", "alg"]).ok_or(AppleError::Syntax)?;
    let path = syntax::x5c(map).ok_or(AppleError::Syntax)?;
    let leaf = path.first().ok_or(AppleError::Syntax)?;
    let certificate = Certificate::parse(leaf).ok_or(AppleError::Certificate)?;
    let nonce = digest::digest(&digest::SHA256, &statement.to_be_signed());
    let extension = certificate
        .extension(NONCE_EXTENSION)
        .ok_or(AppleError::NonceMissing)?;
    let certified = certified_nonce(extension.value).ok_or(AppleError::NonceMissing)?;
    require(certified == nonce.as_ref(), AppleError::Nonce)?;
    let key = certificate.public_key().ok_or(AppleError::PublicKey)?;
    require(key == statement.public_key.material, AppleError::PublicKey)?;
    Ok(Verified::new(
        AttestationFormat::Apple,
        AttestationType::AnonymizationCa,
        &path,
    ))
}

/// `SEQUENCE { [1] { OCTET STRING nonce } }`.
fn certified_nonce(value: &[u8]) -> Option<&[u8]> {
    let sequence = der::only(value, Tag::SEQUENCE)?;
    let tagged = der::only(sequence, Tag::context(1))?;
    der::only(tagged, Tag::OCTET_STRING)
}

fn require(holds: bool, otherwise: AppleError) -> Result<(), AppleError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
