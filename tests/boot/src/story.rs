//! The story: boot, attest, be refused where that is due, unseal, a customer's day.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::document::{Time, VendorRoot, verify};
use redoubt_attestation::genesis::Environment as Kind;
use redoubt_audit::fetch::{AttestedConnection, Pinned};
use redoubt_e2e::Appliance;
use redoubt_e2e::appliance::{Founded, only_file};
use redoubt_e2e::process::run;
use serde_json::{Value, json};

use crate::day;
use crate::eif::Image;
use crate::guest::{self, Tools, write_measurements};
use crate::report::Report;
use crate::worker;

/// The reason for which unsigned documents are refused where a signature is due.
const UNSIGNED: &str = "unsigned";

/// What Nitro's tools expect of an image that started.
pub(crate) const SIGN_OF_LIFE: u8 = 0xb7;

/// Tells it; the first step that fails ends it.
pub(crate) fn tell(tools: &Tools, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let measurements = folder.path().join("measurements.json");
    report.image_bytes = std::fs::metadata(&tools.image).map_or(0, |data| data.len());
    report.pcrs = report.step("the image's PCRs are computed from its bytes", || {
        let pcrs = Image::read(&tools.image)?.pcrs();
        write_measurements(&pcrs, &measurements)?;
        Ok((pcrs, Value::Null))
    })?;
    let mut ours = report.step("officers found an emulated appliance on them", || {
        Ok((tools.found(&measurements, Founded::Emulated)?, Value::Null))
    })?;
    let hardware = report.step("and one that says it is hardware", || {
        Ok((tools.found(&measurements, Founded::Hardware)?, Value::Null))
    })?;
    let another = report.step("and one for another image", || {
        let other = measurements_of_another(&measurements)?;
        Ok((tools.found(&other, Founded::Emulated)?, Value::Null))
    })?;
    let told = attested_boot(&mut ours, &hardware, report)
        .and_then(|()| unsealed(&ours, report))
        .and_then(|()| day::tell(tools, &mut ours, report))
        .and_then(|()| refused_by_the_guest(hardware, another, report))
        .and_then(|()| worker::tell(tools, &measurements, report));
    if told.is_err() {
        ours.keep_files();
    }
    told
}

/// Measurements that differ from an image's in one digit of PCR 0.
pub(crate) fn measurements_of_another(measurements: &Path) -> Result<PathBuf> {
    let mut said: Value = serde_json::from_slice(&std::fs::read(measurements)?)?;
    let pcr0 = said["PCR0"].as_str().context("no PCR0")?;
    let (first, rest) = pcr0.split_at(1);
    let other = if first == "0" { "1" } else { "0" };
    said["PCR0"] = format!("{other}{rest}").into();
    let path = measurements.with_extension("another");
    std::fs::write(&path, said.to_string())?;
    Ok(path)
}

/// Boots, compares, and shows the evidence to those who must refuse it.
fn attested_boot(ours: &mut Appliance, hardware: &Appliance, report: &mut Report) -> Result<()> {
    let (boot, connection) = report.step("the image boots and attests itself", || {
        let (boot, connection) = guest::boot(ours)?;
        let detail = serde_json::to_value(boot)?;
        Ok(((boot, connection), detail))
    })?;
    report.boots.push(boot);
    report.step("its init sent the sign of life", || {
        let sign = ours.sign_of_life();
        ensure!(sign == Some(SIGN_OF_LIFE), "{sign:?}");
        Ok(((), Value::Null))
    })?;
    let computed = report.pcrs.clone();
    report.step("the security module's PCRs are the computed ones", || {
        let attested = connection.appraised.document.pcrs.to_hex();
        for (index, value) in &computed {
            let found = attested.get(index);
            ensure!(
                found == Some(value),
                "PCR{index}: {found:?}, computed {value}"
            );
        }
        Ok(((), json!({ "compared": computed.len() })))
    })?;
    report.step(
        "unsigned evidence counts as emulated under this genesis",
        || {
            let kind = connection.appraised.environment;
            ensure!(kind == Kind::Emulated, "it counts as {}", kind.name());
            Ok(((), Value::Null))
        },
    )?;
    refused_by_clients(ours, hardware, &connection, report)
}

/// Every client that pins a hardware genesis refuses the same guest.
fn refused_by_clients(
    ours: &Appliance,
    hardware: &Appliance,
    connection: &AttestedConnection,
    report: &mut Report,
) -> Result<()> {
    report.step("the library refuses it under the vendor's root", || {
        let document = &connection.reply.document;
        let refusal = verify(document, &VendorRoot::aws_nitro(), Time::OfDocument);
        let code = refusal.map(drop).map_err(|refusal| refusal.code());
        ensure!(code == Err(UNSIGNED), "{code:?}");
        Ok(((), code.err().into()))
    })?;
    report.step("a client that pins hardware refuses it", || {
        let pinned: Pinned = guest::pinned(hardware)?;
        let opened = AttestedConnection::open(&ours.url(), &pinned, Purpose::Unseal, None);
        let code = opened.map(drop).map_err(|error| error.code());
        ensure!(code == Err(UNSIGNED), "{code:?}");
        Ok(((), code.err().into()))
    })?;
    report.step("an auditor who pins hardware refuses it", || {
        let out = hardware.trust_dir();
        let output = run(&mut ours.trust_command(&ours.url(), &hardware.policy(), &out))?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        let said: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(said.to_string().contains(UNSIGNED), "{said}");
        ensure!(!out.join("ca.pem").exists(), "it wrote a CA to pin");
        Ok(((), said))
    })?;
    report.step("an officer who pins hardware keeps the share", || {
        let share = only_file(&hardware.genesis_dir(), "share")?;
        let mut unseal = std::process::Command::new(ours.program("redoubt"));
        unseal.arg("unseal").arg(ours.url());
        unseal.arg("--policy").arg(hardware.policy());
        unseal.arg("--share").arg(share);
        let output = run(&mut unseal)?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(
            output.status.code() == Some(1) && said.contains("unsigned"),
            "{output:?}"
        );
        Ok(((), said.into()))
    })
}

pub(crate) fn unsealed(ours: &Appliance, report: &mut Report) -> Result<()> {
    report.step("an officer unseals it", || {
        Ok((ours.unseal()?, Value::Null))
    })?;
    report.step("it serves", || {
        Ok((ours.wait_for_phase("serving")?, Value::Null))
    })?;
    report.step("the auditor verifies it and pins its CA", || {
        Ok((ours.trust()?, Value::Null))
    })
}

/// The image itself refuses to start under a genesis that says it is hardware, and
/// under one that allows another image.
fn refused_by_the_guest(
    hardware: Appliance,
    another: Appliance,
    report: &mut Report,
) -> Result<()> {
    report.step(
        "the image refuses to start under a hardware genesis",
        || ends_saying(hardware, "the genesis manifest is for hardware"),
    )?;
    report.step("and under one that allows another image only", || {
        ends_saying(another, "which the genesis manifest does not allow")
    })
}

fn ends_saying(mut appliance: Appliance, reason: &str) -> Result<((), Value)> {
    appliance.start()?;
    let console = guest::ends(&mut appliance)?;
    let said = console.lines().find(|line| line.contains(reason));
    let said = said.with_context(|| format!("for another reason:\n{console}"))?;
    ensure!(appliance.phase().is_err(), "something still answers");
    Ok(((), said.trim().into()))
}
