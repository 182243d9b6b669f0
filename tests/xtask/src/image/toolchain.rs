//! Which programs build an image. Another version may give other bytes, so it is
//! named before anything is built.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::apt::NotHere;
use crate::digest;
use crate::process::output_of;
use crate::repo::Repo;

/// Tool and the command that says its version in its first line.
const TOOLS: &[(&str, &[&str])] = &[
    ("rustc", &["rustc", "--version"]),
    ("gcc", &["gcc", "--version"]),
    ("binutils", &["ld", "--version"]),
    ("gzip", &["gzip", "--version"]),
    ("libc", &["ldd", "--version"]),
];

/// Tools that builds of kernels need besides, and their Debian packages.
const NEEDED: &[(&[&str], &str)] = &[
    (&["gcc", "--version"], "gcc"),
    (&["ld", "--version"], "binutils"),
    (&["make", "--version"], "make"),
    (&["bc", "--version"], "bc"),
    (&["xz", "--version"], "xz-utils"),
    (&["gzip", "--version"], "gzip"),
    (&["dpkg-deb", "--version"], "dpkg"),
    (&["apt-get", "--version"], "apt"),
];

/// [`NotHere`] where something lacks; names all of it.
pub(crate) fn require() -> Result<()> {
    let lacks = |command: &[&str]| {
        let out = Command::new(command[0]).args(&command[1..]).output();
        !out.is_ok_and(|out| out.status.success())
    };
    let absent: Vec<_> = NEEDED.iter().filter(|(probe, _)| lacks(probe)).collect();
    let packages: Vec<_> = absent.iter().map(|(_, package)| *package).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let packages = packages.join(" ");
    let why = format!(
        "an image cannot be built here: {packages} lack(s); install with: \
         apt-get install -y {packages}"
    );
    Err(NotHere(why).into())
}

/// Every tool with its version; the static C library also with its digest.
pub(crate) fn versions(repo: &Repo) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for (name, command) in TOOLS {
        let mut probe = Command::new(command[0]);
        probe.args(&command[1..]).current_dir(&repo.root);
        let said = output_of(probe.env("LC_ALL", "C"))?;
        let line = said.lines().next().unwrap_or_default();
        versions.insert((*name).to_owned(), line.to_owned());
    }
    let library = output_of(Command::new("gcc").arg("-print-file-name=libc.a"))?;
    let library = Path::new(library.trim());
    ensure!(
        library.is_absolute(),
        "there is no static C library; install with: apt-get install -y libc6-dev"
    );
    versions.insert("libc.a".into(), digest::sha256_file(library)?);
    Ok(versions)
}
