//! A device's measurements against the reference values of its driver and its VBIOS.
//!
//! Protects against a genuine device that runs other firmware than the officers
//! named. Both parts must be there, each for exactly the version that the device
//! signed, and every active value must be met.

use std::collections::BTreeSet;

use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::nvidia::VerifiedGpu;

use super::rim::{Rim, RimError};

/// The measurement of the first video decoder: NVIDIA publishes its value for
/// devices where that decoder runs, and its own verifier passes over it elsewhere.
const NVDEC0: u8 = 36;

/// Why measurements do not count as those of known firmware.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RimRefusal {
    /// Nobody named the file.
    #[error("reference values {0}: the officers' appraisal policy does not name this file")]
    NotPinned(Digest32),
    /// It cannot be read.
    #[error("reference values {digest}: {source}")]
    Malformed {
        /// Of the file.
        digest: Digest32,
        /// What is wrong.
        source: RimError,
    },
    /// No file for a part.
    #[error("no reference values for {part} {version}, which the device runs; given are {given:?}")]
    Missing {
        /// `driver` or `VBIOS`.
        part: &'static str,
        /// As the device signed it.
        version: String,
        /// Versions of the files.
        given: Vec<String>,
    },
    /// Two files for one part.
    #[error("two files of reference values are for version {0}")]
    Twice(String),
    /// Driver and VBIOS both speak of one measurement.
    #[error("driver and VBIOS both have a value for measurement {0}")]
    Conflict(u8),
    /// Other firmware.
    #[error("measurements {0:?} are not what the reference values say")]
    Differs(Vec<u8>),
}

impl RimRefusal {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotPinned(_) => "rim_not_pinned",
            Self::Malformed { source, .. } => source.code(),
            Self::Missing { .. } => "rim_missing",
            Self::Twice(_) => "rim_twice",
            Self::Conflict(_) => "rim_conflict",
            Self::Differs(_) => "measurement_differs",
        }
    }
}

/// What was compared, by SPDM's index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Equal to a reference value.
    pub equal: Vec<u8>,
    /// With a reference value that does not count on this device.
    pub passed_over: Vec<u8>,
    /// Without one: what they say, nobody vouches for.
    pub without: Vec<u8>,
}

/// Reads files of reference values, of which each must be one that officers named.
pub fn read(files: &[Vec<u8>], pinned: &BTreeSet<Digest32>) -> Result<Vec<Rim>, RimRefusal> {
    let read = |bytes: &Vec<u8>| {
        let digest = sha256(&[bytes]);
        // Before its XML is looked at.
        if !pinned.contains(&digest) {
            return Err(RimRefusal::NotPinned(digest));
        }
        Rim::parse(bytes).map_err(|source| RimRefusal::Malformed { digest, source })
    };
    files.iter().map(read).collect()
}

/// Compares all measurements of a device, whose report was verified.
pub fn compare(gpu: &VerifiedGpu, rims: &[Rim]) -> Result<Compared, RimRefusal> {
    let driver = find("driver", gpu.driver_version.as_deref(), rims)?;
    let vbios = find("VBIOS", gpu.vbios_version.as_deref(), rims)?;
    if let Some(both) = driver
        .active
        .keys()
        .find(|at| vbios.active.contains_key(at))
    {
        return Err(RimRefusal::Conflict(*both));
    }
    let (mut compared, mut differs) = (Compared::default(), Vec::new());
    for (index, values) in driver.active.iter().chain(&vbios.active) {
        let reported = gpu.measurements.get(index);
        match reported.is_some_and(|own| values.iter().any(|value| value[..] == own[..])) {
            true => compared.equal.push(*index),
            false if *index == NVDEC0 && gpu.nvdec0_disabled => compared.passed_over.push(*index),
            false => differs.push(*index),
        }
    }
    if !differs.is_empty() {
        differs.sort_unstable();
        return Err(RimRefusal::Differs(differs));
    }
    compared.equal.sort_unstable();
    let spoken_of =
        |index: &u8| driver.active.contains_key(index) || vbios.active.contains_key(index);
    let without = gpu.measurements.keys().copied();
    compared.without = without.filter(|index| !spoken_of(index)).collect();
    Ok(compared)
}

/// The one file for a part. Versions differ in the case of letters only.
fn find<'r>(
    part: &'static str,
    version: Option<&str>,
    rims: &'r [Rim],
) -> Result<&'r Rim, RimRefusal> {
    let version = version.unwrap_or("(unknown)");
    let mut found = rims
        .iter()
        .filter(|rim| rim.version.eq_ignore_ascii_case(version));
    match (found.next(), found.next()) {
        (Some(rim), None) => Ok(rim),
        (Some(_), Some(_)) => Err(RimRefusal::Twice(version.to_owned())),
        (None, _) => Err(RimRefusal::Missing {
            part,
            version: version.to_owned(),
            given: rims.iter().map(|rim| rim.version.clone()).collect(),
        }),
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
