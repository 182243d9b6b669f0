//! The public tool `eif_build` packs the same parts: another program, written by
//! others, must come to the same measurements.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::report::Description;
use crate::work::Scratch;
use crate::{process, say};

/// An error unless `eif_build` measures what we measured.
pub(crate) fn agrees(program: &Path, packer: &Path, eif: &Path, ours: &Description) -> Result<()> {
    say("packing once more, with eif_build");
    let scratch = Scratch::new(eif.with_extension("parts"))?;
    let mut split = Command::new(packer);
    split.arg("split").arg(eif).arg("--out").arg(&scratch.0);
    process::output_of(&mut split)?;
    let part = |name: &str| scratch.0.join(name);
    let mut pack = Command::new(program);
    pack.arg("--kernel").arg(part("kernel"));
    pack.args(["--cmdline", &ours.command_line]);
    for number in 1..=ours.ramdisks.len() {
        pack.arg("--ramdisk")
            .arg(part(&format!("ramdisk-{number}")));
    }
    pack.arg("--output").arg(part("theirs.eif"));
    let said = process::output_of(&mut pack)?;
    let at = said.find('{').context("eif_build said no JSON")?;
    let said: Value = serde_json::from_str(&said[at..])?;
    let said = said.get("Measurements").unwrap_or(&said);
    for (name, value) in &ours.measurements {
        let theirs = &said[name.to_uppercase()];
        ensure!(
            theirs == value,
            "eif_build measures {name} as {theirs}, we as {value}"
        );
    }
    say("  eif_build comes to the same measurements");
    Ok(())
}
