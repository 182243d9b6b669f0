//! §8.3 `tpm`: a TPM certifies that the credential's key is in it.

use aws_lc_rs::digest;
use x509_parser::extensions::GeneralName;

use super::super::algorithm::Algorithm;
use super::super::cbor::{Map, Value};
use super::super::public_key::KeyMaterial;
use super::tpm_structures::{Attest, PublicArea, TpmHash};
use super::x509::{AaguidExtension, Certificate};
use super::{AttestationFormat, AttestationType, Statement, Verified, syntax};

checks! {
    /// Why a `tpm` statement is refused.
    TpmError {
        Syntax = "tpm_syntax", "the statement is not (ver, alg, x5c, sig, certInfo, pubArea)";
        Ecdaa = "tpm_ecdaa_refused", "ECDAA was removed from the specification";
        Version = "tpm_version", "the TPM version is not 2.0";
        Algorithm = "tpm_algorithm_refused", "the algorithm is unknown or refused by policy";
        PubArea = "tpm_pub_area_malformed", "pubArea is not a TPMT_PUBLIC that is known here";
        PublicKey = "tpm_public_key_mismatch", "pubArea holds another key than the credential's";
        Certificate = "tpm_certificate_malformed", "the AIK certificate cannot be read";
        CertificateVersion = "tpm_certificate_version", "the AIK certificate is not of version 3";
        CertificateSubject = "tpm_certificate_subject_not_empty", "the AIK certificate's subject is not empty";
        CertificateAltName = "tpm_certificate_alt_name", "the AIK certificate does not name the TPM's manufacturer, model and version";
        CertificateUsage = "tpm_certificate_usage", "the AIK certificate is not for attestation (2.23.133.8.3)";
        CertificateIsCa = "tpm_certificate_is_ca", "the AIK certificate must not be a CA's";
        AaguidExtension = "tpm_aaguid_extension_malformed", "the certificate's AAGUID extension is malformed or critical";
        AaguidMismatch = "tpm_aaguid_mismatch", "the certificate is for another AAGUID";
        Signature = "tpm_signature_invalid", "the signature over certInfo does not verify";
        CertInfo = "tpm_cert_info_malformed", "certInfo is not a TPMS_ATTEST";
        Magic = "tpm_magic", "certInfo was not made by a TPM";
        Type = "tpm_type_not_certify", "certInfo does not certify an object";
        ExtraData = "tpm_extra_data_mismatch", "certInfo is about another ceremony";
        Name = "tpm_name_mismatch", "certInfo certifies another object than pubArea";
    }
}

const AIK_USAGE: &str = "2.23.133.8.3";
const TPM_MANUFACTURER: &str = "2.23.133.2.1";
const TPM_MODEL: &str = "2.23.133.2.2";
const TPM_VERSION: &str = "2.23.133.2.3";

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, TpmError> {
    let known = [
        "ver",
        "alg",
        "x5c",
        "sig",
        "certInfo",
        "pubArea",
        "ecdaaKeyId",
    ];
    let map = syntax::members(att_stmt, &known).ok_or(TpmError::Syntax)?;
    require(map.text("ecdaaKeyId").is_none(), TpmError::Ecdaa)?;
    let version = map.text("ver").and_then(Value::as_text);
    require(version.is_some(), TpmError::Syntax)?;
    require(version == Some("2.0"), TpmError::Version)?;
    let algorithm = syntax::algorithm(map, statement.policy).ok_or(TpmError::Algorithm)?;
    let pub_area = member(map, "pubArea")?;
    let cert_info = member(map, "certInfo")?;
    let signature = member(map, "sig")?;
    let path = syntax::x5c(map).ok_or(TpmError::Syntax)?;
    let leaf = path.first().ok_or(TpmError::Syntax)?;

    let area = PublicArea::parse(pub_area).ok_or(TpmError::PubArea)?;
    require(
        area.key == statement.public_key.material,
        TpmError::PublicKey,
    )?;
    let certificate = Certificate::parse(leaf).ok_or(TpmError::Certificate)?;
    certificate_requirements(&certificate)?;
    aaguid_extension(&certificate, statement)?;
    let key = certificate.public_key().ok_or(TpmError::Certificate)?;
    check_signature(&key, algorithm, cert_info, signature)?;
    check_cert_info(cert_info, pub_area, &area, algorithm, statement)?;
    Ok(Verified::new(
        AttestationFormat::Tpm,
        AttestationType::AttCa,
        &path,
    ))
}

fn member<'a>(map: &Map<'a>, name: &'static str) -> Result<&'a [u8], TpmError> {
    syntax::bytes(map, name).ok_or(TpmError::Syntax)
}

fn check_signature(
    key: &KeyMaterial,
    algorithm: Algorithm,
    cert_info: &[u8],
    signature: &[u8],
) -> Result<(), TpmError> {
    require(
        key.verify(algorithm, cert_info, signature),
        TpmError::Signature,
    )
}

/// §8.3.1. The manufacturer is checked for form only: whose TPM it is, the
/// certificate chain says.
fn certificate_requirements(certificate: &Certificate<'_>) -> Result<(), TpmError> {
    require(certificate.is_version_3(), TpmError::CertificateVersion)?;
    require(
        certificate.subject().is_empty(),
        TpmError::CertificateSubject,
    )?;
    require(names_a_tpm(certificate), TpmError::CertificateAltName)?;
    require(
        certificate.has_extended_key_usage(AIK_USAGE),
        TpmError::CertificateUsage,
    )?;
    require(certificate.says_it_is_no_ca(), TpmError::CertificateIsCa)
}

/// TPM EK profile 3.2.9: a directory name with manufacturer `id:` and eight hex
/// digits, model and version.
fn names_a_tpm(certificate: &Certificate<'_>) -> bool {
    let names = certificate.alternative_names();
    let attribute = |oid: &str| {
        names.iter().find_map(|name| match name {
            GeneralName::DirectoryName(directory) => directory
                .iter_attributes()
                .find(|attribute| attribute.attr_type().to_id_string() == oid)
                .and_then(|attribute| attribute.as_str().ok()),
            _ => None,
        })
    };
    let manufacturer = attribute(TPM_MANUFACTURER).and_then(|text| text.strip_prefix("id:"));
    manufacturer.is_some_and(|id| id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()))
        && attribute(TPM_MODEL).is_some_and(|model| !model.is_empty())
        && attribute(TPM_VERSION).is_some_and(|version| version.starts_with("id:"))
}

fn aaguid_extension(
    certificate: &Certificate<'_>,
    statement: &Statement<'_>,
) -> Result<(), TpmError> {
    match certificate.aaguid() {
        AaguidExtension::Absent => Ok(()),
        AaguidExtension::Malformed => Err(TpmError::AaguidExtension),
        AaguidExtension::Present(aaguid) => require(
            aaguid == statement.credential.aaguid,
            TpmError::AaguidMismatch,
        ),
    }
}

fn check_cert_info(
    cert_info: &[u8],
    pub_area: &[u8],
    area: &PublicArea,
    algorithm: Algorithm,
    statement: &Statement<'_>,
) -> Result<(), TpmError> {
    let attest = Attest::parse(cert_info).ok_or(TpmError::CertInfo)?;
    require(attest.magic_is_generated_value(), TpmError::Magic)?;
    require(attest.type_is_certify(), TpmError::Type)?;
    let hash = hash_of(algorithm).ok_or(TpmError::Algorithm)?;
    let to_be_signed = digest::digest(hash, &statement.to_be_signed());
    require(
        attest.extra_data == to_be_signed.as_ref(),
        TpmError::ExtraData,
    )?;
    let name = attest.certified_name().ok_or(TpmError::CertInfo)?;
    let (id, name_hash) = area.name_alg;
    let digest = digest::digest(tpm_hash(name_hash), pub_area);
    let expected = [&id.to_be_bytes(), digest.as_ref()].concat();
    require(name == expected, TpmError::Name)
}

/// The hash inside a signature algorithm.
fn hash_of(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    use Algorithm as A;
    match algorithm {
        A::Es256 | A::Esp256 | A::Es256K | A::Rs256 | A::Ps256 => Some(&digest::SHA256),
        A::Es384 | A::Esp384 | A::Rs384 | A::Ps384 => Some(&digest::SHA384),
        A::Es512 | A::Esp512 | A::Rs512 | A::Ps512 => Some(&digest::SHA512),
        A::Rs1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

fn tpm_hash(hash: TpmHash) -> &'static digest::Algorithm {
    match hash {
        TpmHash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        TpmHash::Sha256 => &digest::SHA256,
        TpmHash::Sha384 => &digest::SHA384,
        TpmHash::Sha512 => &digest::SHA512,
    }
}

fn require(holds: bool, otherwise: TpmError) -> Result<(), TpmError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
