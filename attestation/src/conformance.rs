//! One verdict per document, for runners that judge whole folders of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::document::{Document, Time, VendorRoot, verify};
use crate::encode::Digest32;
use crate::nvidia::{self, Expected, GpuEvidence, VerifiedGpu};

/// Accept or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Authentic.
    Accept,
    /// Not authentic, or no document.
    Refuse,
}

/// What is known about one document. Fields of what cannot be read are null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Accept or refuse.
    pub verdict: Verdict,
    /// Stable snake_case reason of a refusal; null when accepted.
    pub reason: Option<&'static str>,
    /// Every register in the document, hexadecimal.
    pub pcrs: Option<BTreeMap<u8, String>>,
    /// Debug mode: PCR 0 to 2 are zero.
    pub debug: Option<bool>,
    /// Length of `user_data`; null when absent.
    pub user_data_len: Option<usize>,
    /// Length of `nonce`; null when absent.
    pub nonce_len: Option<usize>,
    /// Length of `public_key`; null when absent.
    pub public_key_len: Option<usize>,
}

/// Judges one document, at its own time unless another is given.
pub fn row(bytes: &[u8], root: &VendorRoot, at_ms: Option<u64>) -> Row {
    let verified = verify(bytes, root, at_ms.map_or(Time::OfDocument, Time::At));
    let document = Document::parse(bytes).ok();
    let said = document.as_ref();
    let length = |field: fn(&Document) -> Option<&Vec<u8>>| said.and_then(field).map(Vec::len);
    Row {
        verdict: match verified {
            Ok(_) => Verdict::Accept,
            Err(_) => Verdict::Refuse,
        },
        reason: verified.as_ref().err().map(|refusal| refusal.code()),
        pcrs: said.map(|document| document.pcrs.to_hex()),
        debug: said.map(|document| document.pcrs.is_debug()),
        user_data_len: length(|document| document.user_data.as_ref()),
        nonce_len: length(|document| document.nonce.as_ref()),
        public_key_len: length(|document| document.public_key.as_ref()),
    }
}

/// What is known about one device's evidence. What it says is null unless accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuRow {
    /// Position in the file.
    pub device: usize,
    /// Accept or refuse.
    pub verdict: Verdict,
    /// Stable snake_case reason of a refusal; null when accepted.
    pub reason: Option<&'static str>,
    /// What the file calls the architecture; nothing signs it.
    pub arch: Option<String>,
    /// Version of the driver.
    pub driver_version: Option<String>,
    /// Version of the VBIOS.
    pub vbios_version: Option<String>,
    /// SHA-384 of the firmware that holds the attestation key, hexadecimal.
    pub firmware: Option<String>,
    /// Measurements by index, hexadecimal.
    pub measurements: Option<BTreeMap<u8, String>>,
    /// Whether revocation was looked at: without a list nothing says whether a
    /// certificate is on hold.
    pub status_checked: bool,
    /// Whether measurements were compared with reference values (RIM): never here,
    /// `redoubt-audit gpu` does.
    pub reference_values_compared: bool,
}

impl GpuRow {
    fn new(device: usize, arch: Option<String>, judged: Result<VerifiedGpu, &'static str>) -> Self {
        let reason = judged.as_ref().err().copied();
        let said = judged.ok();
        let said = said.as_ref();
        Self {
            device,
            verdict: match reason {
                None => Verdict::Accept,
                Some(_) => Verdict::Refuse,
            },
            reason,
            arch,
            driver_version: said.and_then(|gpu| gpu.driver_version.clone()),
            vbios_version: said.and_then(|gpu| gpu.vbios_version.clone()),
            firmware: said.and_then(|gpu| gpu.firmware).map(hex::encode),
            measurements: said.map(|gpu| {
                let values = gpu.measurements.iter();
                values
                    .map(|(index, value)| (*index, hex::encode(value)))
                    .collect()
            }),
            status_checked: said.is_some_and(|gpu| gpu.status_checked),
            reference_values_compared: false,
        }
    }
}

/// Judges a file of GPU evidence, one row for each device, against the nonce that
/// the file says was asked with; a file that cannot be read is one row.
///
/// `root` is the SHA-256 of the trusted root, `at_ms` a time in Unix milliseconds,
/// `revoked` the serial numbers of certificates that are revoked or on hold.
pub fn gpu_rows(
    bytes: &[u8],
    root: Digest32,
    at_ms: u64,
    revoked: Option<&BTreeSet<Vec<u8>>>,
) -> Vec<GpuRow> {
    let devices = match GpuEvidence::parse_file(bytes) {
        Ok(devices) => devices,
        Err(error) => return vec![GpuRow::new(0, None, Err(error.code()))],
    };
    let judge = |(at, device): (usize, Result<GpuEvidence, nvidia::EvidenceError>)| {
        let device = match device {
            Ok(device) => device,
            Err(error) => return GpuRow::new(at, None, Err(error.code())),
        };
        let expected = Expected {
            root,
            nonce: &device.nonce,
            now_ms: at_ms,
            revoked,
        };
        let judged = nvidia::verify(&device, &expected).map_err(|refusal| refusal.code());
        GpuRow::new(at, device.arch.clone(), judged)
    };
    devices.into_iter().enumerate().map(judge).collect()
}
