//! Enrolment and verification of faces, refusals of samples, lockout.

use anyhow::{Result, ensure};
use redoubt_bank::api::b64u;
use redoubt_bank::{Bank, BankError, huge, race, random_name};
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::{Appliance, Needs, Options, Shared, alone, shared};
use serde_json::json;

static APPLIANCE: Shared = Shared::new();
const HALF_AN_HOUR_MS: i64 = 30 * 60 * 1000;

fn with_faces(
    test: &str,
    behaviour: impl AsyncFnOnce(&Appliance, &redoubt_bank::media::Media) -> Result<()>,
) {
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let media = appliance.environment().media()?;
        behaviour(appliance, &media).await
    });
}

#[test]
fn the_same_person_is_verified_and_another_is_rejected() {
    with_faces(
        "the_same_person_is_verified_and_another_is_rejected",
        async |appliance, media| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            let enrolled = bank.enroll(&user, &media.person).await?;
            ensure!(enrolled.status == "completed" && enrolled.encrypted);
            ensure!((0.0..=1.0).contains(&enrolled.quality_score));
            for (sample, expected) in [
                (&media.person_again, "verified"),
                (&media.person_third, "verified"),
                (&media.other, "rejected"),
                (&media.person, "verified"),
            ] {
                let verification = bank.verify(&user, sample).await?;
                ensure!(verification.result == expected, "{verification:?}");
                ensure!(verification.action_taken == "logged");
                let steps = verification.confidence_score * 20.0;
                ensure!((steps - steps.round()).abs() < 1e-3, "a fine score leaks");
            }
            Ok(())
        },
    );
}

#[test]
fn each_bad_sample_gets_its_own_refusal_and_costs_no_attempt() {
    let name = "each_bad_sample_gets_its_own_refusal_and_costs_no_attempt";
    with_faces(name, async |appliance, media| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = random_name("customer");
        bank.enroll(&user, &media.person).await?;
        for (sample, code) in [
            (&media.no_face, "no_face"),
            (&media.two_faces, "multiple_faces"),
            (&media.dark, "too_dark"),
            (&media.tiny, "face_too_small"),
            (&media.not_an_image, "not_an_image"),
        ] {
            expect_code(bank.verify(&user, sample).await, code)?;
            let enrolment = bank.enroll(&random_name("customer"), sample).await;
            expect_code(enrolment, code)?;
        }
        let verification = bank.verify(&user, &media.person_again).await?;
        ensure!(verification.result == "verified");
        Ok(())
    });
}

#[test]
fn enrolment_needs_consent_and_its_own_token() {
    with_faces(
        "enrolment_needs_consent_and_its_own_token",
        async |appliance, media| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            expect_code(bank.enroll_initiate(&user, false).await, "consent_required")?;
            let strange = bank.verify(&user, &media.person).await?;
            ensure!(strange.result == "rejected", "{}", strange.result);
            let mut first = bank.enroll_initiate(&user, true).await?;
            let second = bank.enroll_initiate(&user, true).await?;
            first.session_token = second.session_token.clone();
            expect_code(
                bank.enroll_submit(&first, &media.person).await,
                "unknown_enrollment",
            )?;
            bank.enroll_submit(&second, &media.person).await?;
            let again = bank.enroll_submit(&second, &media.person).await;
            ensure!(again.is_err(), "a completed enrolment took another sample");
            Ok(())
        },
    );
}

#[test]
fn another_tenant_cannot_verify_against_a_template() {
    with_faces(
        "another_tenant_cannot_verify_against_a_template",
        async |appliance, media| {
            let a = appliance.bank(&appliance.banks.a)?;
            let b = appliance.bank(&appliance.banks.b)?;
            let user = random_name("customer");
            a.enroll(&user, &media.person).await?;
            // To the other bank a stranger, who is answered like a customer.
            ensure!(b.verify(&user, &media.person).await?.result == "rejected");
            let enrolment = a.enroll_initiate(&user, true).await?;
            expect_code(
                b.enroll_submit(&enrolment, &media.person).await,
                "unknown_enrollment",
            )
        },
    );
}

#[test]
fn a_body_of_200_megabytes_is_refused_with_413() {
    with_faces(
        "a_body_of_200_megabytes_is_refused_with_413",
        async |appliance, _| {
            for http2 in [false, true] {
                let pem = appliance.banks.a.pem.clone();
                let bank = appliance.client(Some(pem), http2)?;
                let reply = huge::post_zeros(&bank, "/api/v1/verify", 200_000_000).await?;
                ensure!(reply.status == 413, "http2 {http2}: {}", reply.status);
            }
            Ok(())
        },
    );
}

#[test]
fn three_failures_lock_for_half_an_hour() {
    with_faces(
        "three_failures_lock_for_half_an_hour",
        async |appliance, media| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            for attempt in 1..=3 {
                let verification = bank.verify(&user, &media.other).await?;
                ensure!(verification.result == "rejected");
                let locked = verification.action_taken == "account_locked";
                ensure!(locked == (attempt == 3), "attempt {attempt}");
            }
            let Err(BankError::Refused {
                status: 423,
                problem,
                retry_after,
            }) = bank.verify(&user, &media.person).await
            else {
                anyhow::bail!("the right face was compared although the account is locked")
            };
            ensure!(problem.code == "account_locked");
            ensure!(problem.more.contains_key("locked_until"));
            let seconds = retry_after.unwrap_or_default();
            ensure!((1740..=1800).contains(&seconds), "Retry-After {seconds}");
            Ok(())
        },
    );
}

#[test]
fn a_success_clears_earlier_failures() {
    with_faces(
        "a_success_clears_earlier_failures",
        async |appliance, media| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            for _ in 0..2 {
                for sample in [&media.other, &media.other, &media.person_again] {
                    let verification = bank.verify(&user, sample).await?;
                    ensure!(verification.action_taken == "logged", "{verification:?}");
                }
            }
            Ok(())
        },
    );
}

#[test]
fn two_hundred_parallel_wrong_samples_get_three_comparisons() {
    let name = "two_hundred_parallel_wrong_samples_get_three_comparisons";
    with_faces(name, async |appliance, media| {
        for http2 in [false, true] {
            let pem = appliance.banks.a.pem.clone();
            let bank = appliance.client(Some(pem), http2)?;
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            let race = race::verify(&bank, &user, &media.other, 200).await?;
            println!("{:?}", race.tally);
            ensure!(race.comparisons() == 3, "{:?}", race.tally);
            let answered: usize = race.tally.values().sum();
            ensure!(answered == 200);
            let known = ["rejected", "attempts_in_progress", "account_locked"];
            ensure!(
                race.tally.keys().all(|key| known.contains(&key.as_str())),
                "{:?}",
                race.tally
            );
            let after = bank.verify(&user, &media.person).await;
            expect_code(after, "account_locked")?;
        }
        Ok(())
    });
}

#[test]
fn crossing_the_lockout_unlocks() {
    let name = "crossing_the_lockout_unlocks";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let user = random_name("customer");
            let bank = appliance.bank(&appliance.banks.a)?;
            bank.enroll(&user, &media.person).await?;
            for _ in 0..3 {
                bank.verify(&user, &media.other).await?;
            }
            for (offset, expected) in [
                (HALF_AN_HOUR_MS - 60_000, Some("account_locked")),
                (HALF_AN_HOUR_MS + 60_000, None),
            ] {
                appliance.kill_all()?;
                appliance.options.time_offset_ms = offset;
                appliance.bring_up()?;
                let bank = appliance.bank(&appliance.banks.a)?;
                let outcome = bank.verify(&user, &media.person_again).await;
                match expected {
                    Some(code) => expect_code(outcome, code)?,
                    None => ensure!(outcome?.result == "verified"),
                }
            }
            Ok(())
        },
    );
}

#[test]
fn a_face_of_nobody_is_answered_like_somebody_else_s() {
    with_faces(
        "a_face_of_nobody_is_answered_like_somebody_else_s",
        async |appliance, media| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let customer = random_name("customer");
            bank.enroll(&customer, &media.person).await?;
            let stranger = random_name("customer");
            for turn in 0..4 {
                let [known, strange] = [
                    answered(&bank, &customer, &media.other).await?,
                    answered(&bank, &stranger, &media.other).await?,
                ];
                ensure!(known == strange, "{turn}: {known} {strange}");
                let locked = known["code"] == "account_locked";
                ensure!(locked == (turn == 3), "{turn}: {known}");
            }
            Ok(())
        },
    );
}

/// Reply and claim of a verification, without what differs between any two.
async fn answered(bank: &Bank, user: &str, sample: &[u8]) -> Result<serde_json::Value> {
    let body = json!({
        "user_id": user, "modality": "facial", "biometric_data": b64u(sample),
    });
    let reply = bank.post("/api/v1/verify", &body).await?;
    let mut said: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let claims = said["receipt"]["claims"].as_str().unwrap_or("{}");
    let mut claims: serde_json::Value = serde_json::from_str(claims)?;
    let own = [
        "user_id",
        "verification_id",
        "receipt_id",
        "timestamp",
        "time_ms",
    ];
    let own = own.into_iter().chain([
        "receipt",
        "request_id",
        "detail",
        "locked_until",
        "locked_until_ms",
    ]);
    for name in own {
        for told in [&mut said, &mut claims] {
            if told[name] != json!(null) {
                told[name] = json!("");
            }
        }
    }
    said["receipt"] = claims;
    Ok(said)
}
