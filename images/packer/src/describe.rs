//! What an image holds, part by part, so that two images can be told apart down
//! to the file that differs.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Eif, Measurements, RamdiskError, unpack};

/// An image in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What a machine that boots it reports.
    pub measurements: Measurements,
    /// The kernel.
    pub kernel: Part,
    /// The kernel's measured command line.
    pub command_line: String,
    /// The ramdisks in order.
    pub ramdisks: Vec<Ramdisk>,
}

/// Some bytes, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many.
    pub bytes: u64,
    /// Lowercase hexadecimal.
    pub sha256: String,
}

/// A ramdisk as it is packed, and its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramdisk {
    /// The packed bytes, which are what is measured.
    pub packed: Part,
    /// Its files, sorted by path.
    pub files: Vec<File>,
}

/// A file of a ramdisk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where the image has it.
    pub path: String,
    /// Its content.
    pub content: Part,
}

impl Description {
    /// Describes `eif`; an error if a ramdisk is not one of this program's.
    pub fn of(eif: &Eif) -> Result<Self, RamdiskError> {
        let ramdisks = eif.ramdisks.iter().map(|bytes| Ramdisk::of(bytes));
        Ok(Self {
            measurements: Measurements::of(eif),
            kernel: Part::of(&eif.kernel),
            command_line: eif.command_line.clone(),
            ramdisks: ramdisks.collect::<Result<_, _>>()?,
        })
    }
}

impl Ramdisk {
    fn of(bytes: &[u8]) -> Result<Self, RamdiskError> {
        let file = |entry: crate::Entry| File {
            path: entry.path,
            content: Part::of(&entry.bytes),
        };
        Ok(Self {
            packed: Part::of(bytes),
            files: unpack(bytes)?.into_iter().map(file).collect(),
        })
    }
}

impl Part {
    fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(bytes)),
        }
    }
}
