//! Debian packages, downloaded and unpacked, never installed.
//!
//! Protects the machine: apt works on lists and caches of its own, below the
//! cache, so an ordinary user can do this and nothing of the system changes.
//! Protects what is built: a pinned package counts only with the pinned digest,
//! wherever it came from.

mod given;
mod sources;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::work::{Scratch, Work};
use crate::{digest, fetch, process, repo, say};

pub(crate) use given::Given;
pub(crate) use sources::Wanted;

/// A package, pinned.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Pin {
    pub(crate) package: String,
    pub(crate) version: String,
    /// Of the `.deb` file.
    pub(crate) sha256: String,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.version)
    }
}

/// Something this machine does not have and no work here can make: a pin that left
/// the archive, a setting of the user's. Tests that need it are skipped by name.
#[derive(Debug)]
pub(crate) struct NotHere(pub(crate) String);

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotHere {}

/// apt-get with lists of its own.
pub(crate) struct Apt<'a> {
    work: &'a Work,
    home: PathBuf,
    /// Why the lists may be stale.
    update: Option<anyhow::Error>,
}

impl<'a> Apt<'a> {
    /// Makes its folders and reads the archive's lists.
    pub(crate) fn new(work: &'a Work, name: &str, wanted: Wanted<'_>) -> Result<Self> {
        let home = work.folder(name)?;
        for folder in ["sources", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(folder))?;
        }
        sources::write(wanted, &home.join("sources"))?;
        let mut apt = Self {
            work,
            home,
            update: None,
        };
        let mut update = apt.get();
        // A hook of the machine's may fail for an ordinary user after the lists came.
        let updated = work.run("reading the archive's lists", update.arg("update"));
        apt.update = updated.err();
        Ok(apt)
    }

    fn get(&self) -> Command {
        let option = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let mut apt = Command::new("apt-get");
        for setting in [
            option("Dir::State", self.home.join("state")),
            option("Dir::Cache", self.home.join("cache")),
            option("Dir::Etc::sourceparts", self.home.join("sources")),
            "Dir::Etc::sourcelist=/dev/null".into(),
            "Dir::State::status=/var/lib/dpkg/status".into(),
            // Its sandbox user cannot enter this user's cache.
            "APT::Sandbox::User=root".into(),
            // Nothing of the system is written, so its locks are nobody's business.
            "Debug::NoLocking=1".into(),
        ] {
            apt.arg("-o").arg(setting);
        }
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.env("LC_ALL", "C");
        apt
    }

    /// Downloads a pinned package; [`NotHere`] where fresh lists do not know it.
    fn package(&self, pin: &Pin) -> Result<PathBuf> {
        let into = self.work.folder("package")?;
        let mut get = self.get();
        get.arg("download");
        get.arg(format!("{}={}", pin.package, pin.version));
        self.fetched(&pin.to_string(), get.current_dir(&into), gone(pin))?;
        let mut files = fs::read_dir(&into)?;
        match (files.next(), files.next()) {
            (Some(file), None) => Ok(file?.path()),
            _ => bail!("apt-get left not exactly one file"),
        }
    }

    /// Downloads a source package's upstream tarball into `into`.
    pub(crate) fn tarball(&self, source: &str, into: &Path, gone: String) -> Result<()> {
        let mut get = self.get();
        get.args(["source", "--download-only", "--only-source", "--tar-only"]);
        get.arg(source).current_dir(into);
        self.fetched(source, &mut get, gone)
    }

    fn fetched(&self, what: &str, get: &mut Command, gone: String) -> Result<()> {
        let Err(error) = self.work.run(&format!("fetching {what}"), get) else {
            return Ok(());
        };
        match &self.update {
            Some(update) => bail!("{update:#}\n{error:#}"),
            None if is_unknown(&format!("{error:#}")) => Err(NotHere(gone).into()),
            None => Err(error),
        }
    }

    /// Unpacks those of `pins` that are not installed, and what they need, into
    /// `sysroot`. Returns what was unpacked, as `name version`.
    pub(crate) fn unpack_missing(&self, pins: &[Pin], sysroot: &Path) -> Result<Vec<String>> {
        fs::create_dir_all(sysroot)?;
        let mut get = self.get();
        get.args(["install", "--yes", "--download-only", "--no-upgrade"]);
        get.arg("--no-install-recommends");
        get.args(pins.iter().map(|pin| &pin.package));
        self.work.run(
            "fetching the Debian packages that are not installed",
            &mut get,
        )?;
        let mut unpacked = Vec::new();
        for entry in fs::read_dir(self.home.join("cache/archives"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.ends_with(".deb") {
                continue;
            }
            compare_with_pin(&path, &name, pins)?;
            unpack(&path, sysroot)?;
            unpacked.push(shown(&name));
        }
        unpacked.sort();
        Ok(unpacked)
    }
}

/// What apt-get says of a package or version that none of its lists has.
fn is_unknown(said: &str) -> bool {
    [
        "was not found",
        "Unable to locate package",
        "Unable to find a source package",
        "Can not find version",
    ]
    .iter()
    .any(|text| said.contains(text))
}

fn gone(pin: &Pin) -> String {
    format!(
        "{pin} is not in the archives this machine's apt is set up for: it left them, or another \
         release of Debian runs here. Whoever has the package's file (sha256 {}) gives it with \
         --source-archive FILE. Otherwise pin another version in images/sources.toml, which \
         moves the measurements.",
        pin.sha256
    )
}

/// The pinned packages' files, in order: given, from the cache, or from the archive.
pub(crate) fn fetch(pins: &[&Pin], given: &Given) -> Result<Vec<PathBuf>> {
    let kept = |pin: &Pin| -> Result<PathBuf> {
        Ok(repo::cache_dir()?.join(&pin.sha256).join("package.deb"))
    };
    let mut absent = Vec::new();
    let mut files = Vec::new();
    for pin in pins {
        let mut file = kept(pin)?;
        if let Some(path) = given.file(&pin.sha256) {
            file = path.to_path_buf();
        } else if !digest::sha256_file(&file).is_ok_and(|found| found == pin.sha256) {
            absent.push(*pin);
        }
        files.push(file);
    }
    if absent.is_empty() {
        return Ok(files);
    }
    let cache = repo::cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let _alone = fetch::lock(&cache.join("apt.lock"))?;
    let scratch = Scratch::new(cache.join("apt.partial"))?;
    let work = Work::new(scratch.0.clone())?;
    let apt = Apt::new(&work, "apt", Wanted::Binaries)?;
    for pin in absent {
        say(&format!("  fetching {pin}"));
        let file = apt.package(pin).with_context(|| given.said())?;
        digest::require(&file, &pin.sha256, &pin.to_string())?;
        let kept = kept(pin)?;
        fs::create_dir_all(kept.parent().unwrap_or(&cache))?;
        fs::rename(&file, &kept)?;
    }
    Ok(files)
}

/// Unpacks a package's files below `into`.
pub(crate) fn unpack(package: &Path, into: &Path) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("-x").arg(package).arg(into);
    process::output_of(&mut dpkg).map(drop)
}

/// `name_version_arch.deb` as `name version`; apt writes a colon as `%3a`.
fn shown(file: &str) -> String {
    let mut parts = file.split('_');
    let (name, version) = (parts.next(), parts.next());
    let version = version.unwrap_or_default().replace("%3a", ":");
    format!("{} {version}", name.unwrap_or_default())
}

/// Says so where the archive has moved on; its signature was checked by apt.
fn compare_with_pin(path: &Path, file: &str, pins: &[Pin]) -> Result<()> {
    let found = shown(file);
    let of_package = |pin: &&Pin| found.starts_with(&format!("{} ", pin.package));
    let Some(pin) = pins.iter().find(of_package) else {
        return Ok(());
    };
    if found != pin.to_string() {
        say(&format!("    the archive now has {found}; pinned is {pin}"));
        return Ok(());
    }
    digest::require(path, &pin.sha256, &found)
}

#[cfg(test)]
#[path = "../tests/apt.rs"]
mod tests;
