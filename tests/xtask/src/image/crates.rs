//! What a program of the image is compiled from: every crate below it, with
//! version, features and digest, as one digest.
//!
//! Protects against a measurement that moves for no reason: a crate that only the
//! host or a test uses is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::repo::Repo;
use crate::{digest, process};

pub(super) const TARGET: &str = "x86_64-unknown-linux-gnu";

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// SHA-256 over [`lines`].
pub(crate) fn digest_of(repo: &Repo, package: &str) -> Result<String> {
    let lines: Vec<_> = lines(repo, package)?.into_iter().collect();
    Ok(digest::sha256_hex(lines.join("\n").as_bytes()))
}

/// `name version features checksum` of every crate that is compiled for `package`.
fn lines(repo: &Repo, package: &str) -> Result<BTreeSet<String>> {
    let lock: Lock = toml::from_str(&fs::read_to_string(repo.root.join("Cargo.lock"))?)?;
    let checksum = |locked: Locked| {
        let key = (locked.name, format!("v{}", locked.version));
        (key, locked.checksum.unwrap_or_else(|| "own".into()))
    };
    let checksums: BTreeMap<_, _> = lock.package.into_iter().map(checksum).collect();
    let mut tree = repo.cargo("tree");
    tree.args(["--locked", "--package", package, "--target", TARGET]);
    tree.args(["--edges", "normal,build", "--prefix", "none"]);
    tree.args(["--format", "{p}|{f}"]);
    let said = process::output_of(&mut tree)?;
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| described(line, &checksums)).collect()
}

/// One line of `cargo tree`: `NAME VERSION[ (PATH)]|FEATURES[ (*)]`. A path is
/// where this checkout happens to lie, and stays out.
fn described(line: &str, checksums: &BTreeMap<(String, String), String>) -> Result<String> {
    let (package, features) = line
        .split_once('|')
        .context("cargo tree said no features")?;
    let features = features.trim_end_matches(" (*)");
    let mut words = package.split(' ');
    let name = words.next().unwrap_or_default().to_owned();
    let version = words.next().unwrap_or_default().to_owned();
    let key = (name, version);
    let checksum = checksums
        .get(&key)
        .with_context(|| format!("{} {} is not in Cargo.lock", key.0, key.1))?;
    Ok(format!("{} {} {features} {checksum}", key.0, key.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(package: &str) -> BTreeSet<String> {
        let lines = lines(&Repo::find().unwrap(), package).unwrap();
        let name = |line: &String| line.split(' ').next().unwrap().to_owned();
        lines.iter().map(name).collect()
    }

    #[test]
    fn the_enclaves_crates_are_its_own_and_not_its_neighbours() {
        let enclave = names("redoubt-enclave");
        for inside in ["redoubt-enclave", "redoubt-shared", "rustls", "aws-lc-sys"] {
            assert!(enclave.contains(inside), "{inside}");
        }
        for outside in ["redoubt-host", "redoubt-audit", "sled", "ort", "proptest"] {
            assert!(!enclave.contains(outside), "{outside}");
        }
        let init: Vec<_> = names("redoubt-init").into_iter().collect();
        assert_eq!(init, ["libc", "redoubt-init"]);
    }

    #[test]
    fn the_place_of_the_checkout_is_left_out() {
        let key = ("a".to_owned(), "v1.0.0".to_owned());
        let known = BTreeMap::from([(key, "own".to_owned())]);
        for line in ["a v1.0.0 (/x/a)|std,x", "a v1.0.0|std,x (*)"] {
            assert_eq!(described(line, &known).unwrap(), "a v1.0.0 std,x own");
        }
        let error = described("b v1.0.0|", &known).unwrap_err().to_string();
        assert!(error.contains("b v1.0.0 is not in Cargo.lock"), "{error}");
    }
}
