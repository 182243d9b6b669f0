//! A tenant's ledger in the hands of its auditors: found, exported, checked without keys.

use anyhow::{Context, Result, ensure};
use redoubt_bank::receipts;
use redoubt_e2e::customer::payment;
use redoubt_e2e::{Appliance, Customer, Needs, Shared, shared};
use serde_json::Value;

static APPLIANCE: Shared = Shared::new();

/// `redoubt-audit ledger verify PATH`, with the receipt as a head to be met.
fn verified(appliance: &Appliance, path: &std::path::Path, receipt: &Value) -> Result<Value> {
    let kept = appliance.dir().join("kept-receipt.json");
    std::fs::write(&kept, receipt.to_string())?;
    let mut command = std::process::Command::new(appliance.program("redoubt-audit"));
    command.args(["ledger", "verify"]).arg(path);
    command.arg("--trust").arg(appliance.trust_dir());
    command.arg("--checkpoint").arg(kept).arg("--json");
    let output = redoubt_e2e::process::run(&mut command)?;
    serde_json::from_slice(&output.stdout).context("the report is no JSON")
}

#[test]
fn a_ledger_is_checked_from_the_store_and_from_an_export_without_keys() {
    let name = "a_ledger_is_checked_from_the_store_and_from_an_export_without_keys";
    shared(&APPLIANCE, name, Needs::Programs, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let mut last = Value::Null;
        for _ in 0..3 {
            let approved = customer.approve(&bank, &payment("250.00")).await?;
            last = bank.receipt(&receipts::id(&approved.receipt)?).await?;
        }
        ensure!(last["anchor"]["checkpoint"].is_string(), "{last}");
        ensure!(appliance.auditor().verify_value(&last)?.accepted());

        // The host's own folder, while it is being written to.
        let report = verified(appliance, &appliance.store_dir(), &last)?;
        ensure!(
            report["ok"] == true && report["signature"] == "verified",
            "{report}"
        );
        ensure!(
            report["ledgers"].as_array().map_or(0, Vec::len) >= 2,
            "{report}"
        );

        // An export in two requests, one behind the other in a file.
        let first = bank.get("/api/v1/audit/export?limit=2").await?;
        let rest = bank.get("/api/v1/audit/export?from=2&limit=256").await?;
        let text = [&first.body[..], &rest.body[..]].concat();
        let export = appliance.dir().join("export.jsonl");
        std::fs::write(&export, &text)?;
        let report = verified(appliance, &export, &last)?;
        ensure!(
            report["ok"] == true && report["tenant"] == bank_id(appliance),
            "{report}"
        );
        ensure!(report["claims"].as_u64() >= Some(4), "{report}");

        // One digit of one claim.
        let text = String::from_utf8(text)?.replacen("250.00", "950.00", 1);
        std::fs::write(&export, text)?;
        let report = verified(appliance, &export, &last)?;
        ensure!(report["code"] == "other_events", "{report}");
        Ok(())
    });
}

fn bank_id(appliance: &Appliance) -> &str {
    appliance.banks.a.id
}

#[test]
fn a_search_finds_a_customers_claims_and_nobody_elses() {
    let name = "a_search_finds_a_customers_claims_and_nobody_elses";
    shared(&APPLIANCE, name, Needs::Programs, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        Customer::registered(&bank, &appliance.banks.a).await?;
        let approved = customer.approve(&bank, &payment("250.00")).await?;
        let search =
            async |bank: &redoubt_bank::client::Bank, filter: &str| -> Result<Vec<Value>> {
                let (mut found, mut after) = (vec![], String::new());
                loop {
                    let path = format!(
                        "/api/v1/audit/events?user_id={}&limit=1{filter}{after}",
                        customer.id
                    );
                    let page: Value = bank.get(&path).await?.read()?;
                    found.extend(page["events"].as_array().context("events")?.clone());
                    match page["next"].as_str() {
                        Some(next) => after = format!("&after={next}"),
                        None => return Ok(found),
                    }
                }
            };
        let all = search(&bank, "").await?;
        let kinds: Vec<&Value> = all.iter().map(|event| &event["type"]).collect();
        ensure!(
            kinds == ["passkey_registration", "approval_request", "approval"],
            "{kinds:?}"
        );
        let approvals = search(&bank, "&type=approval").await?;
        let id = receipts::id(&approved.receipt)?;
        ensure!(
            approvals.len() == 1 && approvals[0]["receipt_id"] == id,
            "{approvals:?}"
        );
        ensure!(search(&bank, "&to=2001-01-01T00:00:00Z").await?.is_empty());
        let other = appliance.bank(&appliance.banks.b)?;
        ensure!(
            search(&other, "").await?.is_empty(),
            "another bank found them"
        );
        let named = format!("/api/v1/audit/events?tenant={}", bank_id(appliance));
        ensure!(
            other.get(&named).await?.status == 403,
            "another bank was let in"
        );
        Ok(())
    });
}
