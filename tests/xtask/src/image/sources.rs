//! `images/sources.toml` and `images/enclave/image.toml`: what an image is made of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::repo::Repo;

/// A Debian package, pinned.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Pin {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
}

/// Everything that is not in the repository or in Cargo.lock.
#[derive(Debug, Deserialize)]
pub(crate) struct Sources {
    format: u32,
    pub(crate) kernel: Kernel,
    #[serde(default, rename = "tool")]
    pub(crate) tools: Vec<Tool>,
}

/// The package that holds the kernel's sources.
#[derive(Debug, Deserialize)]
pub(crate) struct Kernel {
    #[serde(flatten)]
    pub(crate) pin: Pin,
    /// Path of the tar archive in the package.
    pub(crate) archive: PathBuf,
}

/// A package that the build uses.
#[derive(Debug, Deserialize)]
pub(crate) struct Tool {
    #[serde(flatten)]
    pub(crate) pin: Pin,
    /// A command that succeeds where it is installed.
    pub(crate) probe: Vec<String>,
}

/// An image's own file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) command_line: String,
    #[serde(rename = "ramdisk")]
    pub(crate) ramdisks: Vec<Ramdisk>,
}

/// What goes into one ramdisk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ramdisk {
    /// Path in the image, and the crate whose program stands there.
    pub(crate) programs: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) folders: Vec<String>,
}

impl Sources {
    /// Reads the repository's.
    pub(crate) fn read(repo: &Repo) -> Result<Self> {
        let path = repo.root.join("images/sources.toml");
        let sources: Self = parse(&path)?;
        ensure!(
            sources.format == 1,
            "{}: format {} is not known to this xtask",
            path.display(),
            sources.format
        );
        Ok(sources)
    }
}

impl Image {
    /// Reads the enclave's.
    pub(crate) fn read(repo: &Repo) -> Result<Self> {
        parse(&repo.root.join("images/enclave/image.toml"))
    }

    /// The crates whose programs are in it.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &str> {
        let programs = self.ramdisks.iter().flat_map(|disk| disk.programs.values());
        programs.map(String::as_str)
    }
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let at = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(at)?;
    toml::from_str(&text).with_context(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_pinned_by_version_and_digest() {
        let repo = Repo::find().unwrap();
        let sources = Sources::read(&repo).unwrap();
        let tools = sources.tools.iter().map(|tool| &tool.pin);
        for pin in tools.chain([&sources.kernel.pin]) {
            assert!(!pin.version.is_empty(), "{pin:?}");
            let digest = hex::decode(&pin.sha256).unwrap();
            assert_eq!(digest.len(), 32, "{pin:?}");
        }
    }

    #[test]
    fn what_boots_and_what_is_run_are_in_two_ramdisks() {
        let image = Image::read(&Repo::find().unwrap()).unwrap();
        let crates: Vec<_> = image.crates().collect();
        assert_eq!(crates, ["redoubt-init", "redoubt-enclave"]);
        assert_eq!(image.ramdisks.len(), 2);
    }
}
