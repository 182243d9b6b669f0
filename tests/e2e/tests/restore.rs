//! Break-glass: the end of the ledger is lost, and officers order to go on.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::folder::{copy, replace};
use redoubt_e2e::process::run_ok;
use redoubt_e2e::{Appliance, Customer, Needs, Options, alone};
use serde_json::Value;

#[test]
fn after_a_loss_nothing_goes_on_without_an_order_and_everything_counts_as_spent_with_it() {
    let name =
        "after_a_loss_nothing_goes_on_without_an_order_and_everything_counts_as_spent_with_it";
    let options = Options {
        without_worker: true,
        ..Options::default()
    };
    alone(name, Needs::Programs, options, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let pending = bank.approve(&customer.id, &payment("10.00")).await?;
        appliance.kill_all()?;
        let disk = appliance.dir().join("disk");
        copy(&appliance.store_dir(), &disk)?;
        appliance.bring_up()?;
        for _ in 0..3 {
            customer.login(&appliance.bank(&appliance.banks.a)?).await?;
        }
        appliance.kill_all()?;
        appliance.bring_up()?;

        // The disk dies; the only copy is older than what the officer remembers.
        appliance.kill_all()?;
        replace(&disk, &appliance.store_dir())?;
        appliance.start()?;
        ensure!(appliance.unseal().is_err(), "it must not go on by itself");
        appliance.wait_for_phase("halted")?;

        appliance.kill_all()?;
        let unordered = appliance.dir().join("unordered.json");
        std::fs::copy(appliance.boot_dir().join("config.json"), &unordered)?;
        order(appliance, 0)?;
        std::fs::remove_file(appliance.dir().join("officer-memory.json"))?;
        appliance.bring_up()?;
        check(appliance, &mut customer, &pending.approval_id).await?;
        appliance.kill_all()?;
        appliance.bring_up()?;
        check(appliance, &mut customer, &pending.approval_id).await?;

        // An order that names another head than the disk has opens nothing.
        appliance.kill_all()?;
        replace(&disk, &appliance.store_dir())?;
        std::fs::copy(&unordered, appliance.boot_dir().join("config.json"))?;
        order(appliance, 1)?;
        std::fs::remove_file(appliance.dir().join("officer-memory.json"))?;
        appliance.start()?;
        ensure!(appliance.unseal().is_err(), "a wrong order was carried out");
        let logs = appliance.logs()?;
        ensure!(logs.contains("the restore order goes on from"), "{logs}");
        Ok(())
    });
}

async fn check(appliance: &Appliance, customer: &mut Customer, pending: &str) -> Result<()> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let login = customer.login(&bank).await?;
    let claims = login.receipt["claims"].as_str().context("no claims")?;
    let claims: Value = serde_json::from_str(claims)?;
    ensure!(claims["restore_count"] == 1, "{claims}");
    let closed = bank.approval(pending).await?;
    ensure!(closed["status"] == "expired", "{closed}");
    let audit = bank.get("/api/v1/audit/events?type=restore").await?;
    let audit: Value = audit.read()?;
    ensure!(
        audit["events"]
            .as_array()
            .is_some_and(|events| !events.is_empty()),
        "{audit}"
    );
    expect_code(
        bank.receipt("00000000000000000000000000000000").await,
        "unknown_receipt",
    )
}

/// The ceremony: what the disk has, what officers remember, one signature.
fn order(appliance: &Appliance, off_by: u64) -> Result<()> {
    let verified = run_ok(
        Command::new(appliance.program("redoubt-audit"))
            .args(["ledger", "verify", "--json"])
            .arg(appliance.store_dir()),
    )?;
    let verified: Value = serde_json::from_slice(&verified.stdout)?;
    let config = appliance.boot_dir().join("config.json");
    let plain = std::fs::read(appliance.dir().join("config.plain.json"))?;
    let plain: Value = serde_json::from_slice(&plain)?;
    let ledgers = verified["ledgers"].as_array().context("no ledgers")?;
    let found = ledgers
        .iter()
        .find(|found| found["ledger"] == plain["appliance_ledger"]);
    let found = found.with_context(|| format!("{verified}"))?;
    let size = found["size"].as_u64().context("no size")? - off_by;
    let root = found["root"].as_str().context("no root")?;
    let plain = appliance.dir().join("restore.plain.json");
    run_ok(
        Command::new(appliance.program("redoubt"))
            .args(["config", "restore"])
            .arg("--genesis")
            .arg(appliance.genesis_dir().join("genesis.json"))
            .arg("--config")
            .arg(&config)
            .args(["--found-size", &size.to_string(), "--found-root", root])
            .args(["--lost-size", "1000", "--lost-root", root])
            .arg("--out")
            .arg(&plain),
    )?;
    appliance.sign(&plain)
}
