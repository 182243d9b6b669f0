//! `images/tools.toml`: what the emulated machine is made of.
//!
//! Protects against a name or version that turns into an option of apt, cargo or
//! pip, and against a file name that leaves its folder.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::apt::Pin;
use crate::crate_source::Crate;
use crate::manifest::{Package, check_digest};

/// Every pin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pins {
    format: u32,
    pub(super) qemu: Qemu,
    pub(super) vsock: Crate,
    /// The public tool that packs images as we do.
    pub(super) eif_build: Crate,
    /// Debian packages, needed installed or unpacked.
    #[serde(rename = "deb")]
    pub(super) debs: Vec<Pin>,
    /// Python packages that QEMU's build needs.
    #[serde(rename = "package")]
    pub(super) packages: Vec<Package>,
}

/// A Debian source package of which the upstream tarball is used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Qemu {
    pub(super) source: String,
    pub(super) suite: String,
    pub(super) version: String,
    pub(super) tarball: String,
    pub(super) sha256: String,
    /// The folder inside.
    pub(super) folder: String,
}

impl Pins {
    /// Reads and checks the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let pins: Self = toml::from_str(text)?;
        ensure!(
            pins.format == 1,
            "format {} is not known here, only format 1; update the checkout",
            pins.format
        );
        let Qemu {
            source,
            suite,
            version,
            tarball,
            sha256,
            folder,
        } = &pins.qemu;
        for word in [source, suite, version, tarball, folder] {
            check_word(word)?;
        }
        check_digest(sha256)?;
        for program in [&pins.vsock, &pins.eif_build] {
            check_word(&program.name)?;
            check_word(&program.version)?;
            check_digest(&program.sha256)?;
        }
        for deb in &pins.debs {
            check_word(&deb.package)?;
            check_word(&deb.version)?;
            check_digest(&deb.sha256)?;
        }
        for package in &pins.packages {
            package.check()?;
        }
        Ok(pins)
    }
}

/// Fit to be an argument and a file name: no option, no path, no blank.
fn check_word(word: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~:".contains(c);
    let sound = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    ensure!(
        sound && word.chars().all(plain),
        "{word:?} is no name or version of a package"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../../../images/tools.toml");

    #[test]
    fn the_pins_of_this_repository_are_sound() {
        let pins = Pins::parse(TEXT).unwrap();
        assert!(
            pins.debs
                .iter()
                .any(|deb| deb.package == "qemu-system-data")
        );
    }

    #[test]
    fn what_is_no_plain_word_is_refused() {
        for wrong in ["-o", "../qemu", "a b", "", "http://x"] {
            let text = TEXT.replace("\"qemu-10.0.2\"", &format!("{wrong:?}"));
            let error = Pins::parse(&text).unwrap_err().to_string();
            assert!(error.contains("no name or version"), "{error}");
        }
        let text = TEXT.replace("0901da33", "0901DA33");
        assert!(Pins::parse(&text).is_err());
    }
}
