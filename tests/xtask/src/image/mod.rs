//! `cargo xtask image`: builds the enclave's image and the worker's from pinned
//! parts, says what they measure, and compares that with what is committed.
//!
//! Protects whoever has to believe in a measurement: with the same toolchain,
//! anyone gets the same bytes from any folder; with another one, the difference
//! is named before anything is built.

mod built;
mod compile;
mod crates;
mod independent;
mod kernel;
mod pack;
mod report;
mod settings;
mod sources;
mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::apt::Given;
use crate::elf::Linkage;
use crate::repo::Repo;
use crate::{digest, fetch, say, tools};
use built::Built;
use pack::{Companions, Parts};
use report::{Inputs, Measured};
use sources::{Image, Sources};

pub(crate) use built::BuiltImage;
pub(crate) use sources::Kind;

/// The crate whose program packs images.
const PACKER: &str = "redoubt-image";

/// Flags of `cargo xtask image`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Where `enclave.eif` and `worker.eif` go [default: target/eif]
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
    #[arg(long, conflicts_with_all = ["check", "only"])]
    pub(crate) update: bool,
    /// Only this image
    #[arg(long, value_name = "IMAGE")]
    pub(crate) only: Option<Kind>,
    /// A package's file that Debian's archive does not serve any more, such as the
    /// kernel's sources; repeat
    #[arg(long, value_name = "FILE")]
    pub(crate) source_archive: Vec<PathBuf>,
}

/// Builds and compares; whether all was well.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<bool> {
    let built = build(repo, options)?;
    let equal = built
        .images
        .values()
        .all(|image| image.differences.is_empty());
    if options.update {
        let path = committed(repo);
        built.measured()?.write(&path)?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(equal || !options.check)
}

fn committed(repo: &Repo) -> PathBuf {
    repo.root.join("images/measurements.json")
}

/// Builds, compares, reports.
pub(crate) fn build(repo: &Repo, options: &Options) -> Result<Built> {
    toolchain::require()?;
    settings::require_plain(repo)?;
    fetch::clear_leftovers()?;
    let start = Instant::now();
    let given = Given::read(&options.source_archive)?;
    let sources = Sources::read(repo)?;
    let kinds = options.only.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
    let mut images = BTreeMap::new();
    for kind in kinds {
        images.insert(kind, Image::read(repo, kind)?);
    }
    let programs = crates_of(&images);
    let inputs = inputs(repo, &sources)?;
    let committed = read_committed(repo, options)?;
    warn_of_other_inputs(&inputs, committed.as_ref());

    let anew = options.check && !options.cached;
    let companions = match images.contains_key(&Kind::Worker) {
        true => Some(Companions::fetch(repo, &sources, &given)?),
        false => None,
    };
    let kernel = kernel::build(repo, &sources, &inputs.toolchain, &given, anew)?;
    let parts = Parts {
        programs: compile::build(repo, &programs, anew)?,
        kernel,
        companions,
    };
    let packer = pack::packer(repo)?;
    let eif_build = match options.eif_build {
        true => Some(tools::eif_build(repo)?),
        false => None,
    };
    let out = match &options.out {
        Some(out) => std::path::absolute(out)?,
        None => repo.report_dir("eif"),
    };
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut built = Built {
        images: BTreeMap::new(),
        other_tools: committed.as_ref().map_or(Vec::new(), |committed| {
            inputs.other_tools(&committed.inputs)
        }),
        inputs,
        kernel_from_cache: parts.kernel.from_cache,
    };
    for (kind, image) in &images {
        let eif = out.join(kind.name()).with_extension("eif");
        pack::pack(&packer, image, &parts, &eif)?;
        let description = pack::describe(&packer, &eif)?;
        if let Some(program) = &eif_build {
            independent::agrees(program, &packer, &eif, &description)?;
        }
        let differences = match &committed {
            Some(committed) => description.differences(committed.of(*kind)),
            None => vec!["nothing is committed".into()],
        };
        let image = BuiltImage {
            eif,
            description,
            differences,
        };
        image.tell()?;
        built.images.insert(*kind, image);
    }
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("images built in {seconds:.0} s"));
    if let Some(json) = &options.json {
        let report = built.report(options, seconds)?;
        fs::write(json, format!("{report:#}\n")).with_context(|| json.display().to_string())?;
    }
    Ok(built)
}

/// All finished programs in one folder, those of the images as images hold them.
pub(crate) fn programs(repo: &Repo) -> Result<PathBuf> {
    toolchain::require()?;
    settings::require_plain(repo)?;
    let mut images = BTreeMap::new();
    for kind in Kind::ALL {
        images.insert(kind, Image::read(repo, kind)?);
    }
    let dir = repo.shipped_dir();
    crate::programs::install_all(&repo.bin_dir(), &dir)?;
    for (name, file) in compile::build(repo, &crates_of(&images), false)? {
        crate::programs::install(&file, &dir.join(name))?;
    }
    Ok(dir)
}

/// Every crate whose program is in one of the images, and how it is linked.
fn crates_of(images: &BTreeMap<Kind, Image>) -> BTreeMap<String, Linkage> {
    let crates = images.values().flat_map(Image::crates);
    crates
        .map(|(name, linkage)| (name.to_owned(), linkage))
        .collect()
}

/// Of both images, whichever is built.
fn inputs(repo: &Repo, sources: &Sources) -> Result<Inputs> {
    let pin = &sources.kernel.pin;
    let mut crates = BTreeMap::new();
    for kind in Kind::ALL {
        for (name, _) in Image::read(repo, kind)?.crates() {
            crates.insert(name.to_owned(), crates::digest_of(repo, name)?);
        }
    }
    crates.insert(PACKER.into(), crates::digest_of(repo, PACKER)?);
    let library = |library: &sources::Library| {
        let pin = &library.pin;
        let said = format!("{} sha256:{}", pin.version, pin.sha256);
        (pin.package.clone(), said)
    };
    Ok(Inputs {
        kernel_source: format!("{pin} sha256:{}", pin.sha256),
        kernel_configuration_sha256: digest::sha256_file(&kernel::configuration(repo))?,
        toolchain: toolchain::versions(repo)?,
        crates,
        libraries: sources.libraries.iter().map(library).collect(),
        models_sha256: digest::sha256_file(&repo.models_toml())?,
    })
}

/// None where there is none to compare with, which an auditor does not accept.
fn read_committed(repo: &Repo, options: &Options) -> Result<Option<Measured>> {
    match Measured::read(&committed(repo)) {
        Ok(committed) => Ok(Some(committed)),
        Err(error) if options.check => Err(error),
        Err(error) => {
            say(&format!("there is nothing to compare with: {error:#}"));
            Ok(None)
        }
    }
}

/// Before anything is built, so that nobody waits for a comparison that cannot hold.
fn warn_of_other_inputs(here: &Inputs, committed: Option<&Measured>) {
    let lines = committed.map_or(Vec::new(), |committed| here.differences(&committed.inputs));
    if !lines.is_empty() {
        say("other inputs than those committed, so the images may measure otherwise:");
    }
    for line in lines {
        say(&format!("  {line}"));
    }
}
