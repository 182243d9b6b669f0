//! NVIDIA's opaque data in a MEASUREMENTS response: fields of type u16, length u16,
//! value, little-endian, in any order; types nobody here reads are passed over.
//!
//! The types are those of NVIDIA's published verifier.

use super::spdm::Fields;
use crate::encode::exactly;

const DRIVER_VERSION: usize = 3;
const VBIOS_VERSION: usize = 6;
const NVDEC0_STATUS: usize = 11;
const FIRMWARE: usize = 20;
/// Its decoder is switched off.
const NVDEC0_DISABLED: u8 = 0x55;

/// Why opaque data is none of NVIDIA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// A field is longer than what is left.
    #[error("its opaque data ends inside a field")]
    Truncated,
    /// A field that is read stands twice.
    #[error("field {0} of its opaque data stands twice")]
    Duplicate(usize),
    /// A field has another form than it always has.
    #[error("field {0} of its opaque data has another form than NVIDIA's")]
    Form(usize),
}

impl OpaqueError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated => "opaque_truncated",
            Self::Duplicate(_) => "duplicate_opaque_field",
            Self::Form(_) => "opaque_field_form",
        }
    }
}

/// The fields that are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Opaque<'a> {
    pub(super) driver_version: Option<&'a str>,
    vbios: Option<[u8; 8]>,
    nvdec0: Option<u8>,
    /// SHA-384 of the firmware, 48 bytes.
    pub(super) firmware: Option<&'a [u8]>,
}

impl<'a> Opaque<'a> {
    /// Reads all fields.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, OpaqueError> {
        let mut fields = Fields(bytes);
        let mut read = Self::default();
        while !fields.0.is_empty() {
            let kind = fields.number(2).ok_or(OpaqueError::Truncated)?;
            let length = fields.number(2).ok_or(OpaqueError::Truncated)?;
            let value = fields.take(length).ok_or(OpaqueError::Truncated)?;
            read.set(kind, value)?;
        }
        Ok(read)
    }

    fn set(&mut self, kind: usize, value: &'a [u8]) -> Result<(), OpaqueError> {
        let form = OpaqueError::Form(kind);
        let again = match kind {
            DRIVER_VERSION => {
                let text = text(value).ok_or(form)?;
                self.driver_version.replace(text).is_some()
            }
            VBIOS_VERSION => {
                let number = exactly(value).map_err(|_| form)?;
                self.vbios.replace(number).is_some()
            }
            NVDEC0_STATUS => {
                let [status] = exactly(value).map_err(|_| form)?;
                self.nvdec0.replace(status).is_some()
            }
            // Older firmware sends the field empty.
            FIRMWARE if value.is_empty() => false,
            FIRMWARE if value.len() != 48 => return Err(form),
            FIRMWARE => self.firmware.replace(value).is_some(),
            _ => false,
        };
        match again {
            true => Err(OpaqueError::Duplicate(kind)),
            false => Ok(()),
        }
    }

    /// Whether the device says that its first decoder is switched off.
    pub(super) fn nvdec0_disabled(&self) -> bool {
        self.nvdec0 == Some(NVDEC0_DISABLED)
    }

    /// The VBIOS version as NVIDIA writes it: the first four bytes from the last to
    /// the first, then the fifth.
    pub(super) fn vbios_version(&self) -> Option<String> {
        let [a, b, c, d, e, ..] = self.vbios?;
        Some(format!("{d:02X}.{c:02X}.{b:02X}.{a:02X}.{e:02X}"))
    }
}

/// Printable text with zeros behind it.
fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let text = &value[..end];
    let printable = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    printable.then(|| std::str::from_utf8(text).ok()).flatten()
}
