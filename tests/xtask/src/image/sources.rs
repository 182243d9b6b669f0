//! `images/sources.toml`, `images/enclave.toml` and `images/worker.toml`: what images
//! are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::apt::Pin;
use crate::elf::Linkage;
use crate::repo::Repo;

/// Everything that is not in the repository or in Cargo.lock.
#[derive(Debug, Deserialize)]
pub(crate) struct Sources {
    format: u32,
    pub(crate) kernel: Kernel,
    #[serde(default, rename = "tool")]
    pub(crate) tools: Vec<Tool>,
    #[serde(rename = "library")]
    pub(crate) libraries: Vec<Library>,
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

/// A package of which a dynamic program's image holds files.
#[derive(Debug, Deserialize)]
pub(crate) struct Library {
    #[serde(flatten)]
    pub(crate) pin: Pin,
    /// Path in the image, and path in the package.
    pub(crate) files: BTreeMap<String, PathBuf>,
    /// Those of them that the kernel itself starts.
    #[serde(default)]
    pub(crate) executable: BTreeSet<String>,
}

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    Enclave,
    Worker,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Enclave, Self::Worker];

    /// Its file under `images/` and its image, without extension.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enclave => "enclave",
            Self::Worker => "worker",
        }
    }
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
    /// Whether its programs are dynamic, with the libraries of `sources.toml` beside.
    #[serde(default)]
    pub(crate) libraries: bool,
    /// The folder for everything that `models.toml` pins, and for itself.
    pub(crate) models: Option<String>,
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
    /// Reads one of the repository's.
    pub(crate) fn read(repo: &Repo, kind: Kind) -> Result<Self> {
        parse(&repo.root.join(format!("images/{}.toml", kind.name())))
    }

    /// The crates whose programs are in it, and how they are linked.
    pub(crate) fn crates(&self) -> impl Iterator<Item = (&str, Linkage)> {
        self.ramdisks.iter().flat_map(|disk| {
            let linkage = match disk.libraries {
                true => Linkage::Dynamic,
                false => Linkage::Static,
            };
            let names = disk.programs.values();
            names.map(move |name| (name.as_str(), linkage))
        })
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
        let libraries = sources.libraries.iter().map(|library| &library.pin);
        for pin in tools.chain(libraries).chain([&sources.kernel.pin]) {
            assert!(!pin.version.is_empty(), "{pin:?}");
            let digest = hex::decode(&pin.sha256).unwrap();
            assert_eq!(digest.len(), 32, "{pin:?}");
        }
    }

    #[test]
    fn what_boots_and_what_is_run_are_in_two_ramdisks() {
        let repo = Repo::find().unwrap();
        let crates = |kind| -> (Image, Vec<(String, Linkage)>) {
            let image = Image::read(&repo, kind).unwrap();
            let named = |(name, linkage): (&str, _)| (name.to_owned(), linkage);
            let crates = image.crates().map(named).collect();
            (image, crates)
        };
        let init = ("redoubt-init".to_owned(), Linkage::Static);
        let (enclave, crates_of_enclave) = crates(Kind::Enclave);
        let program = ("redoubt-enclave".to_owned(), Linkage::Static);
        assert_eq!(crates_of_enclave, [init.clone(), program]);
        let (worker, crates_of_worker) = crates(Kind::Worker);
        let program = ("redoubt-worker".to_owned(), Linkage::Dynamic);
        assert_eq!(crates_of_worker, [init, program]);
        // The same kernel, command line and first ramdisk: one PCR1.
        assert_eq!(enclave.command_line, worker.command_line);
        assert_eq!(enclave.ramdisks.len(), 2);
        assert_eq!(worker.ramdisks.len(), 2);
        assert_eq!(enclave.ramdisks[0].folders, worker.ramdisks[0].folders);
        assert!(worker.ramdisks[0].models.is_none());
    }
}
