//! The conformance runner over evidence that others recorded.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

fn vectors(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("REDOUBT_VECTORS").map(PathBuf::from);
    if found.is_none() {
        println!("skipped: {test}: REDOUBT_VECTORS is not set");
    }
    found
}

fn rows(arguments: &[&str], input: &Path) -> Result<Vec<Value>> {
    let out = tempfile::NamedTempFile::new()?;
    let status = Command::new(env!("CARGO_BIN_EXE_redoubt-conformance"))
        .arg(arguments[0])
        .arg(input)
        .args(&arguments[1..])
        .arg("--json")
        .arg(out.path())
        .status()?;
    ensure!(status.success(), "{status}");
    Ok(serde_json::from_slice(&std::fs::read(out.path())?)?)
}

fn row<'r>(rows: &'r [Value], part: &str) -> Result<&'r Value> {
    let named = |row: &&Value| row["file"].as_str().is_some_and(|file| file.contains(part));
    rows.iter().find(named).with_context(|| part.to_owned())
}

#[test]
fn recorded_documents_get_the_verdicts_they_deserve() -> Result<()> {
    let Some(vectors) = vectors("recorded_documents_get_the_verdicts_they_deserve") else {
        return Ok(());
    };
    let rows = rows(&["nitro"], &vectors.join("nitro"))?;
    for row in &rows {
        let file = row["file"].as_str().unwrap_or_default();
        let authentic = file.starts_with("ok_") || file.contains("malleable_twin");
        let expected = if authentic { "accept" } else { "refuse" };
        ensure!(row["verdict"] == expected, "{row}");
        ensure!(row["reason"].is_null() == authentic, "{row}");
        for member in [
            "pcrs",
            "debug",
            "user_data_len",
            "nonce_len",
            "public_key_len",
        ] {
            ensure!(row.get(member).is_some(), "no {member} in {row}");
        }
    }
    ensure!(rows.len() >= 11, "{} rows", rows.len());
    ensure!(row(&rows, "ok_2021-04-26")?["debug"] == true);
    ensure!(row(&rows, "ok_2024-09-07")?["user_data_len"] == 1024);
    let registers = row(&rows, "ok_2025-04-29")?["pcrs"].as_object();
    ensure!(registers.map(serde_json::Map::len) == Some(17));
    Ok(())
}

#[test]
fn a_document_judged_at_another_time_has_expired() -> Result<()> {
    let Some(vectors) = vectors("a_document_judged_at_another_time_has_expired") else {
        return Ok(());
    };
    let arguments = ["nitro", "--at", "2030-01-01T00:00:00Z"];
    for row in rows(&arguments, &vectors.join("nitro"))? {
        ensure!(row["verdict"] == "refuse", "{row}");
    }
    Ok(())
}

#[test]
fn recorded_gpu_evidence_gets_the_verdicts_it_deserves() -> Result<()> {
    let Some(vectors) = vectors("recorded_gpu_evidence_gets_the_verdicts_it_deserves") else {
        return Ok(());
    };
    let folder = vectors.join("nvidia");
    let good = rows(&["nvidia"], &folder)?;
    ensure!(good.len() >= 2, "{} rows", good.len());
    for row in &good {
        ensure!(
            row["verdict"] == "accept" && row["reason"].is_null(),
            "{row}"
        );
        // Nobody asked whether a certificate is on hold, and the row says so.
        ensure!(row["status_checked"] == false, "{row}");
        ensure!(row["driver_version"].is_string() && row["vbios_version"].is_string());
        ensure!(
            row["measurements"]
                .as_object()
                .is_some_and(|m| m.len() == 64)
        );
    }
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let rim = path(&folder.join("verifier_RIM_root.pem"));
    let foreign = rows(&["nvidia", "--root", &rim], &folder)?;
    ensure!(foreign.iter().all(|row| row["reason"] == "root_not_pinned"));
    // Once somebody brings the serial number of a device's certificate.
    let held = tempfile::NamedTempFile::new()?;
    std::fs::write(held.path(), "41:AD:48:FF:92:CD:C9:3D:9A\n")?;
    let asked = rows(&["nvidia", "--revoked", &path(held.path())], &folder)?;
    ensure!(row(&asked, "cert_hold")?["reason"] == "certificate_revoked");
    ensure!(row(&asked, "hopper_evidence.json")?["status_checked"] == true);
    let early = rows(&["nvidia", "--at", "2019-01-01T00:00:00Z"], &folder)?;
    ensure!(
        early
            .iter()
            .all(|row| row["reason"] == "certificate_not_yet_valid")
    );
    Ok(())
}

#[test]
fn recorded_ceremonies_agree() -> Result<()> {
    let Some(vectors) = vectors("recorded_ceremonies_agree") else {
        return Ok(());
    };
    let rows = rows(&["webauthn"], &vectors.join("webauthn/cases.json"))?;
    ensure!(rows.len() >= 80, "{} rows", rows.len());
    let disagree: Vec<&Value> = rows
        .iter()
        .filter(|row| row["verdict"] != row["expect"])
        .collect();
    ensure!(disagree.is_empty(), "{disagree:#?}");
    Ok(())
}

#[test]
fn recorded_metadata_blobs_get_the_verdicts_they_deserve() -> Result<()> {
    let Some(vectors) = vectors("recorded_metadata_blobs_get_the_verdicts_they_deserve") else {
        return Ok(());
    };
    let at = |arguments: &[&str]| {
        let rows = rows(arguments, &vectors.join("mds"))?;
        ensure!(rows.len() >= 3, "{} rows", rows.len());
        let fake = row(&rows, "conformance-fake-root")?;
        ensure!(fake["reason"] == "root_not_trusted", "{fake}");
        ensure!(fake["no"].is_null(), "a forged number is shown: {fake}");
        Ok(rows)
    };
    let early = at(&["mds", "--at", "2021-06-01T00:00:00Z"])?;
    let old = row(&early, "blob-no4")?;
    ensure!(
        old["verdict"] == "ok" && old["no"] == 4 && old["entries"] == 49,
        "{old}"
    );
    ensure!(row(&early, "blob-no122")?["reason"] == "certificate_not_yet_valid");

    let late = at(&["mds", "--at", "2024-12-31"])?;
    let new = row(&late, "blob-no122")?;
    ensure!(
        new["verdict"] == "ok" && new["no"] == 122 && new["entries"] == 281,
        "{new}"
    );
    ensure!(
        new["nextUpdate"] == "2025-01-01" && new["overdue"] == false,
        "{new}"
    );
    let statuses = new["statuses"].as_array().context("no statuses")?;
    ensure!(statuses.len() == 1, "{new}");
    ensure!(statuses[0]["model"] == "ba86dc56-635f-4141-aef6-00227b1b9af6");
    ensure!(statuses[0]["status"] == "REVOKED" && statuses[0]["decides"] == true);
    let rolled_back = row(&late, "blob-no4")?;
    ensure!(rolled_back["reason"] == "number_rolled_back" && rolled_back["last"] == 122);

    let overdue = at(&["mds", "--at", "2025-03-01"])?;
    ensure!(row(&overdue, "blob-no122")?["overdue"] == true);
    ensure!(row(&overdue, "blob-no122")?["verdict"] == "ok");
    let refused = at(&["mds", "--at", "2025-03-01", "--refuse-overdue"])?;
    ensure!(row(&refused, "blob-no122")?["reason"] == "next_update_past");
    let expired = at(&["mds", "--at", "2025-08-01"])?;
    ensure!(row(&expired, "blob-no122")?["reason"] == "certificate_expired");
    Ok(())
}

#[test]
fn a_root_in_the_folder_counts_only_if_it_is_the_services() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = rcgen::KeyPair::generate()?;
    let root = rcgen::CertificateParams::new(Vec::new())?.self_signed(&key)?;
    std::fs::write(folder.path().join("root.pem"), root.pem())?;
    std::fs::write(folder.path().join("blob.jwt"), "a.b.c")?;
    let run = |arguments: &[&str]| -> Result<Option<i32>> {
        let status = Command::new(env!("CARGO_BIN_EXE_redoubt-conformance"))
            .arg("mds")
            .arg(folder.path())
            .args(arguments)
            .arg("--json")
            .arg(folder.path().join("out.json"))
            .status()?;
        Ok(status.code())
    };
    ensure!(run(&[])? == Some(2), "a stranger's root was taken");
    let named = folder.path().join("root.pem");
    ensure!(run(&["--root", &named.to_string_lossy()])? == Some(0));
    let out = std::fs::read(folder.path().join("out.json"))?;
    let rows: Vec<Value> = serde_json::from_slice(&out)?;
    ensure!(
        rows.len() == 1 && rows[0]["reason"] == "jws_malformed",
        "{rows:?}"
    );
    Ok(())
}

#[test]
fn a_folder_without_documents_is_an_error() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let status = Command::new(env!("CARGO_BIN_EXE_redoubt-conformance"))
        .arg("nitro")
        .arg(empty.path())
        .arg("--json")
        .arg(empty.path().join("out.json"))
        .status()?;
    ensure!(status.code() == Some(2), "{status}");
    Ok(())
}
