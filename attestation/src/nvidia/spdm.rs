//! A GET_MEASUREMENTS request and the MEASUREMENTS response to it, one behind the
//! other, as NVIDIA's driver hands them out: DSP0274 1.1.x §10.11, signed over the
//! bytes of both (§10.11.2).
//!
//! Protects against a report that two readers understand differently: every length
//! must be used up exactly, no index stands twice, nothing follows the signature.

use std::collections::BTreeMap;

use super::opaque::{Opaque, OpaqueError};
use crate::encode::exactly;

/// The only version read: its signatures cover the plain transcript (1.2 prefixes it).
pub const SPDM_VERSION: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// Param1 of the request: a signature is asked for.
const SIGNATURE_REQUESTED: u8 = 0x01;
/// Param2 of the request: all measurements.
const ALL_MEASUREMENTS: u8 = 0xff;
/// Measurement specification of DMTF.
const DMTF: u8 = 0x01;
/// Slot number in SlotIDParam and in Param2 of the response.
const SLOT: u8 = 0x0f;
const NONCE: usize = 32;
const SIGNATURE: usize = 96;
/// Most bytes of a report that are looked at.
pub(super) const REPORT_MAX: usize = 64 * 1024;

/// Why bytes are no signed measurement report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpdmError {
    /// More than any device sends.
    #[error("it has {0} bytes; none has more than 65536")]
    TooLarge(usize),
    /// The bytes end inside a field.
    #[error("it ends inside its {0}")]
    Truncated(&'static str),
    /// Bytes follow the signature.
    #[error("bytes follow its signature")]
    TrailingBytes,
    /// Another version in the request or the response.
    #[error("its version is {0:#04x}; 0x11 (SPDM 1.1) is judged")]
    Version(u8),
    /// No GET_MEASUREMENTS.
    #[error("its request has code {0:#04x}, not GET_MEASUREMENTS (0xe0)")]
    RequestCode(u8),
    /// No MEASUREMENTS.
    #[error("its response has code {0:#04x}, not MEASUREMENTS (0x60)")]
    ResponseCode(u8),
    /// The request asks for no signature.
    #[error("its request asks for no signature")]
    NotSigned,
    /// The request asks for some measurements only.
    #[error("its request asks for measurement {0:#04x}, not for all (0xff)")]
    NotAll(u8),
    /// Answered with the key of another slot.
    #[error("the response is signed by the key of slot {found}; asked for was slot {asked}")]
    Slot {
        /// Asked for.
        asked: u8,
        /// In the response.
        found: u8,
    },
    /// No measurements.
    #[error("it has no measurements")]
    NoMeasurements,
    /// Blocks and their record disagree in length.
    #[error("its measurement record is longer or shorter than its blocks")]
    RecordLength,
    /// A block of another specification than DMTF's.
    #[error("measurement {0} is not of DMTF's specification")]
    Specification(u8),
    /// A block and its value disagree in length.
    #[error("measurement {0} is longer or shorter than its value")]
    BlockLength(u8),
    /// Index 0 or 0xff, which DSP0274 reserves.
    #[error("a measurement has the reserved index {0:#04x}")]
    Index(u8),
    /// One index twice.
    #[error("measurement {0} stands twice")]
    Duplicate(u8),
    /// The vendor's part.
    #[error(transparent)]
    Opaque(#[from] OpaqueError),
}

impl SpdmError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Truncated(_) => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::Version(_) => "spdm_version",
            Self::RequestCode(_) => "spdm_request_code",
            Self::ResponseCode(_) => "spdm_response_code",
            Self::NotSigned => "signature_not_requested",
            Self::NotAll(_) => "measurements_not_all_requested",
            Self::Slot { .. } => "slot_mismatch",
            Self::NoMeasurements => "no_measurements",
            Self::RecordLength => "measurement_record_length",
            Self::Specification(_) => "measurement_specification",
            Self::BlockLength(_) => "measurement_length",
            Self::Index(_) => "measurement_index",
            Self::Duplicate(_) => "duplicate_measurement",
            Self::Opaque(error) => error.code(),
        }
    }
}

/// Takes fields off the front, little-endian as SPDM writes them.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }
}

/// A report taken apart; everything borrowed from the received bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report<'a> {
    /// 32 bytes.
    pub(super) request_nonce: &'a [u8],
    /// Values by index.
    pub(super) measurements: BTreeMap<u8, &'a [u8]>,
    /// The vendor's fields.
    pub(super) opaque: Opaque<'a>,
    /// What the signature covers: the request, and the response up to its signature.
    pub(super) signed: &'a [u8],
    /// r ‖ s, 96 bytes.
    pub(super) signature: &'a [u8],
}

impl<'a> Report<'a> {
    /// Reads request and response.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SpdmError> {
        if bytes.len() > REPORT_MAX {
            return Err(SpdmError::TooLarge(bytes.len()));
        }
        let mut fields = Fields(bytes);
        let (request_nonce, slot) = read_request(&mut fields)?;
        let (blocks, record) = read_response_head(&mut fields, slot)?;
        let measurements = read_measurements(record, blocks)?;
        let short = SpdmError::Truncated;
        fields.take(NONCE).ok_or(short("response's nonce"))?;
        let length = fields.number(2).ok_or(short("opaque data's length"))?;
        let opaque = fields.take(length).ok_or(short("opaque data"))?;
        let signed = &bytes[..bytes.len() - fields.0.len()];
        let signature = fields.take(SIGNATURE).ok_or(short("signature"))?;
        if !fields.0.is_empty() {
            return Err(SpdmError::TrailingBytes);
        }
        Ok(Self {
            request_nonce,
            measurements,
            opaque: Opaque::parse(opaque)?,
            signed,
            signature,
        })
    }
}

/// §10.11: version, code, attributes, operation, nonce, slot.
fn read_request<'a>(fields: &mut Fields<'a>) -> Result<(&'a [u8], u8), SpdmError> {
    let short = SpdmError::Truncated("request");
    let head: [u8; 4] = fields
        .take(4)
        .and_then(|head| exactly(head).ok())
        .ok_or(short)?;
    let [version, code, attributes, operation] = head;
    if version != SPDM_VERSION {
        return Err(SpdmError::Version(version));
    }
    if code != GET_MEASUREMENTS {
        return Err(SpdmError::RequestCode(code));
    }
    if attributes & SIGNATURE_REQUESTED == 0 {
        return Err(SpdmError::NotSigned);
    }
    if operation != ALL_MEASUREMENTS {
        return Err(SpdmError::NotAll(operation));
    }
    let nonce = fields.take(NONCE).ok_or(short)?;
    let slot = fields.byte().ok_or(short)? & SLOT;
    Ok((nonce, slot))
}

/// §10.11.1: version, code, parameters, number of blocks, record.
fn read_response_head<'a>(
    fields: &mut Fields<'a>,
    asked: u8,
) -> Result<(usize, &'a [u8]), SpdmError> {
    let short = SpdmError::Truncated("response");
    let head: [u8; 4] = fields
        .take(4)
        .and_then(|head| exactly(head).ok())
        .ok_or(short)?;
    let [version, code, _indices, slot] = head;
    if version != SPDM_VERSION {
        return Err(SpdmError::Version(version));
    }
    if code != MEASUREMENTS {
        return Err(SpdmError::ResponseCode(code));
    }
    let found = slot & SLOT;
    if found != asked {
        return Err(SpdmError::Slot { asked, found });
    }
    let blocks = fields.number(1).ok_or(short)?;
    let length = fields.number(3).ok_or(short)?;
    let record = fields
        .take(length)
        .ok_or(SpdmError::Truncated("measurement record"))?;
    Ok((blocks, record))
}

/// Blocks: index, specification, length, and in DMTF's form type, length, value.
fn read_measurements(record: &[u8], blocks: usize) -> Result<BTreeMap<u8, &[u8]>, SpdmError> {
    if blocks == 0 {
        return Err(SpdmError::NoMeasurements);
    }
    let mut fields = Fields(record);
    let mut found = BTreeMap::new();
    for _ in 0..blocks {
        let (index, value) = read_block(&mut fields)?;
        if found.insert(index, value).is_some() {
            return Err(SpdmError::Duplicate(index));
        }
    }
    if !fields.0.is_empty() {
        return Err(SpdmError::RecordLength);
    }
    Ok(found)
}

fn read_block<'a>(fields: &mut Fields<'a>) -> Result<(u8, &'a [u8]), SpdmError> {
    let short = SpdmError::RecordLength;
    let index = fields.byte().ok_or(short)?;
    if matches!(index, 0 | 0xff) {
        return Err(SpdmError::Index(index));
    }
    if fields.byte().ok_or(short)? != DMTF {
        return Err(SpdmError::Specification(index));
    }
    let length = fields.number(2).ok_or(short)?;
    let mut value = Fields(fields.take(length).ok_or(short)?);
    let wrong = SpdmError::BlockLength(index);
    let _kind = value.byte().ok_or(wrong)?;
    let length = value.number(2).ok_or(wrong)?;
    let bytes = value.take(length).ok_or(wrong)?;
    if bytes.is_empty() || !value.0.is_empty() {
        return Err(wrong);
    }
    Ok((index, bytes))
}
