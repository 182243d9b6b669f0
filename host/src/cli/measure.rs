//! `redoubt measure`: what a program measures as an emulated enclave.

use std::path::{Path, PathBuf};

use redoubt_attestation::attester::measure;
use serde_json::json;

use super::{Report, read};

/// Registers that a manifest lists; the emulated attester leaves the others zero.
const LISTED: std::ops::RangeInclusive<u8> = 0..=2;

/// Flags of `redoubt measure`.
#[derive(Debug, clap::Args)]
pub(super) struct MeasureArgs {
    /// The program, such as target/release/redoubt-enclave
    file: PathBuf,
}

/// PCR index and value in hexadecimal.
pub(super) fn registers(program: &Path) -> anyhow::Result<Vec<(u8, String)>> {
    let pcrs = measure(&read(program)?);
    let listed = pcrs
        .0
        .into_iter()
        .filter(|(index, _)| LISTED.contains(index));
    Ok(listed
        .map(|(index, value)| (index, hex::encode(value)))
        .collect())
}

pub(super) fn measure_file(args: &MeasureArgs) -> anyhow::Result<Report> {
    let registers = registers(&args.file)?;
    let lines: Vec<_> = registers
        .iter()
        .map(|(i, value)| format!("PCR{i} {value}"))
        .collect();
    let pcrs: serde_json::Map<_, _> = registers
        .into_iter()
        .map(|(i, value)| (i.to_string(), value.into()))
        .collect();
    let file = args.file.display().to_string();
    let json = json!({ "file": file, "environment": "emulated", "pcrs": pcrs });
    Ok(Report::yes(lines.join("\n"), json))
}
