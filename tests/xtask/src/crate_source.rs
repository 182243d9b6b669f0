//! Programs from the crates registry, by the digest of their source.
//!
//! Protects against running what nobody pinned: a build script is the crate's own
//! program, so the archive is compared before anything of it is unpacked or run.
//! Its `Cargo.lock`, inside, pins everything below it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::repo::{self, Repo};
use crate::work::Work;
use crate::{digest, process};

/// A program of the registry, pinned.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crate {
    #[serde(rename = "crate")]
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of the `.crate` file.
    pub(crate) sha256: String,
}

impl Crate {
    /// Its source as pinned, unpacked below `into`.
    fn source(&self, repo: &Repo, into: &Path) -> Result<PathBuf> {
        let (name, version) = (&self.name, &self.version);
        // Showing a crate's description downloads it and runs nothing of it.
        let mut info = repo.cargo("info");
        info.args(["--quiet", &format!("{name}@{version}")]);
        process::output_of(info.current_dir(into))?;
        self.unpacked(&self.downloaded()?, into)
    }

    fn unpacked(&self, archive: &Path, into: &Path) -> Result<PathBuf> {
        let title = format!("{} {}", self.name, self.version);
        digest::require(archive, &self.sha256, &title)?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(archive).arg("-C").arg(into);
        process::output_of(&mut tar)?;
        Ok(into.join(format!("{}-{}", self.name, self.version)))
    }

    /// Where cargo keeps the archive.
    fn downloaded(&self) -> Result<PathBuf> {
        let cache = repo::cargo_home()?.join("registry/cache");
        let file = format!("{}-{}.crate", self.name, self.version);
        let registries = std::fs::read_dir(&cache).with_context(|| cache.display().to_string())?;
        let found = registries
            .flatten()
            .map(|entry| entry.path().join(&file))
            .find(|path| path.exists());
        found.with_context(|| {
            let cache = cache.display();
            format!("{cache}: cargo kept no {file}, so its digest cannot be checked")
        })
    }

    /// Builds it as its authors locked it; the program.
    pub(crate) fn build(&self, repo: &Repo, work: &Work) -> Result<PathBuf> {
        let source = self.source(repo, &work.folder("source")?)?;
        let target = work.path("target");
        let mut cargo = repo.cargo("build");
        cargo.args(["--release", "--locked", "--bin", &self.name]);
        cargo.env("CARGO_TARGET_DIR", &target);
        cargo.env_remove("RUSTFLAGS").current_dir(&source);
        work.run(
            &format!("building {} {}", self.name, self.version),
            &mut cargo,
        )?;
        Ok(target.join("release").join(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_another_digest_is_never_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.crate");
        let script = "mkdir a-1.0.0; touch a-1.0.0/build.rs; tar -czf a.crate a-1.0.0";
        let mut make = Command::new("sh");
        process::output_of(make.args(["-c", script]).current_dir(dir.path())).unwrap();
        let pin = |sha256: String| Crate {
            name: "a".into(),
            version: "1.0.0".into(),
            sha256,
        };
        let into = tempfile::tempdir().unwrap();
        let wrong = pin("0".repeat(64)).unpacked(&archive, into.path());
        assert!(wrong.unwrap_err().to_string().contains("a 1.0.0 is not"));
        assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0);
        let right = pin(digest::sha256_file(&archive).unwrap());
        let source = right.unpacked(&archive, into.path()).unwrap();
        assert!(source.join("build.rs").exists());
    }
}
