//! The images' own programs, the same from every folder.
//!
//! Protects against a build that depends on who builds it: cargo sees a short list
//! of variables and no setting that reaches a compiler ([`super::settings`]), every
//! folder's name is replaced, and each program is built on its own, so that no other
//! crate of the workspace decides about its features. What static and dynamic
//! programs share is compiled once: they differ in their last link.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::crates::TARGET;
use crate::elf::{self, Linkage};
use crate::process;
use crate::repo::{Repo, cargo_home};
use crate::say;

/// Where programs and certificates are found, and how the registry is reached.
/// Nothing else of the user's environment gets through, above all no flags.
const LET_THROUGH: &[&str] = &[
    "PATH",
    "HOME",
    "TERM",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_BUILD_JOBS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Prefixes of variables that say how registries are reached.
const LET_THROUGH_PREFIXES: &[&str] = &[
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
];

/// Cargo with that environment.
pub(crate) fn cargo(repo: &Repo, subcommand: &str) -> Command {
    let mut cargo = repo.cargo(subcommand);
    cargo.env_clear();
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let known = LET_THROUGH.contains(&&*text)
            || LET_THROUGH_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix));
        if known {
            cargo.env(name, value);
        }
    }
    cargo
}

/// Builds programs by crate and linkage; crate and file.
pub(crate) fn build(
    repo: &Repo,
    programs: &BTreeMap<String, Linkage>,
    anew: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let target = repo.image_target();
    if anew && target.exists() {
        fs::remove_dir_all(&target)?;
    }
    say("programs: building (one unit per crate)");
    let mut fetch = cargo(repo, "fetch");
    fetch.args(["--locked", "--quiet", "--target", TARGET]);
    ensure_success(&mut fetch)?;
    let flags = flags(repo, &target)?;
    let mut made = BTreeMap::new();
    for (name, linkage) in programs {
        let mut build = cargo(repo, "rustc");
        build.args(["--profile", "image", "--locked", "--offline"]);
        build.args(["--target", TARGET, "--package", name, "--bin", name]);
        build.env("CARGO_TARGET_DIR", &target);
        build.env("CARGO_ENCODED_RUSTFLAGS", &flags);
        build.env("SOURCE_DATE_EPOCH", "0").env("CC", "gcc");
        if *linkage == Linkage::Static {
            build.args(["--", "-Ctarget-feature=+crt-static"]);
        }
        ensure_success(&mut build)?;
        let file = target.join(TARGET).join("image").join(name);
        ensure!(
            elf::linkage(&file)? == *linkage,
            "{name} is not {linkage:?}; remove {} and build again",
            target.display()
        );
        refuse_paths(repo, &target, &file)?;
        made.insert(name.to_owned(), file);
    }
    Ok(made)
}

fn ensure_success(cargo: &mut Command) -> Result<()> {
    let status = process::wait_in_foreground(cargo)?;
    ensure!(
        status.success(),
        "the build failed; cargo's message is above"
    );
    Ok(())
}

/// Cargo's unit separator between flags, so that folders may have spaces.
fn flags(repo: &Repo, target: &Path) -> Result<String> {
    let mut flags = vec!["-Clink-arg=-Wl,--build-id=none".to_owned()];
    let mut rename = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    for registry in registries()? {
        rename(&registry, "/cargo");
    }
    // The last one that fits counts, and outputs may lie inside the checkout.
    rename(&repo.root, "/redoubt");
    rename(target, "/target");
    Ok(flags.join("\u{1f}"))
}

/// Where cargo unpacked crates: one folder per registry, named after its address.
fn registries() -> Result<Vec<PathBuf>> {
    let source = cargo_home()?.join("registry/src");
    let entries = fs::read_dir(&source).with_context(|| source.display().to_string())?;
    let mut folders = Vec::new();
    for entry in entries {
        folders.push(entry?.path());
    }
    folders.sort();
    Ok(folders)
}

/// A program that names a folder of this machine is one that nobody else can build.
fn refuse_paths(repo: &Repo, target: &Path, file: &Path) -> Result<()> {
    let program = fs::read(file)?;
    for folder in [&repo.root, &target.to_path_buf(), &cargo_home()?] {
        let name = folder.display().to_string();
        ensure!(
            !contains(&program, name.as_bytes()),
            "{} holds the name of a folder of this machine, {name}, so nobody else can build \
             it; find what puts it there with `strings` and remap it in {}",
            file.display(),
            file!()
        );
    }
    Ok(())
}

fn contains(program: &[u8], name: &[u8]) -> bool {
    // A name of one letter or two would be found by chance.
    name.len() > 3 && program.windows(name.len()).any(|window| window == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_of_the_users_environment_gets_through() {
        let names: Vec<_> = LET_THROUGH.iter().chain(LET_THROUGH_PREFIXES).collect();
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CFLAGS",
            "RUSTC_WRAPPER",
        ] {
            assert!(
                !names.iter().any(|known| name.starts_with(**known)),
                "{name}"
            );
        }
        for name in [
            "CARGO_PROFILE_IMAGE_LTO",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_INCREMENTAL",
        ] {
            assert!(
                !names.iter().any(|known| name.starts_with(**known)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_folders_name_in_a_program_is_found() {
        assert!(contains(b"..\0/some/folder/src", b"/some/folder"));
        assert!(!contains(b"..\0/redoubt/src", b"/some/folder"));
    }
}
