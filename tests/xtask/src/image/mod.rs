//! `cargo xtask image`: builds the enclave's image from pinned parts, says what it
//! measures, and compares that with what is committed.
//!
//! Protects whoever has to believe in a measurement: with the same toolchain,
//! anyone gets the same bytes from any folder; with another one, the difference
//! is named before anything is built.

mod compile;
mod crates;
mod debian;
mod independent;
mod kernel;
mod report;
mod sources;
mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::repo::Repo;
use crate::{digest, process, say};
use kernel::Kernel;
use report::{Description, Inputs, Measured};
use sources::{Image, Sources};

/// Flags of `cargo xtask image`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Where `enclave.eif` goes [default: target/eif]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write measurements, inputs and differences here
    #[arg(long, value_name = "OUT")]
    pub(crate) json: Option<PathBuf>,
    /// For auditors: build everything from nothing, and fail unless it measures
    /// what images/measurements.json says
    #[arg(long)]
    pub(crate) check: bool,
    /// With --check: take what an earlier build left, where its inputs are the same
    #[arg(long, requires = "check")]
    pub(crate) cached: bool,
    /// Let the public tool `eif_build` pack the same parts and compare
    #[arg(long)]
    pub(crate) eif_build: bool,
    /// Write images/measurements.json
    #[arg(long, conflicts_with = "check")]
    pub(crate) update: bool,
    /// Take the kernel's source package from this file instead of the archive
    #[arg(long, value_name = "FILE")]
    pub(crate) source_archive: Option<PathBuf>,
}

/// Builds and compares; whether all was well.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<bool> {
    toolchain::require()?;
    let start = Instant::now();
    let (sources, image) = (Sources::read(repo)?, Image::read(repo)?);
    let inputs = inputs(repo, &sources, &image)?;
    let path = repo.root.join("images/measurements.json");
    let committed = match path.exists() || options.check {
        true => Some(Measured::read(&path)?),
        false => None,
    };
    warn_of_other_inputs(&inputs, committed.as_ref());

    let anew = options.check && !options.cached;
    let given = options.source_archive.as_deref();
    let kernel = kernel::build(repo, &sources, &inputs.toolchain, given, anew)?;
    let programs = compile::build(repo, &image, anew)?;
    let packer = packer(repo)?;
    let out = match &options.out {
        Some(out) => std::path::absolute(out)?,
        None => repo.report_dir("eif"),
    };
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let eif = out.join("enclave.eif");
    pack(&packer, &image, &kernel, &programs, &eif)?;
    let here = Measured {
        image: describe(&packer, &eif)?,
        inputs,
    };
    if options.eif_build {
        independent::agrees(repo, &packer, &eif, &here.image)?;
    }
    let differences = match &committed {
        Some(committed) => here.image.differences(&committed.image),
        None => vec!["nothing is committed".into()],
    };
    tell(&here, &eif, &differences, start)?;
    if options.update {
        here.write(&path)?;
        say(&format!("wrote {}", path.display()));
    }
    if let Some(json) = &options.json {
        let report = json!({
            "eif": {
                "file": eif,
                "bytes": fs::metadata(&eif)?.len(),
                "sha256": digest::sha256_file(&eif)?,
            },
            "image": here.image,
            "inputs": here.inputs,
            "equal_to_committed": differences.is_empty(),
            "differences": differences,
            "kernel_from_cache": kernel.from_cache,
            "eif_build_agrees": options.eif_build.then_some(true),
            "seconds": start.elapsed().as_secs_f64(),
        });
        fs::write(json, format!("{report:#}\n")).with_context(|| json.display().to_string())?;
    }
    Ok(differences.is_empty() || !options.check)
}

fn inputs(repo: &Repo, sources: &Sources, image: &Image) -> Result<Inputs> {
    let pin = &sources.kernel.pin;
    let mut crates = BTreeMap::new();
    for name in image.crates() {
        crates.insert(name.to_owned(), crates::digest_of(repo, name)?);
    }
    Ok(Inputs {
        kernel_source: format!("{} {} sha256:{}", pin.package, pin.version, pin.sha256),
        kernel_configuration_sha256: digest::sha256_file(&kernel::configuration(repo))?,
        toolchain: toolchain::versions(repo)?,
        crates,
    })
}

/// Before anything is built, so that nobody waits for a comparison that cannot hold.
fn warn_of_other_inputs(here: &Inputs, committed: Option<&Measured>) {
    let Some(committed) = committed else {
        say("images/measurements.json is absent: there is nothing to compare with");
        return;
    };
    let lines = here.differences(&committed.inputs);
    if !lines.is_empty() {
        say("other inputs than those committed, so the image may measure otherwise:");
    }
    for line in lines {
        say(&format!("  {line}"));
    }
}

/// The packer, built for this machine like every other tool of ours.
fn packer(repo: &Repo) -> Result<PathBuf> {
    say("packing");
    let mut cargo = compile::cargo(repo, "build");
    cargo.args(["--release", "--locked", "--package", "redoubt-image"]);
    cargo.args(["--bin", "redoubt-image", "--quiet"]);
    cargo.env("CARGO_TARGET_DIR", repo.image_target());
    let status = process::wait_in_foreground(&mut cargo)?;
    ensure!(status.success(), "the packer does not build; see above");
    Ok(repo.image_target().join("release/redoubt-image"))
}

fn pack(
    packer: &Path,
    image: &Image,
    kernel: &Kernel,
    programs: &BTreeMap<String, PathBuf>,
    eif: &Path,
) -> Result<()> {
    let mut pack = Command::new(packer);
    pack.args(["pack", "--name", &image.name]);
    pack.arg("--kernel").arg(kernel.file());
    pack.args(["--kernel-version", &kernel.version()?]);
    pack.args(["--command-line", &image.command_line]);
    for disk in &image.ramdisks {
        let folders = disk.folders.iter().map(|path| format!("dir:{path}"));
        let mut items: Vec<_> = folders.collect();
        for (path, name) in &disk.programs {
            let file = programs.get(name).context("a program was not built")?;
            items.push(format!("run:{path}={}", file.display()));
        }
        pack.args(["--ramdisk", &items.join(",")]);
    }
    pack.arg("--out").arg(eif);
    process::output_of(&mut pack).map(drop)
}

fn describe(packer: &Path, eif: &Path) -> Result<Description> {
    let said = process::output_of(Command::new(packer).arg("describe").arg(eif))?;
    Ok(serde_json::from_str(&said)?)
}

fn tell(here: &Measured, eif: &Path, differences: &[String], start: Instant) -> Result<()> {
    let bytes = fs::metadata(eif)?.len();
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("{}: {bytes} bytes, {seconds:.0} s", eif.display()));
    for (name, value) in &here.image.measurements {
        say(&format!("  {name} {value}"));
    }
    match differences {
        [] => say("equal to images/measurements.json"),
        _ => say("other than images/measurements.json:"),
    }
    for line in differences {
        say(&format!("  {line}"));
    }
    Ok(())
}
