//! What QEMU's emulated security module writes where a real one would sign.
//!
//! Protects against two mistakes: taking such a document for evidence where a
//! signature is due, and taking anything else for it where a manifest names it.
//! Whoever can write bytes can write these, so they prove nothing about the
//! machine; what they carry still holds the image's registers, so that an image
//! can be booted, measured and tried in front of the very same verifiers.

use super::parse::parse_any;
use super::verify::{Refusal, VerifiedDocument};
use super::{Document, DocumentError};
use crate::cose::CoseSign1;
use crate::genesis::RootKind;

/// Stands for the signature, the certificate and the one issuer.
const ZEROS: [u8; 64] = [0; 64];
/// Length of every register it writes.
const PCR_LENGTH: usize = 48;

/// Whether a document announces in its protected header that nobody signed it.
/// Asked by an attester about its own module, never by a verifier.
pub fn says_unsigned(bytes: &[u8]) -> Result<bool, DocumentError> {
    Ok(CoseSign1::parse(bytes)?.is_marked_unsigned())
}

/// Expects exactly what QEMU writes: every marker, and nothing that looks signed.
pub(super) fn verify(bytes: &[u8]) -> Result<VerifiedDocument, Refusal> {
    let (cose, document) = parse_any(bytes)?;
    if !cose.is_marked_unsigned() {
        return Err(Refusal::NotUnsigned);
    }
    let Document {
        pcrs,
        certificate,
        cabundle,
        ..
    } = &document;
    let markers = [
        ("signature", cose.signature == ZEROS),
        ("certificate", *certificate == ZEROS),
        ("cabundle", *cabundle == [ZEROS]),
        ("pcrs", pcrs.0.values().all(|pcr| pcr.len() == PCR_LENGTH)),
    ];
    if let Some((field, _)) = markers.into_iter().find(|(_, is_there)| !is_there) {
        return Err(Refusal::UnsignedMarker(field));
    }
    Ok(VerifiedDocument {
        debug: document.pcrs.is_debug(),
        root: RootKind::NitroUnsigned,
        document,
    })
}
