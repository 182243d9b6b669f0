//! §8.6 `fido-u2f`: the registration message of the older protocol.

use super::super::algorithm::Algorithm;
use super::super::cbor::Value;
use super::super::public_key::{Curve, KeyMaterial};
use super::x509::Certificate;
use super::{AttestationFormat, AttestationType, Statement, Verified, syntax};

checks! {
    /// Why a `fido-u2f` statement is refused.
    FidoU2fError {
        Syntax = "u2f_syntax", "the statement is not (x5c, sig)";
        OneCertificate = "u2f_not_one_certificate", "x5c must hold exactly one certificate";
        Certificate = "u2f_certificate_malformed", "the attestation certificate cannot be read";
        CertificateKey = "u2f_certificate_key_not_p256", "the attestation certificate's key is not on P-256";
        Transports = "u2f_transports_extension_malformed", "the certificate's FIDO transports extension is not a BIT STRING";
        CredentialKey = "u2f_credential_key_not_p256", "the credential's key is not on P-256";
        Signature = "u2f_signature_invalid", "the signature does not verify under the attestation certificate";
    }
}

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, FidoU2fError> {
    let map = syntax::members(att_stmt, &["x5c", "sig"]).ok_or(FidoU2fError::Syntax)?;
    let signature = syntax::bytes(map, "sig").ok_or(FidoU2fError::Syntax)?;
    let path = syntax::x5c(map).ok_or(FidoU2fError::Syntax)?;
    let &[leaf] = path.as_slice() else {
        return Err(FidoU2fError::OneCertificate);
    };
    let certificate = Certificate::parse(leaf).ok_or(FidoU2fError::Certificate)?;
    let key = certificate
        .public_key()
        .ok_or(FidoU2fError::CertificateKey)?;
    p256_point(&key).ok_or(FidoU2fError::CertificateKey)?;
    if !certificate.transports_are_well_formed() {
        return Err(FidoU2fError::Transports);
    }
    let public_key_u2f =
        p256_point(&statement.public_key.material).ok_or(FidoU2fError::CredentialKey)?;
    let verification_data = [
        &[0],
        statement.authenticator_data.rp_id_hash,
        statement.client_data_hash,
        statement.credential.credential_id,
        public_key_u2f,
    ]
    .concat();
    if !key.verify(Algorithm::Es256, &verification_data, signature) {
        return Err(FidoU2fError::Signature);
    }
    Ok(Verified::new(
        AttestationFormat::FidoU2f,
        AttestationType::BasicOrAttCa,
        &path,
    ))
}

/// The uncompressed point, when the key is on P-256.
fn p256_point(key: &KeyMaterial) -> Option<&[u8]> {
    match key {
        KeyMaterial::Ec {
            curve: Curve::P256,
            point,
        } => Some(point),
        _ => None,
    }
}
