//! Evidence as NVIDIA's attestation SDK writes it: JSON, one object for each
//! device, with `evidence` (base64 of the report), `certificate` (base64 of a PEM
//! chain, leaf first), `nonce` (hexadecimal) and `arch`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::spdm::REPORT_MAX;
use crate::encode::exactly;

/// Most bytes of a file that are looked at.
const FILE_MAX: usize = 4 * 1024 * 1024;
/// Most devices of one file: no machine has more.
const DEVICES_MAX: usize = 64;
/// Most certificates of one device.
const CERTIFICATES_MAX: usize = 10;

/// Why evidence cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not the JSON it should be.
    #[error("the evidence is no JSON of NVIDIA's form: {0}")]
    Json(String),
    /// Too many bytes, or too many devices.
    #[error("the evidence is larger than any machine's")]
    TooLarge,
    /// No device.
    #[error("the evidence names no device")]
    Empty,
    /// A member is no base64 or hexadecimal of the right length.
    #[error("the evidence's {0} is not encoded as it should be")]
    Encoding(&'static str),
    /// The chain is no PEM.
    #[error("the evidence's certificate is no chain in PEM")]
    Pem,
    /// None, one, or more than any device has.
    #[error("the evidence has {0} certificates; 2 to {CERTIFICATES_MAX} belong there")]
    CertificateCount(usize),
}

impl EvidenceError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "malformed",
            Self::TooLarge => "too_large",
            Self::Empty => "no_device",
            Self::Encoding(_) => "encoding",
            Self::Pem => "certificate_pem",
            Self::CertificateCount(_) => "certificate_count",
        }
    }
}

/// Evidence of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuEvidence {
    /// What the file calls the device's architecture; nothing signs it.
    pub arch: Option<String>,
    /// The nonce that was asked with, as the file says it.
    pub nonce: [u8; 32],
    /// SPDM request and response.
    pub report: Vec<u8>,
    /// DER, leaf first, root last.
    pub certificates: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct Wire {
    arch: Option<String>,
    certificate: String,
    evidence: String,
    nonce: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Many(Vec<serde_json::Value>),
    One(serde_json::Value),
}

impl GpuEvidence {
    /// Reads a file: a list of devices, or one device. The outer result is the
    /// file's, the inner ones are the devices'.
    pub fn parse_file(bytes: &[u8]) -> Result<Vec<Result<Self, EvidenceError>>, EvidenceError> {
        if bytes.len() > FILE_MAX {
            return Err(EvidenceError::TooLarge);
        }
        let json = |error: serde_json::Error| EvidenceError::Json(error.to_string());
        let devices = match serde_json::from_slice(bytes).map_err(json)? {
            File::Many(devices) => devices,
            File::One(device) => vec![device],
        };
        match devices.len() {
            0 => Err(EvidenceError::Empty),
            count if count > DEVICES_MAX => Err(EvidenceError::TooLarge),
            _ => Ok(devices.into_iter().map(Self::parse).collect()),
        }
    }

    fn parse(device: serde_json::Value) -> Result<Self, EvidenceError> {
        let json = |error: serde_json::Error| EvidenceError::Json(error.to_string());
        let Wire {
            arch,
            certificate,
            evidence,
            nonce,
        } = serde_json::from_value(device).map_err(json)?;
        let decode = |text: &str, name| {
            let bytes = STANDARD.decode(text.trim_end());
            bytes.map_err(|_| EvidenceError::Encoding(name))
        };
        let nonce = hex::decode(nonce.trim_start_matches("0x"))
            .ok()
            .and_then(|bytes| exactly(&bytes).ok())
            .ok_or(EvidenceError::Encoding("nonce"))?;
        let report = decode(&evidence, "evidence")?;
        if report.len() > REPORT_MAX {
            return Err(EvidenceError::TooLarge);
        }
        Ok(Self {
            arch,
            nonce,
            report,
            certificates: certificates(&decode(&certificate, "certificate")?)?,
        })
    }
}

/// The certificates of a PEM text, as many as a device may have.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, EvidenceError> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        if found.len() == CERTIFICATES_MAX {
            return Err(EvidenceError::CertificateCount(found.len() + 1));
        }
        found.push(der.map_err(|_| EvidenceError::Pem)?.to_vec());
    }
    match found.len() {
        0 => Err(EvidenceError::Pem),
        1 => Err(EvidenceError::CertificateCount(1)),
        _ => Ok(found),
    }
}
