//! Putting an image together from what was built and fetched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::compile;
use super::kernel::Kernel;
use super::report::Description;
use super::sources::{Image, Library, Ramdisk, Sources};
use crate::apt::{self, Given};
use crate::manifest::Manifest;
use crate::repo::Repo;
use crate::work::Scratch;
use crate::{fetch, process, say};

/// Everything that goes into images.
pub(super) struct Parts {
    pub(super) kernel: Kernel,
    /// Crate and its program.
    pub(super) programs: BTreeMap<String, PathBuf>,
    /// What dynamic programs need, where one is built.
    pub(super) companions: Option<Companions>,
}

/// Libraries and models.
pub(super) struct Companions {
    /// As the packer is told: `run:` or `file:`, path in the image, file.
    libraries: Vec<String>,
    /// The folder of what `models.toml` pins, and the files' names in it.
    models: (PathBuf, Vec<String>),
    models_toml: PathBuf,
    _unpacked: Scratch,
}

impl Companions {
    /// Fetches and unpacks them.
    pub(super) fn fetch(repo: &Repo, sources: &Sources, given: &Given) -> Result<Self> {
        say("libraries and models");
        let pins: Vec<_> = sources
            .libraries
            .iter()
            .map(|library| &library.pin)
            .collect();
        let packages = apt::fetch(&pins, given)?;
        let unpacked = Scratch::new(repo.report_dir("image-libraries"))?;
        for package in &packages {
            apt::unpack(package, &unpacked.0)?;
        }
        let items = |library: &Library| library_items(library, &unpacked.0);
        let libraries: Result<Vec<_>> = sources.libraries.iter().map(items).collect();
        let manifest = Manifest::read(&repo.models_toml())?;
        let names = manifest.files.iter().map(|file| file.install.clone());
        Ok(Self {
            libraries: libraries?.concat(),
            models: (fetch::fetch(&repo.models_toml())?, names.collect()),
            models_toml: repo.models_toml(),
            _unpacked: unpacked,
        })
    }

    fn models(&self, at: &str) -> Vec<String> {
        let item = |name: &str, file: PathBuf| format!("file:{at}/{name}={}", file.display());
        let (folder, names) = &self.models;
        let pinned = names.iter().map(|name| item(name, folder.join(name)));
        pinned
            .chain([item("models.toml", self.models_toml.clone())])
            .collect()
    }
}

fn library_items(library: &Library, unpacked: &Path) -> Result<Vec<String>> {
    let item = |(path, inside): (&String, &PathBuf)| {
        let file = unpacked.join(inside);
        let kind = match library.executable.contains(path) {
            true => "run",
            false => "file",
        };
        // A link would lead to this machine's own file.
        let is_file = file.symlink_metadata().is_ok_and(|data| data.is_file());
        ensure!(is_file, "{} has no file {}", library.pin, inside.display());
        Ok(format!("{kind}:{path}={}", file.display()))
    };
    library.files.iter().map(item).collect()
}

/// The packer, built for this machine like every other tool of ours.
pub(super) fn packer(repo: &Repo) -> Result<PathBuf> {
    say("packing");
    let mut cargo = compile::cargo(repo, "build");
    cargo.args(["--release", "--locked", "--package", super::PACKER]);
    cargo.args(["--bin", super::PACKER, "--quiet"]);
    cargo.env("CARGO_TARGET_DIR", repo.image_target());
    let status = process::wait_in_foreground(&mut cargo)?;
    ensure!(status.success(), "the packer does not build; see above");
    Ok(repo.image_target().join("release").join(super::PACKER))
}

/// Packs one image.
pub(super) fn pack(packer: &Path, image: &Image, parts: &Parts, eif: &Path) -> Result<()> {
    let mut pack = Command::new(packer);
    pack.args(["pack", "--name", &image.name]);
    pack.arg("--kernel").arg(parts.kernel.file());
    pack.args(["--kernel-version", &parts.kernel.version()?]);
    pack.args(["--command-line", &image.command_line]);
    for disk in &image.ramdisks {
        pack.args(["--ramdisk", &items(disk, parts)?.join(",")]);
    }
    pack.arg("--out").arg(eif);
    process::output_of(&mut pack).map(drop)
}

fn items(disk: &Ramdisk, parts: &Parts) -> Result<Vec<String>> {
    let folders = disk.folders.iter().map(|path| format!("dir:{path}"));
    let mut items: Vec<_> = folders.collect();
    for (path, name) in &disk.programs {
        let file = parts
            .programs
            .get(name)
            .context("a program was not built")?;
        items.push(format!("run:{path}={}", file.display()));
    }
    let companions = || parts.companions.as_ref().context("nothing was fetched");
    if disk.libraries {
        items.extend(companions()?.libraries.clone());
    }
    if let Some(at) = &disk.models {
        items.extend(companions()?.models(at));
    }
    Ok(items)
}

/// What an image holds and measures.
pub(super) fn describe(packer: &Path, eif: &Path) -> Result<Description> {
    let said = process::output_of(Command::new(packer).arg("describe").arg(eif))?;
    Ok(serde_json::from_str(&said)?)
}
