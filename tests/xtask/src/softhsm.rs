//! SoftHSM2, a token without hardware, for the tests of officers' keys: Debian's
//! packages, unpacked once into the cache, never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::apt::{Apt, Pin, Wanted};
use crate::repo::cache_dir;
use crate::work::{Scratch, Work};
use crate::{digest, say};

const PROGRAM: &str = "usr/bin/softhsm2-util";
/// The recipe: where it changes, the folder is made anew.
const RECIPE: &str = include_str!("softhsm.rs");

fn pin() -> Pin {
    Pin {
        package: "softhsm2".into(),
        version: "2.6.1-2.1".into(),
        sha256: "10bf00517295d1da6229684a73fbf90d64841d0a8df69517dc0004586720d04e".into(),
    }
}

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
    let scratch = Scratch::new(folder.with_extension("partial"))?;
    match unpack(&scratch.0) {
        Ok(root) => fs::rename(root, &folder)?,
        Err(error) => {
            say(&format!("SoftHSM2 cannot be had: {error:#}"));
            return Ok(None);
        }
    }
    Ok(Some(folder))
}

/// The package and what it needs that is not installed.
fn unpack(scratch: &Path) -> Result<PathBuf> {
    let work = Work::new(scratch.to_owned())?;
    let root = work.folder("root")?;
    let apt = Apt::new(&work, "apt", Wanted::Binaries)?;
    apt.unpack_missing(&[pin()], &root)?;
    ensure!(root.join(PROGRAM).exists(), "the package has no {PROGRAM}");
    Ok(root)
}
