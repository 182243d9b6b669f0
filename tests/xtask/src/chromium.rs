//! A Chromium for the tests in a real browser: the machine's, else Debian's package,
//! unpacked once into the cache, never installed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use crate::apt::{Apt, Pin, Wanted};
use crate::repo::cache_dir;
use crate::work::{Scratch, Work};
use crate::{digest, say};

const INSTALLED: &str = "/usr/bin/chromium";
const PROGRAM: &str = "usr/lib/chromium/chromium";
/// Where its libraries are, and one of theirs that they find by a path of their own.
const LIBRARIES: [&str; 2] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
];
/// The recipe: where it changes, the folder is made anew.
const RECIPE: &str = include_str!("chromium.rs");

/// The program, and the folders of the libraries that were unpacked with it, as the loader
/// takes them.
#[derive(Debug, Clone)]
pub(crate) struct Chromium {
    pub(crate) program: PathBuf,
    pub(crate) libraries: Option<OsString>,
}

fn pin() -> Pin {
    Pin {
        package: "chromium".into(),
        version: "156.0.8078.79-1~deb12u1".into(),
        sha256: "8f1f898bd42225ffb0dd2ca0234505ab9e9a2fc1493f996a091afe32218d8996".into(),
    }
}

/// Finds one or unpacks one; an error says why there is none.
pub(crate) fn fetch() -> Result<Chromium> {
    if Path::new(INSTALLED).exists() {
        return Ok(Chromium {
            program: INSTALLED.into(),
            libraries: None,
        });
    }
    unpacked()
}

fn unpacked() -> Result<Chromium> {
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let folder = cache.join(format!(
        "chromium-{}",
        digest::sha256_hex(RECIPE.as_bytes())
    ));
    let _alone = crate::fetch::lock(&folder.with_extension("lock"))?;
    if !folder.exists() {
        say("unpacking Chromium");
        let scratch = Scratch::new(folder.with_extension("partial"))?;
        fs::rename(unpack(&scratch.0)?, &folder)?;
    }
    Ok(Chromium {
        program: folder.join(PROGRAM),
        libraries: Some(env::join_paths(LIBRARIES.map(|path| folder.join(path)))?),
    })
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
