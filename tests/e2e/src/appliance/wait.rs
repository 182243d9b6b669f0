//! Waiting for things, and finding what another program wrote.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Asks again until there is an answer.
pub fn wait_for<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("waited {patience:?} in vain for: {what}");
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The one file below a folder whose name contains a word.
pub fn only_file(dir: &Path, word: &str) -> Result<PathBuf> {
    let found = files_named(dir, word)?;
    ensure!(
        found.len() == 1,
        "{}: expected one file named like {word:?}, found {found:?}",
        dir.display()
    );
    Ok(found[0].clone())
}

fn files_named(dir: &Path, word: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_named(&path, word)?);
        } else if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains(word))
        {
            found.push(path);
        }
    }
    Ok(found)
}
