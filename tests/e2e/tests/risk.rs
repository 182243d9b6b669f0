//! Risk: what is unusual is told, remembered over a killed enclave, and opens nothing.

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::Verification;
use redoubt_bank::api::verify_body;
use redoubt_bank::{Bank, random_name};
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::{Appliance, Customer, Needs, Options, Shared, alone, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

fn with_faces(
    test: &str,
    behaviour: impl AsyncFnOnce(&Appliance, &redoubt_bank::media::Media) -> Result<()>,
) {
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let media = appliance.environment().media()?;
        behaviour(appliance, &media).await
    });
}

/// A comparison of a sample that comes from another continent and another device.
fn from_afar(user: &str, sample: &[u8]) -> Value {
    let mut body = verify_body(user, sample);
    body["geolocation"] = json!({"lat": -33.87, "lng": 151.21});
    body["device_info"] = json!({"type": "mobile", "device_id": "never seen"});
    body
}

async fn history(bank: &Bank, user: &str) -> Result<Vec<Value>> {
    let told: Value = bank
        .get(&format!("/api/v1/verify/history/{user}"))
        .await?
        .read()?;
    Ok(told["attempts"].as_array().context("no attempts")?.clone())
}

async fn alerts(bank: &Bank, user: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/admin/security-alerts?user_id={user}");
    let told: Value = bank.get(&path).await?.read()?;
    Ok(told["alerts"].as_array().context("no alerts")?.clone())
}

#[test]
fn a_match_from_the_other_side_of_the_world_is_suspicious() {
    let name = "a_match_from_the_other_side_of_the_world_is_suspicious";
    with_faces(name, async |appliance, media| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = random_name("customer");
        bank.enroll(&user, &media.person).await?;
        let first = bank.verify(&user, &media.person_again).await?;
        ensure!(first.result == "verified", "{first:?}");
        let body = from_afar(&user, &media.person_third);
        let afar: Verification = bank.post("/api/v1/verify", &body).await?.read()?;
        ensure!(afar.result == "suspicious", "{afar:?}");
        ensure!(afar.action_taken == "alert_sent", "{afar:?}");
        let flags =
            json!({"fraud_score": 0.7, "anomalies": ["impossible_travel", "device_mismatch"]});
        ensure!(afar.security_flags == flags, "{afar:?}");

        let told = history(&bank, &user).await?;
        let results: Vec<_> = told.iter().map(|one| one["result"].clone()).collect();
        ensure!(results == ["suspicious", "verified"], "{told:?}");
        ensure!(
            told[1]["verification_id"] == first.verification_id,
            "{told:?}"
        );
        let listed = alerts(&bank, &user).await?;
        ensure!(
            listed.len() == 1 && listed[0]["reason"] == "high_risk",
            "{listed:?}"
        );
        ensure!(
            listed[0]["receipt_id"] == told[0]["receipt_id"],
            "{listed:?}"
        );
        let receipt = listed[0]["receipt_id"].as_str().context("receipt_id")?;
        let kept = bank.receipt(receipt).await?;
        ensure!(appliance.auditor().verify_value(&kept)?.accepted());
        let claim: Value = serde_json::from_str(kept["claims"].as_str().context("claims")?)?;
        ensure!(
            claim["alert"] == "high_risk" && claim["verdict"] == "suspicious",
            "{claim}"
        );

        // Another bank sees nothing of it, not even that there is such a customer.
        let other = appliance.bank(&appliance.banks.b)?;
        ensure!(alerts(&other, &user).await?.is_empty());
        let unknown = other.get(&format!("/api/v1/stats/{user}")).await?;
        ensure!(unknown.refusal().code() == Some("unknown_subject"));
        Ok(())
    });
}

#[test]
fn a_killed_appliance_remembers_what_was_unusual() {
    let name = "a_killed_appliance_remembers_what_was_unusual";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            bank.verify(&user, &media.person_again).await?;
            let body = from_afar(&user, &media.person_third);
            let afar: Verification = bank.post("/api/v1/verify", &body).await?.read()?;
            ensure!(afar.result == "suspicious", "{afar:?}");
            let before = (history(&bank, &user).await?, alerts(&bank, &user).await?);
            appliance.kill_all()?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let after = (history(&bank, &user).await?, alerts(&bank, &user).await?);
            ensure!(before == after, "{after:?}");
            let afar: Verification = bank.post("/api/v1/verify", &body).await?.read()?;
            ensure!(afar.result == "suspicious", "{afar:?}");
            Ok(())
        },
    );
}

#[test]
fn a_suspicious_face_answers_no_approval() {
    let name = "a_suspicious_face_answers_no_approval";
    with_faces(name, async |appliance, media| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let customer = Customer::registered(&bank, &appliance.banks.a).await?;
        bank.enroll(&customer.id, &media.person).await?;
        bank.verify(&customer.id, &media.person_again).await?;
        let body = json!({
            "user_id": customer.id, "transaction": payment("250.00"), "factors": ["passkey", "face"],
        });
        let pending: Value = bank.post("/api/v1/approvals", &body).await?.read()?;
        let id = pending["approval_id"].as_str().context("approval_id")?;
        let path = format!("/api/v1/approvals/{id}/face");
        let afar: Verification = bank
            .post(&path, &from_afar(&customer.id, &media.person_third))
            .await?
            .read()?;
        ensure!(afar.result == "suspicious", "{afar:?}");
        let stands: Value = bank.get(&format!("/api/v1/approvals/{id}")).await?.read()?;
        ensure!(stands["status"] == "pending", "{stands}");
        let near: Verification = bank
            .post(&path, &verify_body(&customer.id, &media.person_third))
            .await?
            .read()?;
        ensure!(near.result == "verified", "{near:?}");
        Ok(())
    });
}

#[test]
fn a_customer_is_counted_and_leaves_nothing_behind() {
    let name = "a_customer_is_counted_and_leaves_nothing_behind";
    with_faces(name, async |appliance, media| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let user = customer.id.clone();
        customer.login(&bank).await?;
        bank.enroll(&user, &media.person).await?;
        bank.verify(&user, &media.other).await?;
        bank.verify(&user, &media.person_again).await?;
        let path = format!("/api/v1/stats/{user}");
        let told: Value = bank.get(&path).await?.read()?;
        for (name, count) in [
            ("passkeys", 1),
            ("sessions", 1),
            ("logins", 1),
            ("verifications", 1),
            ("verifications_rejected", 1),
            ("failures", 0),
        ] {
            ensure!(told[name] == count, "{name}: {told}");
        }
        ensure!(told["enrolled"][0]["modality"] == "facial", "{told}");
        bank.delete(&format!("/api/v1/subjects/{user}")).await?;
        let gone = bank.get(&path).await?;
        ensure!(gone.refusal().code() == Some("unknown_subject"), "{gone:?}");
        let gone = bank.get(&format!("/api/v1/verify/history/{user}")).await?;
        expect_code(gone.read::<Value>(), "unknown_subject")
    });
}

#[test]
fn one_device_is_shut_out_after_so_many_customers() {
    let name = "one_device_is_shut_out_after_so_many_customers";
    with_faces(name, async |appliance, media| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let device = random_name("device");
        let ask = |user: &str, sample: &[u8]| {
            let mut body = verify_body(user, sample);
            body["device_info"]["device_id"] = json!(device);
            body
        };
        let mut users = Vec::new();
        for _ in 0..5 {
            let user = random_name("customer");
            bank.enroll(&user, &media.person).await?;
            users.push(user);
        }
        // Two failures of each: nobody is locked, and the device has had its ten.
        for user in users.iter().chain(&users) {
            let body = ask(user, &media.other);
            let tried: Verification = bank.post("/api/v1/verify", &body).await?.read()?;
            ensure!(tried.result == "rejected" && tried.action_taken != "account_locked");
        }
        let shut = bank
            .post("/api/v1/verify", &ask(&users[0], &media.person))
            .await?;
        ensure!(
            shut.status == 429 && shut.headers.contains_key("retry-after"),
            "{shut:?}"
        );
        ensure!(
            shut.refusal().code() == Some("attempts_throttled"),
            "{shut:?}"
        );
        let nobody = bank
            .post("/api/v1/verify", &ask("nobody", &media.person))
            .await?;
        ensure!(
            nobody.refusal().code() == Some("attempts_throttled"),
            "{nobody:?}"
        );
        let own = bank.verify(&users[0], &media.person).await?;
        ensure!(own.result == "verified", "{own:?}");
        Ok(())
    });
}
