//! SIGKILL at the worst moment: nothing acknowledged is lost, nothing spent comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redoubt_bank::load::{self, Kind, Plan};
use redoubt_bank::receipts::{Journal, check_all};
use redoubt_bank::{BankError, random_name};
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::process::signal;
use redoubt_e2e::{Appliance, Customer, Needs, Options, alone};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn every_acknowledged_receipt_survives_sigkill_in_the_middle_of_load() {
    let name = "every_acknowledged_receipt_survives_sigkill_in_the_middle_of_load";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            for (round, kind) in [Kind::Assert, Kind::Approve].into_iter().enumerate() {
                let kept = load_and_kill(appliance, kind, round).await?;
                appliance.bring_up()?;
                let bank = appliance.bank(&appliance.banks.a)?;
                let checked = check_all(&bank, &appliance.auditor(), &kept).await?;
                println!("{kind:?}: {} of {} receipts", checked.good, checked.checked);
                ensure!(
                    checked.checked >= 20,
                    "too little load to tell: {checked:?}"
                );
                ensure!(checked.bad.is_empty(), "{:?}", checked.bad);
            }
            Ok(())
        },
    );
}

async fn load_and_kill(appliance: &mut Appliance, kind: Kind, round: usize) -> Result<Vec<Value>> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let plan = Plan {
        kind,
        clients: 8,
        duration: Duration::from_secs(4),
        media: None,
        receipts: appliance.dir().join(format!("load-{round}.jsonl")),
    };
    let (path, running) = (plan.receipts.clone(), plan);
    let load = tokio::spawn(async move { load::run(&bank, &running).await });
    wait_for(PATIENCE, "forty acknowledged receipts", || {
        let kept = Journal::read(&path).ok()?;
        (kept.len() >= 40).then_some(())
    })?;
    appliance.kill_all()?;
    let measured = load.await??;
    ensure!(measured.errors.contains_key("transport"), "{measured:?}");
    Journal::read(&path)
}

#[test]
fn lockouts_spent_attempts_and_templates_survive_sigkill() {
    let name = "lockouts_spent_attempts_and_templates_survive_sigkill";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let (locked, spent) = (random_name("customer"), random_name("customer"));
            for user in [&locked, &spent] {
                bank.enroll(user, &media.person).await?;
            }
            for _ in 0..3 {
                bank.verify(&locked, &media.other).await?;
            }
            reserve_two_attempts_and_kill(appliance, &spent, &media.other).await?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            expect_code(bank.verify(&locked, &media.person).await, "account_locked")?;
            // Two of three attempts were reserved when the kill came: one is left.
            let mut compared = 0;
            for _ in 0..4 {
                match bank.verify(&spent, &media.other).await {
                    Ok(verification) => {
                        compared += 1;
                        ensure!(verification.result == "rejected");
                    }
                    Err(error) => ensure!(
                        matches!(
                            error.code(),
                            Some("account_locked" | "attempts_in_progress")
                        ),
                        "{error}"
                    ),
                }
            }
            ensure!(
                compared <= 1,
                "{compared} comparisons: reserved attempts came back"
            );
            Ok(())
        },
    );
}

/// The worker is stopped, so that samples wait there with their attempts reserved.
async fn reserve_two_attempts_and_kill(
    appliance: &mut Appliance,
    user: &str,
    sample: &[u8],
) -> Result<()> {
    let bank = appliance.bank(&appliance.banks.a)?;
    signal(appliance.worker_pid()?, libc::SIGSTOP)?;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (bank, user, sample) = (bank.clone(), user.to_owned(), sample.to_vec());
            tokio::spawn(async move { bank.verify(&user, &sample).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ensure!(
        waiting.iter().all(|task| !task.is_finished()),
        "a stopped worker answered"
    );
    appliance.kill_all()?;
    for task in waiting {
        ensure!(
            task.await?.is_err(),
            "an attempt was answered by a killed appliance"
        );
    }
    Ok(())
}

#[test]
fn a_worker_killed_mid_job_is_a_503_and_a_new_one_serves() {
    let name = "a_worker_killed_mid_job_is_a_503_and_a_new_one_serves";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            for _ in 0..2 {
                let worker = appliance.worker_pid()?;
                signal(worker, libc::SIGSTOP)?;
                let (waiting_bank, waiting_user) = (bank.clone(), user.clone());
                let sample = media.person_again.clone();
                let waiting =
                    tokio::spawn(async move { waiting_bank.verify(&waiting_user, &sample).await });
                tokio::time::sleep(Duration::from_millis(700)).await;
                signal(worker, libc::SIGKILL)?;
                let outcome = waiting.await?;
                let status = outcome.as_ref().err().and_then(BankError::status);
                ensure!(status == Some(503), "{outcome:?}");
                expect_code(outcome, "worker_unavailable")?;
                let verdict = until_verified(&bank, &user, &media.person_again).await?;
                ensure!(verdict == "verified");
                ensure!(appliance.worker_pid()? != worker, "no new worker");
            }
            Ok(())
        },
    );
}

async fn until_verified(bank: &redoubt_bank::Bank, user: &str, sample: &[u8]) -> Result<String> {
    let mut last = String::new();
    for _ in 0..60 {
        match bank.verify(user, sample).await {
            Ok(verification) => return Ok(verification.result),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    anyhow::bail!("no worker came back: {last}")
}

#[test]
fn the_enclave_goes_on_after_the_host_was_killed() {
    let name = "the_enclave_goes_on_after_the_host_was_killed";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let before = customer.login(&bank).await?;
            for _ in 0..2 {
                appliance.kill_host();
                appliance.start()?;
                let bank = appliance.bank(&appliance.banks.a)?;
                let mut last = None;
                for _ in 0..60 {
                    match customer.login(&bank).await {
                        Ok(_) => {
                            last = None;
                            break;
                        }
                        Err(error) => last = Some(error.to_string()),
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                ensure!(last.is_none(), "{last:?}");
                let kept = [before.receipt.clone()];
                let checked = check_all(&bank, &appliance.auditor(), &kept).await?;
                ensure!(checked.good == 1, "{checked:?}");
            }
            Ok(())
        },
    );
}

#[test]
fn nothing_is_served_before_the_officers_unseal() {
    let name = "nothing_is_served_before_the_officers_unseal";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            let ca = appliance.ca()?;
            appliance.kill_all()?;
            appliance.start()?;
            appliance.wait_for_phase("awaiting_unseal")?;
            // Before unsealing there is only a self-signed certificate: the pinned CA refuses it.
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(
                bank.get("/healthz").await.is_err(),
                "the pinned CA accepts a sealed enclave"
            );
            appliance.unseal()?;
            appliance.wait_for_phase("serving")?;
            ensure!(appliance.ca()? == ca);
            appliance.trust()?;
            ensure!(appliance.ca()? == ca, "the CA changed over a restart");
            bank.get("/healthz").await?;
            Ok(())
        },
    );
}

#[test]
fn both_parts_end_cleanly_on_sigterm() {
    let name = "both_parts_end_cleanly_on_sigterm";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            let worker = appliance.worker_pid().context("worker")?;
            ensure!(appliance.end_host()?.success());
            ensure!(appliance.end_enclave()?.success());
            wait_for(PATIENCE, "the worker's end", || {
                signal(worker, 0).is_err().then_some(())
            })?;
            appliance.bring_up()
        },
    );
}

#[test]
fn a_damaged_store_is_refused() {
    let name = "a_damaged_store_is_refused";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            customer.login(&bank).await?;
            appliance.kill_all()?;
            damage_every_segment(appliance)?;
            appliance.start()?;
            let outcome = appliance
                .unseal()
                .and_then(|()| appliance.wait_for_phase("serving"));
            ensure!(outcome.is_err(), "a damaged ledger was served");
            Ok(())
        },
    );
}

/// Flips one bit in the middle of every large file of the store.
fn damage_every_segment(appliance: &Appliance) -> Result<()> {
    let mut damaged = 0;
    let mut folders = vec![appliance.store_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = std::fs::read(&path)?;
            if bytes.len() > 1024 {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes)?;
                damaged += 1;
            }
        }
    }
    ensure!(damaged > 0, "the store has no file to damage");
    Ok(())
}
