//! Where things are: the repository, cargo's target folder, the user's cache.
//!
//! Protects against a command that works only from one folder, one home or one
//! user: every path is derived once, here.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .filter(|dir| Path::new(dir).ends_with("tests/xtask"))
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = manifest_dir.ancestors().nth(2);
    let root = root.context("xtask must live in tests/xtask of the repository")?;
    Ok(root.to_path_buf())
}

/// The repository this program was started from.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    /// Folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder (`CARGO_TARGET_DIR` counts).
    target: PathBuf,
}

impl Repo {
    /// Finds it and makes it the current folder.
    pub(crate) fn find() -> Result<Self> {
        let root = root()?;
        ensure!(
            root.join("Cargo.lock").exists(),
            "{}: no Cargo.lock here; run `cargo xtask` inside a checkout",
            root.display()
        );
        let target = target_dir(&root)?;
        Ok(Self { root, target })
    }

    /// Where `build` puts the finished programs (`REDOUBT_BIN_DIR`).
    pub(crate) fn bin_dir(&self) -> PathBuf {
        self.target.join("redoubt-bin")
    }

    /// The same with the images' programs in place of their like.
    pub(crate) fn shipped_dir(&self) -> PathBuf {
        self.target.join("redoubt-shipped")
    }

    /// A finished program.
    pub(crate) fn bin(&self, name: &str) -> PathBuf {
        self.bin_dir().join(name)
    }

    /// Cargo's target folder of image builds, which have flags of their own.
    pub(crate) fn image_target(&self) -> PathBuf {
        self.target.join("image")
    }

    /// Where reports and logs of `what` go: always below `target/` of the checkout.
    pub(crate) fn report_dir(&self, what: &str) -> PathBuf {
        self.root.join("target").join(what)
    }

    /// The model manifest.
    pub(crate) fn models_toml(&self) -> PathBuf {
        self.root.join("images/models.toml")
    }

    /// The pins of the CUDA compiler.
    pub(crate) fn cuda_toml(&self) -> PathBuf {
        self.root.join("images/cuda.toml")
    }

    /// The pins of the emulated machine.
    pub(crate) fn tools_toml(&self) -> PathBuf {
        self.root.join("images/tools.toml")
    }

    /// The sample media manifest.
    pub(crate) fn media_toml(&self) -> PathBuf {
        self.root.join("tests/xtask/media.toml")
    }

    /// Cargo at the root, without what an outer `cargo run` left in the environment.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = cargo_in(&self.root);
        cargo.arg(subcommand);
        cargo
    }
}

fn cargo_in(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if describes_this_package(&name) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root).stdin(Stdio::null());
    cargo
}

fn describes_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name == "CARGO_PRIMARY_PACKAGE"
}

fn target_dir(root: &Path) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let out = cargo_in(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run; install Rust and put cargo on the PATH")?;
    ensure!(out.status.success(), "`cargo metadata` failed");
    let metadata: Metadata = serde_json::from_slice(&out.stdout)?;
    Ok(metadata.target_directory)
}

/// `~/.cache/redoubt` (`$XDG_CACHE_HOME/redoubt` where that is set).
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    if let Some(cache) = xdg.and_then(absolute) {
        return Ok(cache.join("redoubt"));
    }
    let home = std::env::home_dir()
        .and_then(absolute)
        .context("no home folder: set HOME to a folder you can write to")?;
    Ok(home.join(".cache/redoubt"))
}

/// Where cargo keeps its settings and what it downloaded.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(std::path::absolute(home)?);
    }
    let home = std::env::home_dir().context("no home folder: set HOME or CARGO_HOME")?;
    Ok(home.join(".cargo"))
}
