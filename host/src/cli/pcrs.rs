//! Measurements of images, as files hold them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use redoubt_attestation::genesis::MeasuredRole;
use serde_json::Value;

use super::read;

/// Register and value in lowercase hexadecimal, from what tools write:
/// `{"PCR0": hex, …}` alone or inside `Measurements` (AWS's), or the repository's
/// `images/measurements.json`, which holds both roles' images.
pub(super) fn of_image(path: &Path, role: MeasuredRole) -> anyhow::Result<BTreeMap<u8, String>> {
    let file = path.display();
    let json: Value = serde_json::from_slice(&read(path)?).with_context(|| file.to_string())?;
    let committed = match role {
        MeasuredRole::Enclave => "/image/measurements",
        MeasuredRole::Worker => "/worker/measurements",
    };
    let members = json.pointer(committed).or_else(|| json.get("Measurements"));
    let members = members.unwrap_or(&json).as_object();
    let members = members.with_context(|| format!("{file}: no JSON object"))?;
    let register = |(name, value): (&String, &Value)| {
        let index = name.trim_start_matches(['P', 'C', 'R', 'p', 'c', 'r']);
        Some((index.parse().ok()?, value.as_str()?.to_owned()))
    };
    let pcrs: BTreeMap<u8, String> = members.iter().filter_map(register).collect();
    ensure!(!pcrs.is_empty(), "{file}: holds no PCR0, PCR1, ...");
    Ok(pcrs)
}
