//! Workers are renewed while they serve, and doubted: with the real programs.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use redoubt_bank::load::{self, Kind, Plan};
use redoubt_bank::random_name;
use redoubt_bank::speech::{BASS, wav};
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::process::signal;
use redoubt_e2e::{Appliance, Needs, Options, alone};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the host has heard that a counter of the enclave is so high.
fn counts(appliance: &Appliance, name: &str, least: u64) -> Result<u64> {
    wait_for(PATIENCE, name, || {
        let count = appliance.enclave_counter(name).ok()?;
        (count >= least).then_some(count)
    })
}

#[test]
fn workers_are_renewed_under_load_and_no_request_is_refused() {
    let name = "workers_are_renewed_under_load_and_no_request_is_refused";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            appliance.set_policy(2, |policy| policy["worker_jobs_max"] = json!(20))?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let plan = Plan {
                kind: Kind::Verify,
                clients: 3,
                duration: Duration::from_secs(20),
                media: appliance.environment().media_dir().cloned(),
                receipts: appliance.dir().join("load.jsonl"),
            };
            let running = tokio::spawn(async move { load::run(&bank, &plan).await });
            let (mut seen, mut most) = (BTreeSet::new(), 0);
            while !running.is_finished() {
                let now = appliance.workers()?;
                most = most.max(now.len());
                seen.extend(now);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let measured = running.await??;
            ensure!(measured.errors.is_empty(), "{measured:?}");
            let least = measured.ok as u64 / 60;
            let renewals = counts(appliance, "worker_renewals", least.max(2))?;
            println!(
                "{} verifications, {renewals} renewals, {} processes, {most} at once",
                measured.ok,
                seen.len()
            );
            ensure!(seen.len() as u64 > renewals, "{seen:?}");
            ensure!((2..=3).contains(&most), "{most} workers at once");
            ensure!(appliance.enclave_counter("worker_renewals_late")? == 0);
            wait_for(PATIENCE, "one worker left", || {
                (appliance.workers().ok()?.len() == 1).then_some(())
            })
        },
    );
}

#[test]
fn two_workers_agree_and_one_that_dies_costs_what_it_had() {
    let name = "two_workers_agree_and_one_that_dies_costs_what_it_had";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            appliance.set_policy(2, |policy| policy["recompute_one_in"] = json!(1))?;
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            ensure!(bank.verify(&user, &media.person_again).await?.result == "verified");
            ensure!(bank.verify(&user, &media.other).await?.result == "rejected");
            expect_code(bank.verify(&user, b"no picture").await, "not_an_image")?;
            let speaker = random_name("customer");
            let said: Vec<_> = (1..=3)
                .map(|seed| wav(&BASS.says(seed), 16_000, 1))
                .collect();
            let said: Vec<&[u8]> = said.iter().map(Vec::as_slice).collect();
            bank.enroll_voice(&speaker, &said).await?;
            // Each was measured twice: three faces, a refusal, three recordings.
            counts(appliance, "worker_recomputed", 7)?;
            ensure!(appliance.enclave_counter("worker_disagreed")? == 0);
            let both = appliance.workers()?;
            ensure!(both.len() == 2, "{both:?}");
            signal(both[0], libc::SIGKILL)?;
            // Nobody is measured by the other alone: they wait for the new one.
            let verified = bank.verify(&user, &media.person_again).await?;
            ensure!(verified.result == "verified");
            ensure!(appliance.workers()?.len() == 2);
            counts(appliance, "worker_recomputed", 8)?;
            Ok(())
        },
    );
}

#[test]
fn a_worker_that_answers_otherwise_than_another_is_believed_in_nothing() {
    let name = "a_worker_that_answers_otherwise_than_another_is_believed_in_nothing";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let user = random_name("customer");
            let bank = appliance.bank(&appliance.banks.a)?;
            bank.enroll(&user, &media.person).await?;
            // Every other worker embeds faces with their mirror images as well: the very
            // same program, with answers as well-formed as the others'.
            let (lying, lie) = (
                appliance.dir().join("worker.sh"),
                appliance.dir().join("lie"),
            );
            write_liar(&appliance.program("redoubt-worker"), &lying, &lie)?;
            appliance.options.worker = Some(lying);
            appliance.set_policy(2, |policy| policy["recompute_one_in"] = json!(1))?;
            let bank = appliance.bank(&appliance.banks.a)?;
            for _ in 0..4 {
                let answer = bank.verify(&user, &media.person_again).await;
                expect_code(answer, "worker_unavailable")?;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            counts(appliance, "worker_disagreed", 1)?;
            let events = bank
                .get(&format!("/api/v1/audit/events?user_id={user}"))
                .await?;
            let text = String::from_utf8_lossy(&events.body).into_owned();
            ensure!(text.contains("worker_disagreed"), "{text}");
            std::fs::remove_file(&lie)?;
            for worker in appliance.workers()? {
                let _ = signal(worker, libc::SIGKILL);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            // Four attempts came back: three failures would have locked.
            let mut verdict = Value::Null;
            for _ in 0..20 {
                match bank.verify(&user, &media.person_again).await {
                    Ok(verified) => {
                        verdict = verified.result.into();
                        break;
                    }
                    Err(error) if error.status() == Some(503) => {}
                    Err(error) => return Err(error.into()),
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            ensure!(verdict == "verified", "{verdict}");
            Ok(())
        },
    );
}

/// A script that starts the worker, every other time another one, while `lie` exists.
fn write_liar(program: &Path, script: &Path, lie: &Path) -> Result<()> {
    let (program, at) = (program.display(), lie.display());
    let text = format!(
        "#!/bin/sh\n\
         if [ -e {at} ]; then\n\
           read n < {at}; echo $((1 - n)) > {at}\n\
           [ $n = 1 ] && set -- \"$@\" --mirrored\n\
         fi\n\
         exec {program} \"$@\"\n"
    );
    std::fs::write(lie, "0\n")?;
    std::fs::write(script, text)?;
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
