//! Erasure that is real, epochs that end, officers who change.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_bank::Bank;
use redoubt_e2e::Appliance;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::folder::{copy, replace};
use redoubt_e2e::guarded::guarded;
use redoubt_e2e::manifests::shares;
use redoubt_e2e::peers::Duty;
use redoubt_e2e::process::run_ok;
use serde_json::{Value, json};

async fn ask_for_rotation(officer: Bank) -> Result<()> {
    let asked = officer.post("/api/v1/epochs/rotate", &json!({})).await?;
    asked.read::<Value>()?;
    Ok(())
}

async fn erase(bank: &Bank, path: &str) -> Result<Value> {
    Ok(bank.delete(path).await?.read()?)
}

async fn erasure(bank: &Bank, erased: &Value) -> Result<Value> {
    let id = erased["erasure_id"].as_str().context("no erasure_id")?;
    Ok(bank.get(&format!("/api/v1/erasures/{id}")).await?.read()?)
}

#[test]
fn after_erasure_and_rotation_an_old_disk_with_old_shares_opens_nothing() {
    let name = "after_erasure_and_rotation_an_old_disk_with_old_shares_opens_nothing";
    guarded(name, 3, &[(Duty::Custodian, 2)], async |guarded| {
        let mut gone = guarded.customer().await?;
        let mut stays = guarded.customer().await?;

        // What a thief copies before: the disk, and, as a control, what custodians keep.
        guarded.stop()?;
        let disk = guarded.beside("disk");
        copy(&guarded.appliance.store_dir(), &disk)?;
        let custodians = guarded.peers.copy_to(&guarded.beside("custodians"))?;
        guarded.start()?;
        guarded.appliance.bring_up()?;

        let bank = guarded.bank()?;
        let erased = erase(&bank, &format!("/api/v1/subjects/{}", gone.id)).await?;
        ensure!(erased["status"] == "pending-epoch", "{erased}");
        ensure!(
            erased["depends_on"].as_array().map(Vec::len) == Some(3),
            "{erased}"
        );
        expect_code(gone.login(&bank).await, "authentication_failed")?;
        run_ok(&mut guarded.rotate(&[])?)?;
        ensure!(guarded.epoch().await? == 1);
        let dark = erasure(&bank, &erased).await?;
        ensure!(dark["status"] == "dark", "{dark}");
        ensure!(
            dark["statements"].as_array().map(Vec::len) == Some(3),
            "{dark}"
        );
        stays.login(&bank).await?;

        guarded.stop()?;
        let new_disk = guarded.beside("new-disk");
        copy(&guarded.appliance.store_dir(), &new_disk)?;
        let emptied = guarded.peers.copy_to(&guarded.beside("emptied"))?;

        // The old disk, the officers' same shares, the custodians of now: nothing opens.
        replace(&disk, &guarded.appliance.store_dir())?;
        forget_heads(&guarded.appliance)?;
        guarded.start()?;
        let unsealed = guarded.appliance.unseal();
        ensure!(unsealed.is_err(), "the old disk opened");
        guarded.appliance.wait_for_phase("halted")?;
        let logs = guarded.appliance.logs()?;
        ensure!(logs.contains("retired and never come back"), "{logs}");

        // The control: with what custodians kept before, everything opens.
        guarded.stop()?;
        guarded.peers.put_back(&custodians)?;
        replace(&disk, &guarded.appliance.store_dir())?;
        forget_heads(&guarded.appliance)?;
        guarded.start()?;
        guarded.appliance.bring_up()?;
        gone.login(&guarded.bank()?).await?;

        // And the disk of now with the custodians of now goes on.
        guarded.stop()?;
        guarded.peers.put_back(&emptied)?;
        replace(&new_disk, &guarded.appliance.store_dir())?;
        forget_heads(&guarded.appliance)?;
        guarded.start()?;
        guarded.appliance.bring_up()?;
        stays.login(&guarded.bank()?).await?;
        expect_code(gone.login(&guarded.bank()?).await, "authentication_failed")?;
        Ok(())
    });
}

/// The thief has no officer's memory to hold against the disk.
fn forget_heads(appliance: &Appliance) -> Result<()> {
    let memory = appliance.dir().join("officer-memory.json");
    if memory.exists() {
        std::fs::remove_file(memory)?;
    }
    Ok(())
}

#[test]
fn a_silent_custodian_is_named_until_it_deletes_too() {
    let name = "a_silent_custodian_is_named_until_it_deletes_too";
    guarded(name, 2, &[(Duty::Custodian, 1)], async |guarded| {
        let gone = guarded.customer().await?;
        let bank = guarded.bank()?;
        let erased = erase(&bank, &format!("/api/v1/subjects/{}", gone.id)).await?;
        // A new epoch needs every custodian to take its share.
        guarded.peers.kill(1);
        let mut refused = guarded.rotate(&[])?;
        let output = refused.output()?;
        ensure!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(text.contains("peer-2"), "{text}");
        ensure!(erasure(&bank, &erased).await?["status"] == "pending-epoch");
        ensure!(guarded.epoch().await? == 0);
        // Its port is another one now, so the host starts anew.
        guarded.stop()?;
        guarded.start()?;
        guarded.appliance.bring_up()?;
        run_ok(&mut guarded.rotate(&[])?)?;
        let bank = guarded.bank()?;
        ensure!(erasure(&bank, &erased).await?["status"] == "dark");
        Ok(())
    });
}

#[test]
fn a_rotation_killed_anywhere_can_be_run_again() {
    let name = "a_rotation_killed_anywhere_can_be_run_again";
    guarded(name, 2, &[(Duty::Custodian, 2)], async |guarded| {
        let mut customer = guarded.customer().await?;
        // An undisturbed one tells how long it takes.
        let (officer, began) = (guarded.officer()?, Instant::now());
        ask_for_rotation(officer.clone()).await?;
        while !guarded.rotation(&officer).await?.is_null() || guarded.epoch().await? == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let whole = began.elapsed();
        let (mut epoch, mut under_way) = (1, 0);
        for part in 1..=5 {
            let officer = guarded.officer()?;
            let asked = tokio::spawn(ask_for_rotation(officer.clone()));
            tokio::time::sleep(whole * part / 6).await;
            under_way += u32::from(!guarded.rotation(&officer).await?.is_null());
            guarded.appliance.kill_enclave();
            // Whatever the officer was told: what counts is on disk.
            let _ = asked.await?;
            guarded.appliance.bring_up()?;
            let now = guarded.epoch().await?;
            ensure!(now == epoch || now == epoch + 1, "{now} after {epoch}");
            epoch = now;
            customer.login(&guarded.bank()?).await?;
        }
        println!("{under_way} of 5 kills in a rotation of {whole:?}");
        ensure!(under_way > 0, "no kill came while a rotation was under way");
        run_ok(&mut guarded.rotate(&[])?)?;
        ensure!(guarded.epoch().await? == epoch + 1);
        customer.login(&guarded.bank()?).await?;
        Ok(())
    });
}

#[test]
fn officers_change_while_serving_and_old_shares_open_nothing_any_more() {
    let name = "officers_change_while_serving_and_old_shares_open_nothing_any_more";
    guarded(name, 1, &[(Duty::Witness, 1)], async |guarded| {
        let mut customer = guarded.customer().await?;
        let next = guarded.successor("next", &["--officers", "2", "--threshold", "2"])?;
        run_ok(&mut guarded.change_to(&next)?)?;
        ensure!(guarded.epoch().await? == 1);
        customer.login(&guarded.bank()?).await?;

        guarded.stop()?;
        guarded.start()?;
        guarded.appliance.wait_for_phase("awaiting_unseal")?;
        ensure!(
            guarded.appliance.unseal().is_err(),
            "the old share must not fit"
        );
        let policy = next.join("policy.json");
        for share in shares(&next)? {
            run_ok(
                Command::new(guarded.appliance.program("redoubt"))
                    .arg("unseal")
                    .arg(guarded.appliance.url())
                    .arg("--policy")
                    .arg(&policy)
                    .arg("--share")
                    .arg(share),
            )?;
        }
        guarded.appliance.wait_for_phase("serving")?;
        let out = guarded.appliance.trust_dir();
        let url = guarded.appliance.url();
        run_ok(&mut guarded.appliance.trust_command(&url, &policy, &out))?;
        customer.login(&guarded.bank()?).await?;
        Ok(())
    });
}
