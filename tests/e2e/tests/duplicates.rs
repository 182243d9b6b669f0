//! One person under two names: found where officers sign that, and by nobody else.

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::{BankError, Enrolled};
use redoubt_bank::media::Media;
use redoubt_bank::{Bank, receipts};
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::desk::desk_with_faces;
use redoubt_e2e::process::run_ok;
use redoubt_e2e::{Appliance, Needs, Options, alone};
use serde_json::{Value, json};

/// The next boot's rules for the first tenant; null: it says nothing of duplicates.
fn set(appliance: &mut Appliance, counter: u64, rules: Value) -> Result<()> {
    appliance.set_config(counter, |config| {
        let tenant = &mut config["tenants"][0];
        match rules {
            Value::Null => drop(
                tenant
                    .as_object_mut()
                    .map(|one| one.remove("duplicate_faces")),
            ),
            rules => tenant["duplicate_faces"] = rules,
        }
    })
}

fn search(enrolled: &Enrolled) -> Result<Value> {
    Ok(receipts::claims(&enrolled.receipt)?["duplicate_search"].clone())
}

/// How many were searched, and whether somebody was found.
fn came_to(search: &Value) -> (Option<u64>, Option<bool>) {
    (search["people"].as_u64(), search["found"].as_bool())
}

async fn enrol(bank: &Bank, user: &str, picture: &[u8]) -> Result<(Option<u64>, Option<bool>)> {
    let enrolled = bank.enroll(user, picture).await?;
    Ok(came_to(&search(&enrolled)?))
}

/// Alerts about a customer: why, and who else is named.
async fn alerts(bank: &Bank, user: &str) -> Result<Vec<(String, Option<String>)>> {
    let path = format!("/api/v1/admin/security-alerts?user_id={user}");
    let page: Value = bank.get(&path).await?.read()?;
    let alerts = page["alerts"].as_array().context("alerts")?;
    let text = |one: &Value, member: &str| one[member].as_str().map(str::to_owned);
    let read = |one: &Value| Some((text(one, "reason")?, text(one, "other_user_id")));
    alerts
        .iter()
        .map(|one| read(one).context("alert"))
        .collect()
}

fn named(other: &str) -> Vec<(String, Option<String>)> {
    vec![("duplicate_face".to_owned(), Some(other.to_owned()))]
}

/// The refusals of a customer's enrolments that the ledger tells of.
async fn refusals(bank: &Bank, user: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/audit/events?type=enrollment&user_id={user}");
    let page: Value = bank.get(&path).await?.read()?;
    let events = page["events"].as_array().context("events")?;
    let claims = events.iter().map(|event| event["claims"].clone());
    Ok(claims
        .filter(|claims| claims["status"] == "refused")
        .collect())
}

#[test]
fn a_second_name_of_one_person_is_reported_over_restarts_renewals_and_erasures() {
    let test = "a_second_name_of_one_person_is_reported_over_restarts_renewals_and_erasures";
    alone(
        test,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            // Nobody looks unless officers say so, and the claim says nothing of it.
            let enrolled = bank.enroll("first", &media.person).await?;
            ensure!(search(&enrolled)?.is_null());
            ensure!(search(&bank.enroll("shadow", &media.person_again).await?)?.is_null());
            ensure!(alerts(&bank, "shadow").await?.is_empty());
            bank.delete("/api/v1/subjects/shadow")
                .await?
                .read::<Value>()?;
            // Another tenant has the same person, too, and looks for nobody.
            let other = appliance.bank(&appliance.banks.b)?;
            other.enroll("there", &media.person_third).await?;

            // Opted in: who was enrolled before is found.
            set(appliance, 2, json!({ "mode": "report" }))?;
            let bank = appliance.bank(&appliance.banks.a)?;
            reports(appliance, &bank, &media).await?;

            // A restart makes the same of what is stored.
            appliance.kill_all()?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(enrol(&bank, "second", &media.person_third).await? == (Some(2), Some(true)));
            ensure!(alerts(&bank, "second").await?.len() == 2);
            bank.post("/api/v1/enroll/first/facial/renew", &json!({}))
                .await?
                .read::<Value>()?;
            ensure!(enrol(&bank, "second", &media.person_again).await? == (Some(2), Some(true)));

            // Erased is erased, and what is told of the pair names one of them.
            bank.delete("/api/v1/subjects/first")
                .await?
                .read::<Value>()?;
            ensure!(enrol(&bank, "second", &media.person).await? == (Some(1), Some(false)));
            let told = alerts(&bank, "second").await?;
            ensure!(
                told.len() == 3 && told.iter().all(|(_, other)| other.is_none()),
                "{told:?}"
            );
            bank.delete("/api/v1/enroll/second/facial")
                .await?
                .read::<Value>()?;
            ensure!(enrol(&bank, "third", &media.person_third).await? == (Some(1), Some(false)));

            // Opted out: nobody looks.
            set(appliance, 3, Value::Null)?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(search(&bank.enroll("fourth", &media.person).await?)?.is_null());
            set(appliance, 4, json!({ "mode": "off" }))?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(search(&bank.enroll("fifth", &media.person).await?)?.is_null());
            ensure!(alerts(&bank, "fifth").await?.is_empty());
            Ok(())
        },
    );
}

/// Of one who is there already and of one who is not.
async fn reports(appliance: &Appliance, bank: &Bank, media: &Media) -> Result<()> {
    let enrolled = bank.enroll("second", &media.person_again).await?;
    let claims = receipts::claims(&enrolled.receipt)?;
    ensure!(
        came_to(&claims["duplicate_search"]) == (Some(1), Some(true)),
        "{claims}"
    );
    ensure!(claims["duplicate_search"]["as_asked"] == true, "{claims}");
    ensure!(!claims.to_string().contains("first"), "{claims}");
    let proof = bank.receipt(&receipts::id(&enrolled.receipt)?).await?;
    let audit = appliance.auditor().verify_value(&proof)?;
    ensure!(audit.accepted(), "{audit:?}");
    ensure!(alerts(bank, "second").await? == named("first"));
    ensure!(alerts(bank, "first").await? == named("second"));
    // Neither somebody else, nor who enrols again under their own name.
    bank.delete("/api/v1/subjects/second")
        .await?
        .read::<Value>()?;
    ensure!(enrol(bank, "first", &media.person).await? == (Some(0), Some(false)));
    ensure!(enrol(bank, "else", &media.other).await? == (Some(1), Some(false)));
    ensure!(enrol(bank, "second", &media.person_again).await? == (Some(2), Some(true)));
    let pair = alerts(bank, "second").await?;
    ensure!(pair == named("first"), "{pair:?}");
    // Who was found keeps what was told of them, also where who asked was erased since.
    let told = alerts(bank, "first").await?;
    let others = [Some("second"), None].map(|other| other.map(str::to_owned));
    ensure!(told.iter().map(|(_, other)| other).eq(&others), "{told:?}");
    ensure!(alerts(bank, "else").await?.is_empty());
    Ok(())
}

#[test]
fn a_second_name_is_refused_without_a_word_of_whose_face_it_is_and_not_without_end() {
    let test = "a_second_name_is_refused_without_a_word_of_whose_face_it_is_and_not_without_end";
    alone(
        test,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let rules = json!({ "mode": "refuse", "max_refused_per_day": 2 });
            set(appliance, 2, rules)?;
            let bank = appliance.bank(&appliance.banks.a)?;
            // Two names of one person at the same moment: one of them is.
            let both = futures::join!(
                bank.enroll("left", &media.person),
                bank.enroll("right", &media.person_again),
            );
            let (kept, refused) = match both {
                (Ok(_), Err(error)) => (("left", "right"), error),
                (Err(error), Ok(_)) => (("right", "left"), error),
                other => anyhow::bail!("not one of two: {other:?}"),
            };
            let (here, gone) = kept;
            ensure!(refused.code() == Some("duplicate_face"), "{refused}");
            ensure!(!format!("{refused:?}").contains(here), "{refused:?}");
            ensure!(alerts(&bank, gone).await? == named(here));
            ensure!(alerts(&bank, here).await? == named(gone));
            let told = refusals(&bank, gone).await?;
            ensure!(
                told.len() == 1 && told[0]["reason"] == "duplicate_face",
                "{told:?}"
            );
            ensure!(!told[0].to_string().contains(here), "{told:?}");
            ensure!(bank.verify(gone, &media.person).await?.result == "rejected");
            let stats: Value = bank.get(&format!("/api/v1/stats/{gone}")).await?.read()?;
            ensure!(stats["enrolled"] == json!([]), "{stats}");
            ensure!(bank.verify(here, &media.person_third).await?.result == "verified");

            // The enrolment is over, and goes on saying why; another one of the same name
            // is refused again.
            let opened = bank.enroll_initiate(gone, true).await?;
            let again = bank.enroll_submit(&opened, &media.person_third).await;
            expect_code(again, "duplicate_face")?;
            let again = bank.enroll_submit(&opened, &media.other).await;
            expect_code(again, "duplicate_face")?;
            // Somebody else may have the name, and another tenant its own customers.
            bank.enroll(gone, &media.other).await?;
            let other = appliance.bank(&appliance.banks.b)?;
            other.enroll("there", &media.person).await?;

            // One face counts once. So many faces a day, over a restart, and then none tells
            // anything.
            expect_code(bank.enroll("third", &media.person).await, "duplicate_face")?;
            appliance.kill_all()?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            expect_code(bank.enroll("fourth", &media.other).await, "duplicate_face")?;
            for picture in [&media.person, &media.no_face] {
                let shut: Result<Enrolled, BankError> = bank.enroll("fifth", picture).await;
                expect_code(shut, "enrollments_shut")?;
            }
            ensure!(refusals(&bank, "fifth").await?.is_empty());
            let other = appliance.bank(&appliance.banks.b)?;
            other.enroll("there", &media.person_again).await?;
            Ok(())
        },
    );
}

#[test]
fn who_is_looked_for_is_found_at_another_enclave() {
    let test = "who_is_looked_for_is_found_at_another_enclave";
    desk_with_faces(test, async |desk| {
        set(&mut desk.appliance, 2, json!({ "mode": "report" }))?;
        desk.appliance.start_standby()?;
        let media = desk.appliance.environment().media()?;
        desk.bank()?.enroll("first", &media.person).await?;
        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        let bank = desk.bank()?;
        let found = (Some(1), Some(true));
        ensure!(enrol(&bank, "second", &media.person_again).await? == found);
        ensure!(alerts(&bank, "second").await? == named("first"));
        Ok(())
    });
}
