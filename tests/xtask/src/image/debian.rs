//! Pinned packages from the Debian archive that this machine's apt knows.
//!
//! Protects the machine (nothing is installed, apt's own state stays as it is) and
//! the image (a package is used only if its digest is the pinned one).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::sources::{Pin, Tool};
use crate::{digest, process, repo, say};

/// The package's file from the cache, from apt, or the one that was `given`.
pub(crate) fn fetch(pin: &Pin, given: Option<&Path>) -> Result<PathBuf> {
    let what = format!("{} {}", pin.package, pin.version);
    if let Some(path) = given {
        digest::require(path, &pin.sha256, &format!("{} ({what})", path.display()))?;
        return Ok(path.to_path_buf());
    }
    let kept = repo::cache_dir()?.join(&pin.sha256).join("package.deb");
    if digest::sha256_file(&kept).is_ok_and(|found| found == pin.sha256) {
        return Ok(kept);
    }
    say(&format!("  fetching {what}"));
    let folder = kept.parent().context("the cache has no folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let work = Scratch::new(folder.join(format!("work.{}", std::process::id())))?;
    let file = download(pin, &work.0)?;
    digest::require(&file, &pin.sha256, &what)?;
    fs::rename(&file, &kept)?;
    Ok(kept)
}

/// Asks apt as it is; if it does not know the version, asks again with fresh
/// lists of this program's own.
fn download(pin: &Pin, work: &Path) -> Result<PathBuf> {
    let first = apt_download(pin, work, &[]);
    let Err(first) = first else { return first };
    let own = own_lists(work)?;
    let gone = |error: anyhow::Error| {
        anyhow!(
            "{} {} is not in the archives this machine's apt knows.\n{first:#}\n{error:#}\n\
             Either it left the archive, or apt is not set up for its suite. Whoever has the \
             file (sha256 {}) puts it at {}; for the kernel, --source-archive FILE takes it. \
             Otherwise pin another version in images/sources.toml, which moves the measurements.",
            pin.package,
            pin.version,
            pin.sha256,
            work.with_file_name("package.deb").display(),
        )
    };
    let mut update = apt(&own);
    update.arg("update");
    // A hook of the machine's may fail for an ordinary user after the lists came.
    let updated = process::output_of(&mut update);
    apt_download(pin, work, &own)
        .map_err(|error| updated.err().unwrap_or(error))
        .map_err(gone)
}

fn apt_download(pin: &Pin, work: &Path, options: &[String]) -> Result<PathBuf> {
    let into = work.join("file");
    fs::create_dir_all(&into)?;
    let mut apt = apt(options);
    apt.arg("download")
        .arg(format!("{}={}", pin.package, pin.version))
        .current_dir(&into);
    process::output_of(&mut apt)?;
    let mut files = fs::read_dir(&into)?;
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file?.path()),
        _ => bail!("apt-get left not exactly one file"),
    }
}

fn apt(options: &[String]) -> Command {
    let mut apt = Command::new("apt-get");
    // Its sandbox user cannot enter this user's cache.
    apt.args(["-qq", "-o", "APT::Sandbox::User=root"]);
    apt.args(options).env("LC_ALL", "C");
    apt
}

/// Options that keep lists and caches in `work`, for any user.
fn own_lists(work: &Path) -> Result<Vec<String>> {
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.join(folder))?;
    }
    let at = |name: &str, folder: &str| format!("-oDir::{name}={}", work.join(folder).display());
    Ok(vec![
        at("State::lists", "lists"),
        at("Cache", "cache"),
        at("Cache::archives", "cache/archives"),
    ])
}

/// Unpacks a package's files below `into`.
pub(crate) fn unpack(package: &Path, into: &Path) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("-x").arg(package).arg(into);
    process::output_of(&mut dpkg).map(drop)
}

/// A folder with the tools' files, or none where all are installed.
pub(crate) fn tools(tools: &[Tool], into: &Path) -> Result<Option<PathBuf>> {
    if tools.iter().all(is_installed) {
        return Ok(None);
    }
    for tool in tools {
        unpack(&fetch(&tool.pin, None)?, into)?;
    }
    Ok(Some(into.to_path_buf()))
}

fn is_installed(tool: &Tool) -> bool {
    let Some((program, arguments)) = tool.probe.split_first() else {
        return false;
    };
    let out = Command::new(program).args(arguments).output();
    out.is_ok_and(|out| out.status.success())
}

/// A folder that is gone at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(sha256: &str) -> Pin {
        Pin {
            package: "redoubt-no-such-package".into(),
            version: "1-1".into(),
            sha256: sha256.into(),
        }
    }

    #[test]
    fn a_file_that_was_given_counts_only_with_the_pinned_digest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("source.deb");
        fs::write(&file, "source").unwrap();
        let right = digest::sha256_hex(b"source");
        assert_eq!(fetch(&pin(&right), Some(&file)).unwrap(), file);
        let error = fetch(&pin(&"0".repeat(64)), Some(&file)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("source.deb") && text.contains(&right),
            "{text}"
        );
    }

    #[test]
    fn tools_that_are_installed_are_not_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let tool = Tool {
            pin: pin(&"0".repeat(64)),
            probe: vec!["true".into()],
        };
        assert_eq!(tools(&[tool], dir.path()).unwrap(), None);
    }
}
