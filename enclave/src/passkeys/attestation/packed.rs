//! §8.2 `packed`: signed by an attestation key with certificates, or by the
//! credential itself. ECDAA, which Level 3 removed, is refused.

use super::super::algorithm::Algorithm;
use super::super::cbor::{Map, Value};
use super::x509::{AaguidExtension, Certificate};
use super::{AttestationFormat, AttestationType, Statement, Verified, syntax};

checks! {
    /// Why a `packed` statement is refused.
    PackedError {
        Syntax = "packed_syntax", "the statement is not (alg, sig, ?x5c)";
        Ecdaa = "packed_ecdaa_refused", "ECDAA was removed from the specification";
        Algorithm = "packed_algorithm_refused", "the algorithm is unknown or refused by policy";
        Certificate = "packed_certificate_malformed", "the attestation certificate cannot be read";
        Signature = "packed_signature_invalid", "the signature does not verify under the attestation certificate";
        Version = "packed_certificate_version", "the attestation certificate is not of version 3";
        Subject = "packed_certificate_subject", "the attestation certificate's subject lacks C, O, CN or OU 'Authenticator Attestation'";
        BasicConstraints = "packed_certificate_is_ca", "the attestation certificate must not be a CA's";
        Transports = "packed_transports_extension_malformed", "the certificate's FIDO transports extension is not a BIT STRING";
        AaguidExtension = "packed_aaguid_extension_malformed", "the certificate's AAGUID extension is malformed or critical";
        AaguidMismatch = "packed_aaguid_mismatch", "the certificate is for another AAGUID";
        SelfAlgorithm = "packed_self_algorithm_mismatch", "self attestation names another algorithm than the credential's";
        SelfSignature = "packed_self_signature_invalid", "the self-attestation signature does not verify";
    }
}

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, PackedError> {
    let map = syntax::members(att_stmt, &["alg", "sig", "x5c", "ecdaaKeyId"])
        .ok_or(PackedError::Syntax)?;
    require(map.text("ecdaaKeyId").is_none(), PackedError::Ecdaa)?;
    let signature = syntax::bytes(map, "sig").ok_or(PackedError::Syntax)?;
    let named = map.text("alg").and_then(Value::as_integer);
    require(named.is_some(), PackedError::Syntax)?;
    let algorithm = syntax::algorithm(map, statement.policy).ok_or(PackedError::Algorithm)?;
    match map.text("x5c") {
        Some(_) => with_certificates(map, algorithm, signature, statement),
        None => with_credential_key(algorithm, signature, statement),
    }
}

fn with_certificates(
    map: &Map<'_>,
    algorithm: Algorithm,
    signature: &[u8],
    statement: &Statement<'_>,
) -> Result<Verified, PackedError> {
    let path = syntax::x5c(map).ok_or(PackedError::Syntax)?;
    let leaf = path.first().ok_or(PackedError::Syntax)?;
    let certificate = Certificate::parse(leaf).ok_or(PackedError::Certificate)?;
    let key = certificate.public_key().ok_or(PackedError::Certificate)?;
    require(
        key.verify(algorithm, &statement.to_be_signed(), signature),
        PackedError::Signature,
    )?;
    certificate_requirements(&certificate)?;
    match certificate.aaguid() {
        AaguidExtension::Absent => {}
        AaguidExtension::Malformed => return Err(PackedError::AaguidExtension),
        AaguidExtension::Present(aaguid) => require(
            aaguid == statement.credential.aaguid,
            PackedError::AaguidMismatch,
        )?,
    }
    Ok(Verified::new(
        AttestationFormat::Packed,
        AttestationType::BasicOrAttCa,
        &path,
    ))
}

/// §8.2.1.
fn certificate_requirements(certificate: &Certificate<'_>) -> Result<(), PackedError> {
    require(certificate.is_version_3(), PackedError::Version)?;
    let subject = certificate.subject();
    let named = |value: Option<&str>| value.is_some_and(|text| !text.is_empty());
    require(
        subject.country().is_some_and(|code| code.len() == 2)
            && named(subject.organization())
            && named(subject.common_name())
            && subject.organizational_unit() == Some("Authenticator Attestation"),
        PackedError::Subject,
    )?;
    require(
        certificate.transports_are_well_formed(),
        PackedError::Transports,
    )?;
    require(
        certificate.says_it_is_no_ca(),
        PackedError::BasicConstraints,
    )
}

fn with_credential_key(
    algorithm: Algorithm,
    signature: &[u8],
    statement: &Statement<'_>,
) -> Result<Verified, PackedError> {
    require(
        algorithm == statement.public_key.algorithm,
        PackedError::SelfAlgorithm,
    )?;
    require(
        statement
            .public_key
            .verify(&statement.to_be_signed(), signature),
        PackedError::SelfSignature,
    )?;
    Ok(Verified::new(
        AttestationFormat::Packed,
        AttestationType::SelfAttestation,
        &[],
    ))
}

fn require(holds: bool, otherwise: PackedError) -> Result<(), PackedError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
