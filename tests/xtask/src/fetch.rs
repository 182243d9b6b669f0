//! Brings pinned files into `~/.cache/redoubt/<sha256 of the manifest>/`.
//!
//! Protects against running weights nobody pinned: archive and file are both
//! checked, into a folder beside the real one, and only a complete folder takes
//! the real name. Interrupted, it goes on where it stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::manifest::{Manifest, Package, PinnedFile, REPOSITORY};
use crate::work::Scratch;
use crate::{digest, registry, repo, say};

/// How an archive arrives; a test hands in its own.
pub(crate) type Download<'a> = &'a dyn Fn(&Package, &Path) -> Result<PathBuf>;

/// The folder a manifest's files are installed into.
pub(crate) fn folder(manifest: &Manifest) -> Result<PathBuf> {
    Ok(repo::cache_dir()?.join(&manifest.digest))
}

/// Makes sure that every file of the manifest at `path` is there and right; returns the folder.
pub(crate) fn fetch(path: &Path) -> Result<PathBuf> {
    let manifest = Manifest::read(path)?;
    let folder = folder(&manifest)?;
    fetch_into(&manifest, &folder, &registry::download)?;
    Ok(folder)
}

/// Names every file that is absent or not what is pinned.
pub(crate) fn problems(manifest: &Manifest, folder: &Path) -> Vec<String> {
    let bad = |file: &&PinnedFile| !is_right(folder, file);
    let name = |file: &PinnedFile| match folder.join(&file.install).exists() {
        true => format!("{}: not what is pinned", file.install),
        false => format!("{}: absent", file.install),
    };
    manifest.files.iter().filter(bad).map(name).collect()
}

/// The work behind [`fetch`].
pub(crate) fn fetch_into(manifest: &Manifest, folder: &Path, download: Download<'_>) -> Result<()> {
    let parent = folder.parent().context("the cache folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| {
        format!(
            "{}: set HOME to a folder you can write to",
            parent.display()
        )
    })?;
    let _alone = lock(&folder.with_extension("lock"))?;
    if folder.exists() {
        if problems(manifest, folder).is_empty() {
            return Ok(());
        }
        say("  a file in the cache is not what is pinned: fetching it again");
        fs::remove_dir_all(folder)?;
    }
    let partial = folder.with_extension("partial");
    fs::create_dir_all(&partial)?;
    for package in &manifest.packages {
        fetch_package(manifest, package, &partial, download)?;
    }
    let own = manifest.files.iter();
    for file in own.filter(|file| file.package == REPOSITORY) {
        copy_own(file, &repo::root()?, &partial)?;
    }
    fs::rename(&partial, folder)?;
    File::open(parent)?.sync_all()?;
    Ok(())
}

/// A file of this repository, which is as pinned as any other.
fn copy_own(file: &PinnedFile, root: &Path, partial: &Path) -> Result<()> {
    let (from, to) = (root.join(&file.path), partial.join(&file.install));
    digest::require(&from, &file.sha256, &file.path)?;
    fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    Ok(File::open(&to)?.sync_all()?)
}

fn fetch_package(
    manifest: &Manifest,
    package: &Package,
    partial: &Path,
    download: Download<'_>,
) -> Result<()> {
    let wanted: Vec<_> = manifest
        .files_of(package)
        .filter(|file| !is_right(partial, file))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let start = Instant::now();
    let title = format!("{} {}", package.name, package.version);
    say(&format!("  fetching {title}"));
    // On the cache's own disk, so that a rename is atomic.
    let work = Scratch::new(partial.with_extension(format!("partial.{}", package.id)))?;
    let archive = download(package, &work.0)?;
    digest::require(&archive, &package.sha256, &format!("the archive {title}"))?;
    registry::unpack(package.kind, &archive, &wanted, &work.0)
        .with_context(|| format!("the archive {title}"))?;
    for file in &wanted {
        let from = work.0.join(&file.install);
        let what = format!("{} in {title}", file.path);
        digest::require(&from, &file.sha256, &what)?;
        File::open(&from)?.sync_all()?;
        fs::rename(&from, partial.join(&file.install))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("    {} file(s), {seconds:.1} s", wanted.len()));
    Ok(())
}

fn is_right(folder: &Path, file: &PinnedFile) -> bool {
    digest::sha256_file(&folder.join(&file.install)).is_ok_and(|found| found == file.sha256)
}

/// Removes what killed runs left: unfinished folders whose lock nobody holds.
pub(crate) fn clear_leftovers() -> Result<()> {
    clear_leftovers_in(&repo::cache_dir()?)
}

fn clear_leftovers_in(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((key, _)) = name.split_once(".partial") else {
            continue;
        };
        let lock = Alone(File::create(cache.join(format!("{key}.lock")))?);
        if lock.0.try_lock().is_ok() {
            say(&format!("  removing what a killed run left: {name}"));
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Waits until no other run works on what `path` stands for.
pub(crate) fn lock(path: &Path) -> Result<Alone> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    if file.try_lock().is_err() {
        say("  another run is at work on it: waiting");
        file.lock()?;
    }
    Ok(Alone(file))
}

/// A file's lock, held until dropped.
///
/// It is given up by name: closing the file would not do while a process that
/// another thread is just starting still has the copy that `fork` gave it.
#[must_use]
pub(crate) struct Alone(File);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
#[path = "tests/fetch.rs"]
mod tests;
