//! What a build made, told to people and as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Options;
use super::report::{Description, Inputs, Measured};
use super::sources::Kind;
use crate::{digest, say};

/// What came out.
pub(crate) struct Built {
    pub(crate) images: BTreeMap<Kind, BuiltImage>,
    pub(super) inputs: Inputs,
    /// Tools that differ from those that made what is committed.
    pub(crate) other_tools: Vec<String>,
    pub(super) kernel_from_cache: bool,
}

/// One image.
pub(crate) struct BuiltImage {
    pub(crate) eif: PathBuf,
    pub(super) description: Description,
    /// From what is committed, and where.
    pub(crate) differences: Vec<String>,
}

impl Built {
    /// Both, as they are committed.
    pub(super) fn measured(&self) -> Result<Measured> {
        let of = |kind| -> Result<Description> {
            let image = self.images.get(&kind).context("only one image was built")?;
            Ok(image.description.clone())
        };
        Ok(Measured {
            image: of(Kind::Enclave)?,
            worker: of(Kind::Worker)?,
            inputs: self.inputs.clone(),
        })
    }

    /// The enclave's image at the top, the worker's under its name.
    pub(super) fn report(&self, options: &Options, seconds: f64) -> Result<Value> {
        let of = |kind| self.images.get(&kind).map(BuiltImage::report).transpose();
        let mut report = of(Kind::Enclave)?.unwrap_or_else(|| json!({}));
        let images = self.images.iter();
        let differences: Vec<_> = images
            .flat_map(|(kind, image)| {
                let named = |line| format!("{}: {line}", kind.name());
                image.differences.iter().map(named)
            })
            .collect();
        report["worker"] = of(Kind::Worker)?.into();
        report["inputs"] = json!(self.inputs);
        report["equal_to_committed"] = differences.is_empty().into();
        report["differences"] = json!(differences);
        report["other_tools"] = json!(self.other_tools);
        report["kernel_from_cache"] = self.kernel_from_cache.into();
        report["eif_build_agrees"] = json!(options.eif_build.then_some(true));
        report["seconds"] = seconds.into();
        Ok(report)
    }
}

impl BuiltImage {
    #[cfg(test)]
    pub(crate) fn differing(differences: Vec<String>) -> Self {
        Self {
            eif: PathBuf::new(),
            description: Description::default(),
            differences,
        }
    }

    fn report(&self) -> Result<Value> {
        Ok(json!({
            "eif": {
                "file": self.eif,
                "bytes": bytes(&self.eif)?,
                "sha256": digest::sha256_file(&self.eif)?,
            },
            "image": self.description,
        }))
    }

    /// Says what it measures.
    pub(super) fn tell(&self) -> Result<()> {
        say(&format!(
            "{}: {} bytes",
            self.eif.display(),
            bytes(&self.eif)?
        ));
        for (name, value) in &self.description.measurements {
            say(&format!("  {name} {value}"));
        }
        match self.differences[..] {
            [] => say("  equal to images/measurements.json"),
            _ => say("  other than images/measurements.json:"),
        }
        for line in &self.differences {
            say(&format!("    {line}"));
        }
        Ok(())
    }
}

fn bytes(file: &Path) -> Result<u64> {
    let data = fs::metadata(file).with_context(|| file.display().to_string())?;
    Ok(data.len())
}
