//! SoftHSM2, a token without hardware, for the tests of officers' keys: Debian's
//! packages, downloaded and unpacked once into the cache, never installed.
//!
//! Protects the machine: apt works on a cache of its own, and on lists of its own
//! where the machine's are missing or old. Signatures are apt's to check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo::cache_dir;
use crate::{digest, process, say};

const PACKAGE: &str = "softhsm2";
const PROGRAM: &str = "usr/bin/softhsm2-util";
/// The recipe: where it changes, the folder is made anew.
const RECIPE: &str = include_str!("softhsm.rs");

/// The folder below which `usr/bin/softhsm2-util` and its module are; none, with the
/// reason said, where no archive of Debian is in reach.
pub(crate) fn fetch() -> Result<Option<PathBuf>> {
    if Path::new("/").join(PROGRAM).exists() {
        return Ok(Some("/".into()));
    }
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let folder = cache.join(format!("softhsm-{}", digest::sha256_hex(RECIPE.as_bytes())));
    let _alone = crate::fetch::lock(&folder.with_extension("lock"))?;
    if folder.exists() {
        return Ok(Some(folder));
    }
    say("unpacking SoftHSM2");
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    match unpack(&partial) {
        Ok(()) => fs::rename(partial.join("root"), &folder)?,
        Err(error) => {
            say(&format!("SoftHSM2 cannot be had: {error:#}"));
            return Ok(None);
        }
    }
    fs::remove_dir_all(&partial)?;
    Ok(Some(folder))
}

fn unpack(work: &Path) -> Result<()> {
    let root = work.join("root");
    fs::create_dir_all(&root)?;
    fs::create_dir_all(work.join("archives/partial"))?;
    if download(work, &[]).is_err() {
        fs::create_dir_all(work.join("lists/partial"))?;
        let lists = format!("-oDir::State::lists={}", work.join("lists").display());
        let mut update = apt(work, std::slice::from_ref(&lists));
        // A hook of the machine's may fail for an ordinary user after the lists came.
        let _ = process::output_of(update.arg("update"));
        download(work, &[lists])?;
    }
    for entry in fs::read_dir(work.join("archives"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            process::output_of(unpack.arg("-x").arg(&path).arg(&root))?;
        }
    }
    anyhow::ensure!(root.join(PROGRAM).exists(), "the package has no {PROGRAM}");
    Ok(())
}

/// The package and what it needs that is not installed.
fn download(work: &Path, options: &[String]) -> Result<()> {
    let mut apt = apt(work, options);
    apt.args([
        "install",
        "--yes",
        "--download-only",
        "--no-install-recommends",
    ]);
    process::output_of(apt.arg(PACKAGE)).map(drop)
}

fn apt(work: &Path, options: &[String]) -> Command {
    let mut apt = Command::new("apt-get");
    // Its sandbox user cannot enter this user's cache; nothing of the system is written.
    apt.args(["-qq", "-o", "APT::Sandbox::User=root"]);
    apt.args(["-o", "Debug::NoLocking=1"]);
    for (name, folder) in [("Cache", ""), ("Cache::archives", "archives")] {
        apt.arg(format!("-oDir::{name}={}", work.join(folder).display()));
    }
    apt.args(options);
    apt.env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
