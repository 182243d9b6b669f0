//! Templates under their transforms: renewed without their customers, over kills too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redoubt_bank::speech::{BASS, CHILD, wav};
use redoubt_bank::{Bank, BankError, random_name, receipts};
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::{Appliance, Needs, Options, Shared, alone, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();
const PATIENCE: Duration = Duration::from_secs(30);

async fn renew(bank: &Bank, user: &str, modality: &str) -> Result<Value, BankError> {
    let path = format!("/api/v1/enroll/{user}/{modality}/renew");
    bank.post(&path, &json!({})).await?.read()
}

/// The numbers of the transforms that a customer's templates are under.
async fn numbers(bank: &Bank, user: &str) -> Result<Vec<(String, u64)>> {
    let stats: Value = bank.get(&format!("/api/v1/stats/{user}")).await?.read()?;
    let enrolled = stats["enrolled"].as_array().context("enrolled")?;
    let number = |one: &Value| {
        let modality = one["modality"].as_str().context("modality")?;
        let number = one["transform"].as_u64().context("transform")?;
        Ok((modality.to_owned(), number))
    };
    enrolled.iter().map(number).collect()
}

/// The renewals of a customer that the ledger tells of, oldest first.
async fn told(bank: &Bank, user: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/audit/events?type=template_renewal&user_id={user}");
    let page: Value = bank.get(&path).await?.read()?;
    let events = page["events"].as_array().context("events")?;
    Ok(events.iter().map(|event| event["claims"].clone()).collect())
}

fn number(renewed: &Value) -> u64 {
    renewed["transform"].as_u64().unwrap_or_default()
}

#[test]
fn renewed_faces_and_voices_verify_as_before_and_each_renewal_is_proven() {
    let test = "renewed_faces_and_voices_verify_as_before_and_each_renewal_is_proven";
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let media = appliance.environment().media()?;
        let (bank, other) = (
            appliance.bank(&appliance.banks.a)?,
            appliance.bank(&appliance.banks.b)?,
        );
        let user = random_name("customer");
        expect_code(renew(&bank, &user, "facial").await, "not_enrolled")?;
        bank.enroll(&user, &media.person).await?;
        expect_code(renew(&bank, &user, "voice").await, "not_enrolled")?;
        expect_code(
            renew(&bank, &user, "multimodal").await,
            "unsupported_modality",
        )?;
        expect_code(renew(&other, &user, "facial").await, "not_enrolled")?;
        let says = |seed| wav(&BASS.says(seed), 16_000, 1);
        let three = [says(1), says(2), says(3)];
        let three: Vec<&[u8]> = three.iter().map(Vec::as_slice).collect();
        bank.enroll_voice(&user, &three).await?;
        let both = |face, voice| vec![("facial".to_owned(), face), ("voice".to_owned(), voice)];
        ensure!(numbers(&bank, &user).await? == both(1, 2));

        for round in 1..=5 {
            let face = renew(&bank, &user, "facial").await?;
            let voice = renew(&bank, &user, "voice").await?;
            ensure!((number(&face), number(&voice)) == (2 * round + 1, 2 * round + 2));
            ensure!(face["user_id"] == user.as_str() && face["modality"] == "facial");
            for renewed in [face, voice] {
                let proof = bank.receipt(&receipts::id(&renewed["receipt"])?).await?;
                let audit = appliance.auditor().verify_value(&proof)?;
                ensure!(audit.accepted(), "{audit:?}");
            }
        }
        ensure!(numbers(&bank, &user).await? == both(11, 12));
        let told = told(&bank, &user).await?;
        ensure!(told.len() == 10, "{told:?}");
        ensure!(
            told[0]["transform_before"] == 1 && told[9]["transform"] == 12,
            "{told:?}"
        );
        for (sample, expected) in [
            (&media.person_again, "verified"),
            (&media.other, "rejected"),
            (&media.person_third, "verified"),
        ] {
            let verification = bank.verify(&user, sample).await?;
            ensure!(verification.result == expected, "{verification:?}");
        }
        let verification = bank.verify_voice(&user, &says(4)).await?;
        ensure!(verification.result == "verified", "{verification:?}");
        let child = wav(&CHILD.says(9), 16_000, 1);
        ensure!(bank.verify_voice(&user, &child).await?.result == "rejected");

        // A customer who enrols again goes on counting: no number comes back.
        let path = format!("/api/v1/enroll/{user}/facial");
        bank.delete(&path).await?.read::<Value>()?;
        expect_code(renew(&bank, &user, "facial").await, "not_enrolled")?;
        bank.enroll(&user, &media.person).await?;
        ensure!(numbers(&bank, &user).await? == both(13, 12));
        Ok(())
    });
}

#[test]
fn a_kill_among_renewals_leaves_one_template_that_verifies() {
    let test = "a_kill_among_renewals_leaves_one_template_that_verifies";
    alone(
        test,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let user = random_name("customer");
            appliance
                .bank(&appliance.banks.a)?
                .enroll(&user, &media.person)
                .await?;
            for _ in 0..3 {
                let last = renewed_until_killed(appliance, &user).await?;
                appliance.bring_up()?;
                let bank = appliance.bank(&appliance.banks.a)?;
                let found = numbers(&bank, &user).await?[0].1;
                // The last that was answered, or those that were sent and not answered.
                ensure!(
                    (last..=last + SENT).contains(&found),
                    "{found} after {last}"
                );
                ensure!(bank.verify(&user, &media.person_again).await?.result == "verified");
                ensure!(bank.verify(&user, &media.other).await?.result == "rejected");
                ensure!(bank.verify(&user, &media.person).await?.result == "verified");
                ensure!(number(&renew(&bank, &user, "facial").await?) == found + 1);
            }
            Ok(())
        },
    );
}

/// Renewals that are under way at once.
const SENT: u64 = 4;

/// Renews at several at once until everything is killed; the highest number answered.
async fn renewed_until_killed(appliance: &mut Appliance, user: &str) -> Result<u64> {
    let (highest, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut running = Vec::new();
    for _ in 0..SENT {
        let bank = appliance.bank(&appliance.banks.a)?;
        let (user, highest, answered) = (user.to_owned(), highest.clone(), answered.clone());
        running.push(tokio::spawn(async move {
            loop {
                match renew(&bank, &user, "facial").await {
                    Ok(renewed) => {
                        highest.fetch_max(number(&renewed), SeqCst);
                        answered.fetch_add(1, SeqCst);
                    }
                    // Another renewal was always first.
                    Err(error) if error.code() == Some("store_unavailable") => {}
                    Err(error) => return error,
                }
            }
        }));
    }
    wait_for(PATIENCE, "fifty renewals", || {
        (answered.load(SeqCst) >= 50).then_some(())
    })?;
    appliance.kill_all()?;
    for one in running {
        let ended = one.await?;
        ensure!(ended.code().is_none(), "{ended}");
    }
    Ok(highest.load(SeqCst))
}
