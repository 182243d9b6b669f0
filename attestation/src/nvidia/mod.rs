//! Evidence of an NVIDIA GPU in confidential mode: an SPDM measurement report that
//! the device's attestation key signed, and the certificates behind that key.
//!
//! Protects against a device that is none, one whose firmware is another's, and a
//! report replayed or made for another nonce. Formats: DMTF DSP0274 1.1.x
//! (GET_MEASUREMENTS and MEASUREMENTS), NVIDIA's opaque data in it, TCG DICE for the
//! firmware identity in the leaf.
//!
//! Not covered: reference values (RIM) for the measurements, so that genuine old
//! firmware passes (`redoubt-audit gpu --rim` compares them, in the auditor's program
//! and not here, where the enclave links); revocation, unless the caller brings serial
//! numbers. Never run against a device: judged are reports that others recorded.

mod evidence;
mod opaque;
mod spdm;

use std::collections::{BTreeMap, BTreeSet};

pub use evidence::{EvidenceError, GpuEvidence};
pub use opaque::OpaqueError;
pub use spdm::{SPDM_VERSION, SpdmError};

use crate::chain::{self, ChainError};
use crate::der::{self, Values};
use crate::encode::{Digest32, exactly, sha256};
use crate::genesis::anchor_der;
use crate::sign::{independent, native};
use spdm::Report;

/// SHA-256 of the certificate "NVIDIA Device Identity CA", under which every device is.
pub const NVIDIA_DEVICE_ROOT: Digest32 = Digest32([
    0x10, 0x2b, 0xf6, 0x59, 0xd5, 0x41, 0x96, 0x14, 0xc9, 0xd8, 0xe6, 0xae, 0xce, 0xbc, 0x80, 0x45,
    0x4e, 0xb2, 0x6b, 0x1d, 0xf6, 0xa7, 0x69, 0xac, 0x72, 0x0b, 0x9a, 0x69, 0x0b, 0x16, 0x7b, 0x48,
]);
/// tcg-dice-TcbInfo, 2.23.133.5.4.1: NVIDIA's leaves carry the firmware identity there.
const DICE_TCB_INFO: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x01];
/// id-sha384, 2.16.840.1.101.3.4.2.2.
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];

/// What is expected of a device.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// SHA-256 of the one root certificate that is trusted.
    pub root: Digest32,
    /// The nonce that was asked with, 32 bytes.
    pub nonce: &'a [u8; 32],
    /// Our time, Unix milliseconds.
    pub now_ms: u64,
    /// Serial numbers (DER content of the INTEGER) of certificates that are revoked
    /// or on hold; `None` where nobody asked for their status.
    pub revoked: Option<&'a BTreeSet<Vec<u8>>>,
}

/// What a device's report says, once all of it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedGpu {
    /// Measurement values by index, as DSP0274 numbers them.
    pub measurements: BTreeMap<u8, Vec<u8>>,
    /// Version of the driver, as it writes it.
    pub driver_version: Option<String>,
    /// Version of the VBIOS, as NVIDIA writes it: `96.00.A5.00.01`.
    pub vbios_version: Option<String>,
    /// SHA-384 identity of the firmware that holds the attestation key.
    pub firmware: Option<[u8; 48]>,
    /// Whether its first video decoder is switched off; what measures it then has no
    /// reference value.
    pub nvdec0_disabled: bool,
    /// Whether the certificates' status was looked at.
    pub status_checked: bool,
}

/// Why a device is not accepted. Whoever sent the evidence is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The evidence cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The report is not in SPDM's format.
    #[error("the report: {0}")]
    Spdm(#[from] SpdmError),
    /// Made for another nonce.
    #[error("the report was made for another nonce: it was replayed or is not for us")]
    Nonce,
    /// Its root is not the pinned one.
    #[error("the device's root certificate has SHA-256 {found}; pinned is {pinned}")]
    RootNotPinned {
        /// What it brings.
        found: Digest32,
        /// What is trusted.
        pinned: Digest32,
    },
    /// The certificates do not lead to the root.
    #[error("the device's certificates: {0}")]
    Chain(#[from] ChainError),
    /// A certificate is revoked or on hold.
    #[error("certificate {0} of the device is revoked or on hold")]
    Revoked(usize),
    /// The signature is not that of the device's key.
    #[error("the report's signature does not verify under the device's key")]
    BadSignature,
    /// Report and certificate name different firmware.
    #[error("the report names other firmware than the certificate of the key that signed it")]
    Firmware,
}

impl Refusal {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Evidence(error) => error.code(),
            Self::Spdm(error) => error.code(),
            Self::Nonce => "wrong_nonce",
            Self::RootNotPinned { .. } => "root_not_pinned",
            Self::Chain(error) => error.code(),
            Self::Revoked(_) => "certificate_revoked",
            Self::BadSignature => "bad_signature",
            Self::Firmware => "firmware_identity",
        }
    }
}

/// Judges one device's evidence.
pub fn verify(evidence: &GpuEvidence, expected: &Expected<'_>) -> Result<VerifiedGpu, Refusal> {
    let report = Report::parse(&evidence.report)?;
    // 1. The pinned root vouches for the key.
    let (leaf, point) = verify_chain(&evidence.certificates, expected)?;
    // 2. That key signed request and response, two implementations say.
    verify_signature(&report, &point)?;
    // 3. Made for us.
    if report.request_nonce != expected.nonce {
        return Err(Refusal::Nonce);
    }
    // 4. The key belongs to the firmware that is reported.
    //    (Older firmware does not say.)
    let certified = firmware_of(leaf);
    let named = |reported: &&[u8]| certified.as_ref().is_some_and(|own| own == reported);
    if !report.opaque.firmware.as_ref().is_none_or(named) {
        return Err(Refusal::Firmware);
    }
    Ok(VerifiedGpu {
        measurements: report
            .measurements
            .iter()
            .map(|(index, value)| (*index, value.to_vec()))
            .collect(),
        driver_version: report.opaque.driver_version.map(str::to_owned),
        vbios_version: report.opaque.vbios_version(),
        firmware: certified,
        nvdec0_disabled: report.opaque.nvdec0_disabled(),
        status_checked: expected.revoked.is_some(),
    })
}

/// Walks from the first certificate to the last, which must be the pinned root.
fn verify_chain<'a>(
    certificates: &'a [Vec<u8>],
    expected: &Expected<'_>,
) -> Result<(&'a [u8], [u8; 97]), Refusal> {
    let [leaf, intermediates @ .., root] = certificates else {
        return Err(EvidenceError::CertificateCount(certificates.len()).into());
    };
    let found = sha256(&[root]);
    if found != expected.root {
        return Err(Refusal::RootNotPinned {
            found,
            pinned: expected.root,
        });
    }
    let between = intermediates.iter().map(Vec::as_slice);
    let point = chain::verify(root, between, leaf, expected.now_ms)?;
    if let Some(revoked) = expected.revoked {
        let on_hold = |der: &Vec<u8>| serial_of(der).is_none_or(|serial| revoked.contains(serial));
        if let Some(at) = certificates.iter().position(on_hold) {
            return Err(Refusal::Revoked(at));
        }
    }
    Ok((leaf, point))
}

fn verify_signature(report: &Report<'_>, point: &[u8; 97]) -> Result<(), Refusal> {
    native::verify_es384(point, report.signed, report.signature)
        .and_then(|()| independent::verify_es384(point, report.signed, report.signature))
        .map_err(|_| Refusal::BadSignature)
}

/// The serial number of a certificate: content of its INTEGER (RFC 5280 §4.1.2.2).
fn serial_of(certificate: &[u8]) -> Option<&[u8]> {
    const INTEGER: u8 = 0x02;
    const VERSION: u8 = 0xa0;
    let mut outer = Values(Values(certificate).expect(der::SEQUENCE)?);
    let mut fields = Values(outer.expect(der::SEQUENCE)?);
    match fields.next()? {
        (VERSION, _) => fields.expect(INTEGER),
        (INTEGER, serial) => Some(serial),
        _ => None,
    }
}

/// The firmware identity in a leaf: SEQUENCE { version, key, SEQUENCE { SHA-384, digest } }.
fn firmware_of(leaf: &[u8]) -> Option<[u8; 48]> {
    let value = der::extension(leaf, DICE_TCB_INFO)??;
    let mut members = Values(Values(value).expect(der::SEQUENCE)?);
    members.next()?;
    members.next()?;
    let mut identity = Values(members.expect(der::SEQUENCE)?);
    if identity.expect(der::OID)? != SHA384 {
        return None;
    }
    exactly(identity.expect(der::OCTET_STRING)?).ok()
}

/// SHA-256 of the one certificate in a PEM text: a root to pin instead of NVIDIA's.
pub fn root_of_pem(pem: &str) -> Result<Digest32, String> {
    Ok(sha256(&[&anchor_der(pem)?]))
}

#[cfg(test)]
mod tests;
