//! The folder a tool is built in, and the commands that run there, with progress.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{Process, log_end};
use crate::{say, signals};

const TICK: Duration = Duration::from_millis(50);
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);
/// Most characters of a line of progress.
const SHOWN: usize = 100;

/// Where everything happens that is not kept.
#[derive(Debug)]
pub(crate) struct Work {
    root: PathBuf,
    log: PathBuf,
}

impl Work {
    /// A folder with a log in it.
    pub(crate) fn new(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
        let log = root.join("log");
        Ok(Self { root, log })
    }

    /// A path below it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A folder below it, empty.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Runs a command to its end, its output in the log; the log's end is the error.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        let start = self.log_length();
        let mut child = Process::start(what, command, &self.log)
            .with_context(|| format!("{program} cannot be run; see `cargo xtask preflight`"))?;
        let mut last = Instant::now();
        loop {
            if let Some(status) = child.ended() {
                ensure!(
                    status.success(),
                    "{what}: {program} ended with {status}\n{}",
                    log_end(&self.log)
                );
                return Ok(());
            }
            if signals::asked_to_stop() {
                child.end(GRACE);
                bail!("stopped while {what}");
            }
            if last.elapsed() >= PROGRESS_EVERY {
                last = Instant::now();
                say(&format!(
                    "    … {}",
                    self.last_line(start).unwrap_or(what.into())
                ));
            }
            std::thread::sleep(TICK);
        }
    }

    fn log_length(&self) -> usize {
        let length = fs::metadata(&self.log).map_or(0, |data| data.len());
        usize::try_from(length).unwrap_or(usize::MAX)
    }

    /// What the running command said last.
    fn last_line(&self, start: usize) -> Option<String> {
        let bytes = fs::read(&self.log).ok()?;
        let text = String::from_utf8_lossy(bytes.get(start..)?).into_owned();
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().take(SHOWN).collect())
    }
}

/// Copies one file, which may be a link, under its own name.
pub(crate) fn copy_into(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().context("a file without a name")?;
    fs::copy(file, folder.join(name)).with_context(|| file.display().to_string())?;
    Ok(())
}

/// A folder that is gone at the end. What a killed run left under this name is
/// removed first, so whoever makes one holds the lock that goes with the name.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// Makes it, empty.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
