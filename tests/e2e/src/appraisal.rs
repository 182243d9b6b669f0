//! What officers ask of evidence beyond the manifest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use redoubt_attestation::genesis::Genesis;
use serde_json::{Value, json};

use crate::appliance::Appliance;
use crate::process::run_ok;

/// An appraisal policy that the officer signed.
pub fn appraisal_policy(
    appliance: &Appliance,
    counter: u64,
    withdrawn: &[&str],
) -> Result<PathBuf> {
    let genesis = appliance.genesis_dir().join("genesis.json");
    let verified = Genesis::verify(&std::fs::read(&genesis)?)?;
    let policy = json!({
        "type": "redoubt/appraisal-policy/v1", "genesis": verified.digest, "counter": counter,
        "not_after_ms": u64::MAX, "max_age_ms": 60_000, "withdrawn": withdrawn,
    });
    let path = appliance.dir().join(format!("appraisal-{counter}.json"));
    std::fs::write(&path, policy.to_string())?;
    let mut sign = Command::new(appliance.program("redoubt"));
    sign.args(["policy", "sign", "--genesis"]).arg(genesis);
    sign.arg("--policy").arg(&path).arg("--officer-key");
    sign.arg(appliance.genesis_dir().join("officer-1.key.pem"));
    run_ok(sign.arg("--out").arg(&path))?;
    Ok(path)
}

/// PCR0 of a program, as an emulated appliance measures it.
pub fn pcr0(appliance: &Appliance, program: &Path) -> Result<String> {
    let mut measure = Command::new(appliance.program("redoubt"));
    let measured = run_ok(measure.args(["--json", "measure"]).arg(program))?;
    let measured: Value = serde_json::from_slice(&measured.stdout)?;
    let pcr0 = measured["pcrs"]["0"].as_str();
    Ok(pcr0.context("no PCR0")?.to_owned())
}
