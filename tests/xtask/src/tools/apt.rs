//! Debian packages, downloaded and unpacked, never installed.
//!
//! Protects the machine: apt works on lists and caches of its own, below the
//! build folder, so an ordinary user can do this and nothing of the system
//! changes. Signatures are apt's to check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::pins::{Deb, Qemu};
use super::sources::{self, Wanted};
use super::work::Work;
use crate::{digest, say};

/// apt-get with lists of its own.
struct Apt<'a> {
    work: &'a Work,
    home: PathBuf,
}

impl<'a> Apt<'a> {
    /// Makes its folders and reads the archive's lists.
    fn new(work: &'a Work, name: &str, wanted: Wanted<'_>) -> Result<Self> {
        let home = work.folder(name)?;
        for folder in ["sources", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(folder))?;
        }
        sources::write(wanted, &home.join("sources"))?;
        let apt = Self { work, home };
        apt.work
            .run("reading the archive's lists", apt.get().arg("update"))?;
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
            // Nothing of the system is written, so its locks are nobody's business.
            "Debug::NoLocking=1".into(),
        ] {
            apt.arg("-o").arg(setting);
        }
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    }
}

/// Downloads the source package's upstream tarball.
pub(super) fn tarball(work: &Work, pin: &Qemu) -> Result<PathBuf> {
    let gone = || {
        format!(
            "the archive's suite {} no longer serves {} {}. Get {} (sha256 {}) elsewhere and \
             name it with --source-archive FILE, or pin another version in images/tools.toml",
            pin.suite, pin.source, pin.version, pin.tarball, pin.sha256
        )
    };
    let apt = Apt::new(work, "apt-source", Wanted::Sources(&pin.suite)).with_context(gone)?;
    let into = work.folder("source")?;
    let mut get = apt.get();
    get.args(["source", "--download-only", "--only-source", "--tar-only"]);
    get.arg(format!("{}={}", pin.source, pin.version));
    get.current_dir(&into);
    work.run(&format!("fetching {}", pin.tarball), &mut get)
        .with_context(gone)?;
    Ok(into.join(&pin.tarball))
}

/// Unpacks those of `debs` that are not installed, and what they need, into
/// `sysroot`. Returns what was unpacked, as `name version`.
pub(super) fn unpack_missing(work: &Work, debs: &[Deb], sysroot: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(sysroot)?;
    let apt = Apt::new(work, "apt", Wanted::Binaries)?;
    let mut get = apt.get();
    get.args(["install", "--yes", "--download-only", "--no-upgrade"]);
    get.arg("--no-install-recommends");
    get.args(debs.iter().map(|deb| &deb.name));
    work.run(
        "fetching the Debian packages that are not installed",
        &mut get,
    )?;
    let mut unpacked = Vec::new();
    for entry in fs::read_dir(apt.home.join("cache/archives"))? {
        let path = entry?.path();
        let Some(name) = file_name(&path).filter(|name| name.ends_with(".deb")) else {
            continue;
        };
        compare_with_pin(&path, &name, debs)?;
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(&path).arg(sysroot);
        work.run(&format!("unpacking {name}"), &mut unpack)?;
        unpacked.push(shown(&name));
    }
    unpacked.sort();
    Ok(unpacked)
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// `name_version_arch.deb` as `name version`; apt writes a colon as `%3a`.
fn shown(file: &str) -> String {
    let mut parts = file.split('_');
    let (name, version) = (parts.next(), parts.next());
    let version = version.unwrap_or_default().replace("%3a", ":");
    format!("{} {version}", name.unwrap_or_default())
}

/// Says so where the archive has moved on; its signature was checked by apt.
fn compare_with_pin(path: &Path, file: &str, debs: &[Deb]) -> Result<()> {
    let found = shown(file);
    let Some(pin) = debs
        .iter()
        .find(|deb| found.starts_with(&format!("{} ", deb.name)))
    else {
        return Ok(());
    };
    let pinned = format!("{} {}", pin.name, pin.version);
    if found != pinned {
        say(&format!(
            "    the archive now has {found}; pinned is {pinned}"
        ));
        return Ok(());
    }
    digest::require(path, &pin.sha256, &found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_downloaded_file_tells_its_package_and_version() {
        assert_eq!(
            shown("qemu-system-data_1%3a7.2+dfsg-7_all.deb"),
            "qemu-system-data 1:7.2+dfsg-7"
        );
    }

    #[test]
    fn a_pinned_version_with_other_bytes_is_refused_and_another_version_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, b"package").unwrap();
        let pins = [Deb {
            name: "seabios".into(),
            version: "1.16.2-1".into(),
            sha256: digest::sha256_hex(b"another"),
        }];
        let judge = |file: &str| compare_with_pin(&path, file, &pins);
        assert!(judge("seabios_1.16.2-1_all.deb").is_err());
        judge("seabios_1.16.3-1_all.deb").unwrap();
        judge("seabios-tools_1.16.2-1_all.deb").unwrap();
    }
}
