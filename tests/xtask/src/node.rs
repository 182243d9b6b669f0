//! The npm packages of the TypeScript client and what builds it, in the cache, named
//! after the lock file that pins each by digest.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo::{Repo, cache_dir};
use crate::work::Scratch;
use crate::{digest, fetch, process, say};

/// The folder with `node_modules`, made if it is not there yet.
pub(crate) fn fetch(repo: &Repo) -> Result<PathBuf> {
    let source = repo.root.join("clients/typescript");
    let lock = digest::sha256_file(&source.join("package-lock.json"))?;
    let folder = cache_dir()?.join(format!("node-{lock}"));
    fs::create_dir_all(cache_dir()?)?;
    let _alone = fetch::lock(&folder.with_extension("lock"))?;
    if folder.exists() {
        return Ok(folder);
    }
    say("fetching the npm packages that clients/typescript pins");
    let partial = Scratch::new(folder.with_extension("partial"))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), partial.0.join(file)).with_context(|| file.to_owned())?;
    }
    let mut npm = Command::new("npm");
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
    ]);
    process::output_of(npm.current_dir(&partial.0))?;
    fs::rename(&partial.0, &folder)?;
    Ok(folder)
}
