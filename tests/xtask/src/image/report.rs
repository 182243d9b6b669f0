//! What was built from what: the committed `images/measurements.json`, and the
//! differences between two of them, down to the file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::sources::Kind;

/// Both images and their inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    /// The enclave's.
    pub(crate) image: Description,
    /// The worker's.
    pub(crate) worker: Description,
    pub(crate) inputs: Inputs,
}

/// As `redoubt-image describe` says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// `pcr0` to `pcr2`.
    pub(crate) measurements: BTreeMap<String, String>,
    pub(crate) kernel: Part,
    pub(crate) command_line: String,
    pub(crate) ramdisks: Vec<Ramdisk>,
}

/// Bytes, by digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A ramdisk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ramdisk {
    pub(crate) packed: Part,
    pub(crate) files: Vec<File>,
}

/// A file of a ramdisk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: Part,
}

/// Everything the images' bytes depend on, besides our own sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inputs {
    /// Package, version and digest.
    pub(crate) kernel_source: String,
    pub(crate) kernel_configuration_sha256: String,
    /// Tool and version.
    pub(crate) toolchain: BTreeMap<String, String>,
    /// Crate of an image or of its packer, and the digest over all crates it is
    /// compiled from.
    pub(crate) crates: BTreeMap<String, String>,
    /// Package whose files the worker's image holds, and its version and digest.
    pub(crate) libraries: BTreeMap<String, String>,
    /// Of `models.toml`, which pins weights and inference library.
    pub(crate) models_sha256: String,
}

impl Measured {
    /// One of the images.
    pub(crate) fn of(&self, kind: Kind) -> &Description {
        match kind {
            Kind::Enclave => &self.image,
            Kind::Worker => &self.worker,
        }
    }

    /// Reads a committed file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let at = || {
            let path = path.display();
            format!("{path} cannot be read; `cargo xtask image --update` writes it")
        };
        let bytes = std::fs::read(path).with_context(at)?;
        serde_json::from_slice(&bytes).with_context(at)
    }

    /// Writes it as it is committed.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }
}

impl Inputs {
    /// The tools that differ: with them, other bytes are no surprise.
    pub(crate) fn other_tools(&self, committed: &Self) -> Vec<String> {
        maps("toolchain", &committed.toolchain, &self.toolchain)
    }

    /// What `self` has otherwise than what was `committed`.
    pub(crate) fn differences(&self, committed: &Self) -> Vec<String> {
        let mut lines = self.other_tools(committed);
        let mut value = |name: &str, was: &str, is: &str| lines.extend(pair(name, was, is));
        value(
            "kernel source",
            &committed.kernel_source,
            &self.kernel_source,
        );
        value(
            "kernel configuration",
            &committed.kernel_configuration_sha256,
            &self.kernel_configuration_sha256,
        );
        value("models.toml", &committed.models_sha256, &self.models_sha256);
        lines.extend(maps("crates below", &committed.crates, &self.crates));
        lines.extend(maps("package", &committed.libraries, &self.libraries));
        lines
    }
}

impl Description {
    /// What `self` has otherwise than what was `committed`, and where.
    pub(crate) fn differences(&self, committed: &Self) -> Vec<String> {
        let mut lines = maps("measurement", &committed.measurements, &self.measurements);
        let (was, is) = (&committed.kernel, &self.kernel);
        lines.extend(pair("kernel", &was.sha256, &is.sha256));
        lines.extend(pair(
            "command line",
            &committed.command_line,
            &self.command_line,
        ));
        let count = self.ramdisks.len().max(committed.ramdisks.len());
        for index in 0..count {
            let name = format!("ramdisk {}", index + 1);
            match (committed.ramdisks.get(index), self.ramdisks.get(index)) {
                (Some(was), Some(is)) => lines.extend(is.differences(was, &name)),
                (Some(_), None) => lines.push(format!("{name}: missing")),
                _ => lines.push(format!("{name}: not committed")),
            }
        }
        lines
    }
}

impl Ramdisk {
    fn differences(&self, committed: &Self, name: &str) -> Vec<String> {
        if self == committed {
            return Vec::new();
        }
        let contents = |disk: &Self| -> BTreeMap<String, String> {
            let pair = |file: &File| (file.path.clone(), file.content.sha256.clone());
            disk.files.iter().map(pair).collect()
        };
        let what = format!("{name}, file");
        let lines = maps(&what, &contents(committed), &contents(self));
        match lines.is_empty() {
            true => vec![format!("{name}: the same files, packed otherwise")],
            false => lines,
        }
    }
}

fn pair(name: &str, was: &str, is: &str) -> Option<String> {
    (was != is).then(|| format!("{name}: committed {was}, here {is}"))
}

fn maps(
    name: &str,
    committed: &BTreeMap<String, String>,
    here: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut keys: Vec<_> = committed.keys().chain(here.keys()).collect();
    keys.sort();
    keys.dedup();
    let none = "none".to_owned();
    let line = |key: &&String| {
        let (was, is) = (committed.get(*key), here.get(*key));
        pair(
            &format!("{name} {key}"),
            was.unwrap_or(&none),
            is.unwrap_or(&none),
        )
    };
    keys.iter().filter_map(line).collect()
}

#[cfg(test)]
#[path = "../tests/report.rs"]
mod tests;
