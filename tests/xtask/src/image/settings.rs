//! Cargo's settings on this machine, as far as a compiler would notice them.
//!
//! Protects against bytes that only one user can build: cargo reads its settings
//! from every folder above the checkout and from its home, and most of them reach
//! the compiler. Those that say how crates are fetched and how output looks do not;
//! everything else is refused by name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::Table;

use crate::apt::NotHere;
use crate::repo::{self, Repo};

/// Tables, or keys in tables, that leave the compiled bytes as they are.
const HARMLESS: &[&str] = &[
    "alias",
    "cache",
    "cargo-new",
    "credential-alias",
    "doc",
    "future-incompat-report",
    "http",
    "install",
    "net",
    "registries",
    "registry",
    "source",
    "term",
    "build.jobs",
    "build.target-dir",
];

/// [`NotHere`] where a setting could reach the compiler; names file and key.
pub(super) fn require_plain(repo: &Repo) -> Result<()> {
    let mut folders: Vec<_> = repo
        .root
        .ancestors()
        .map(|dir| dir.join(".cargo"))
        .collect();
    folders.push(repo::cargo_home()?);
    folders.dedup();
    let mut found = Vec::new();
    for file in folders.iter().filter_map(|folder| file_of(folder)) {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let table: Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
        let line = |key: String| format!("{}: {key}", file.display());
        found.extend(reaching_keys(&table).into_iter().map(line));
    }
    found.dedup();
    if found.is_empty() {
        return Ok(());
    }
    let why = format!(
        "an image cannot be built under these settings of cargo, which reach the compiler:\n  \
         {}\nMove them aside for the time of the build, or build under another user",
        found.join("\n  ")
    );
    Err(NotHere(why).into())
}

/// Cargo takes the name without extension first, and then only that.
fn file_of(folder: &Path) -> Option<PathBuf> {
    let names = ["config", "config.toml"];
    names
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn reaching_keys(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        match value {
            _ if HARMLESS.contains(&&**name) => {}
            toml::Value::Table(inner) => {
                let full = inner.keys().map(|key| format!("{name}.{key}"));
                keys.extend(full.filter(|key| !HARMLESS.contains(&&**key)));
            }
            _ => keys.push(name.clone()),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_reach_the_compiler_are_named_and_the_others_are_not() {
        let text = "paths = ['/x']\ninclude = 'y'\n\
            [build]\njobs = 1\nrustflags = ['-O']\n\
            [target.x86_64-unknown-linux-gnu]\nlinker = 'clang'\n\
            [profile.image]\nlto = true\n[env]\nCC = 'clang'\n\
            [source.crates-io]\nreplace-with = 'm'\n[net]\nretry = 3\n[alias]\nx = 'run'";
        let mut keys = reaching_keys(&toml::from_str(text).unwrap());
        keys.sort();
        let wanted = [
            "build.rustflags",
            "env.CC",
            "include",
            "paths",
            "profile.image",
            "target.x86_64-unknown-linux-gnu",
        ];
        assert_eq!(keys, wanted);
    }

    #[test]
    fn the_repositorys_own_settings_are_harmless() {
        let own = Repo::find().unwrap().root.join(".cargo");
        let text = fs::read_to_string(file_of(&own).unwrap()).unwrap();
        assert!(reaching_keys(&toml::from_str(&text).unwrap()).is_empty());
    }
}
