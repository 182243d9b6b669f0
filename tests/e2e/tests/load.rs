//! The load generator, as a program, over both HTTP versions.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use redoubt_e2e::process::{run, run_ok};
use redoubt_e2e::{Appliance, Needs, Shared, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

/// `dev.json` as a starter of an appliance writes it.
fn dev_json(appliance: &Appliance) -> Result<PathBuf> {
    let identity = |tenant| {
        let files = appliance.identity(tenant);
        json!({"cert": files.cert, "key": files.key})
    };
    let path = appliance.dir().join("dev.json");
    let dev = json!({
        "url": appliance.url(),
        "ca": appliance.trust_dir().join("ca.pem"),
        "policy": appliance.policy(),
        "bank": identity(&appliance.banks.a),
        "bank2": identity(&appliance.banks.b),
    });
    std::fs::write(&path, dev.to_string())?;
    Ok(path)
}

#[test]
fn every_kind_of_load_keeps_receipts_that_verify() {
    let name = "every_kind_of_load_keeps_receipts_that_verify";
    shared(&APPLIANCE, name, Needs::Photographs, async |appliance| {
        let dev = dev_json(appliance)?;
        for (kind, http2) in [
            ("assert", false),
            ("assert", true),
            ("approve", true),
            ("verify", false),
        ] {
            let out = appliance.dir().join(format!("{kind}-{http2}.json"));
            let mut load = Command::new(appliance.program("redoubt-bank"));
            load.args(["load", "--kind", kind, "--clients", "4", "--seconds", "1"]);
            load.arg("--dev").arg(&dev).arg("--json").arg(&out);
            if let Some(media) = appliance.environment().media_dir() {
                load.arg("--media").arg(media);
            }
            if http2 {
                load.arg("--http2");
            }
            run_ok(&mut load)?;
            let measured: Value = serde_json::from_slice(&std::fs::read(&out)?)?;
            println!("{measured}");
            ensure!(measured["ok"].as_u64() > Some(0), "{measured}");
            ensure!(measured["errors"] == json!({}), "{measured}");
            let mut check = Command::new(appliance.program("redoubt-bank"));
            check.arg("receipts").arg("--dev").arg(&dev);
            check
                .arg("--file")
                .arg(out.with_extension("receipts.jsonl"));
            check
                .arg("--audit-bin")
                .arg(appliance.program("redoubt-audit"));
            // Seconds of load make more receipts than this test has time for.
            let few = first_lines(&out.with_extension("receipts.jsonl"), 40)?;
            ensure!(few > 0);
            run_ok(&mut check)?;
        }
        Ok(())
    });
}

#[test]
fn a_receipt_the_appliance_never_gave_fails_the_check() {
    let name = "a_receipt_the_appliance_never_gave_fails_the_check";
    shared(&APPLIANCE, name, Needs::Programs, async |appliance| {
        let dev = dev_json(appliance)?;
        let file = appliance.dir().join("invented.jsonl");
        let claims = json!({"receipt_id": "00112233445566778899aabbccddeeff"}).to_string();
        std::fs::write(&file, format!("{}\n", json!({"claims": claims})))?;
        let mut check = Command::new(appliance.program("redoubt-bank"));
        check
            .arg("receipts")
            .arg("--dev")
            .arg(&dev)
            .arg("--file")
            .arg(&file);
        check
            .arg("--audit-bin")
            .arg(appliance.program("redoubt-audit"));
        ensure!(run(&mut check)?.status.code() == Some(1));
        Ok(())
    });
}

/// Keeps the first lines of a file; answers how many there are.
fn first_lines(path: &std::path::Path, count: usize) -> Result<usize> {
    let text = std::fs::read_to_string(path)?;
    let kept: Vec<&str> = text.lines().take(count).collect();
    std::fs::write(path, kept.join("\n") + "\n")?;
    Ok(kept.len())
}
