//! What certificates say that judging their status needs: names, keys, who signed.
//!
//! Signatures are checked over bytes as received, by two implementations.

use redoubt_attestation::sign::{independent, native};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, BitString, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader as _, SliceReader};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// ecdsa-with-SHA384 (RFC 5758 §3.2).
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// secp384r1 (RFC 5480 §2.1.1.1).
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A certificate, read.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) der: Vec<u8>,
    pub(super) certificate: Certificate,
}

impl Read {
    /// Reads DER; `None` if it is no certificate.
    pub(super) fn new(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let der = der.to_vec();
        Some(Self { der, certificate })
    }

    /// The subject's name, DER.
    pub(super) fn name(&self) -> Option<Vec<u8>> {
        self.certificate.tbs_certificate.subject.to_der().ok()
    }

    /// The public key: an uncompressed P-384 point of 97 bytes.
    pub(super) fn key(&self) -> Option<[u8; 97]> {
        let spki = &self.certificate.tbs_certificate.subject_public_key_info;
        let curve = spki.algorithm.parameters.as_ref()?;
        let curve: ObjectIdentifier = curve.decode_as().ok()?;
        let point = spki.subject_public_key.as_bytes()?;
        (curve == P384).then(|| point.try_into().ok()).flatten()
    }

    /// Whether `issuer` is who it names as its issuer, and signed it.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> bool {
        let Certificate {
            tbs_certificate,
            signature_algorithm,
            signature,
        } = &self.certificate;
        tbs_certificate.issuer == issuer.certificate.tbs_certificate.subject
            && signature_holds(issuer, &self.der, signature_algorithm, signature)
    }
}

/// Whether `signer` signed the first member of a SEQUENCE (DER).
pub(super) fn signature_holds(
    signer: &Read,
    sequence: &[u8],
    algorithm: &AlgorithmIdentifierOwned,
    signature: &BitString,
) -> bool {
    let holds = || {
        let point = signer.key()?;
        let signed = first_member(sequence)?;
        let signature = p384::ecdsa::Signature::from_der(signature.as_bytes()?).ok()?;
        let fixed = signature.to_bytes();
        native::verify_es384(&point, signed, &fixed).ok()?;
        independent::verify_es384(&point, signed, &fixed).ok()
    };
    algorithm.oid == ECDSA_SHA384 && algorithm.parameters.is_none() && holds().is_some()
}

fn first_member(sequence: &[u8]) -> Option<&[u8]> {
    let outer = AnyRef::from_der(sequence).ok()?;
    SliceReader::new(outer.value()).ok()?.tlv_bytes().ok()
}
