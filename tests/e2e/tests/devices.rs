//! Devices: listed, described, put out of use, and never back when they must not be.

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::with_user;
use redoubt_bank::{Bank, PremadeKey};
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::sessions::{devices, is_active, put};
use redoubt_e2e::{Appliance, Customer, Needs, Shared, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

fn with_devices(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

/// Status and body of a login, but for the id of the request.
async fn answer(bank: &Bank, user: &str, signed: &Value) -> Result<(u16, Value)> {
    let path = "/api/v1/passkeys/authenticate/verify";
    let reply = bank.post(path, &with_user(user, signed)).await?;
    let mut told: Value = serde_json::from_slice(&reply.body)?;
    told["request_id"] = Value::Null;
    Ok((reply.status.as_u16(), told))
}

#[test]
fn a_compromised_device_loses_its_sessions_and_a_new_passkey_takes_its_place() {
    let name = "a_compromised_device_loses_its_sessions_and_a_new_passkey_takes_its_place";
    with_devices(name, async |appliance| {
        let tenant = &appliance.banks.a;
        let bank = appliance.bank(tenant)?;
        let mut customer = Customer::registered(&bank, tenant).await?;
        let session = customer.login(&bank).await?;
        ensure!(is_active(&bank, &session.session_token).await?);
        let device = session.device_id.clone();
        let flagged: Value = put(&bank, &customer.id, &device, "compromised")
            .await?
            .read()?;
        ensure!(flagged["sessions_ended"] == 1, "{flagged}");
        ensure!(!is_active(&bank, &session.session_token).await?);
        let receipt = redoubt_bank::receipts::id(&flagged["receipt"])?;
        let kept = bank.receipt(&receipt).await?;
        ensure!(appliance.auditor().verify_value(&kept)?.accepted());
        let claim: Value = serde_json::from_str(kept["claims"].as_str().context("claims")?)?;
        ensure!(
            claim["type"] == "device_state" && claim["state"] == "compromised",
            "{claim}"
        );

        let listed = devices(&bank, &customer.id).await?;
        ensure!(listed["re_enrollment_required"] == true, "{listed}");
        ensure!(listed["devices"][0]["trust"]["score"] == 0.0, "{listed}");
        expect_code(customer.login(&bank).await, "authentication_failed")?;
        let back = put(&bank, &customer.id, &device, "active").await?;
        ensure!(back.refusal().code() == Some("device_closed"), "{back:?}");

        // The same authenticator may register again: the closed credential is not excluded.
        let options = bank.register_options(&customer.id).await?;
        let excluded = options["excludeCredentials"].as_array();
        ensure!(excluded.is_none_or(Vec::is_empty), "{options}");
        customer.key = PremadeKey::generate()?;
        let registered = customer.register(&bank).await?;
        ensure!(registered.device_id != device);
        let listed = devices(&bank, &customer.id).await?;
        ensure!(listed["re_enrollment_required"] == false, "{listed}");
        let session = customer.login(&bank).await?;
        ensure!(session.device_id == registered.device_id);
        ensure!(is_active(&bank, &session.session_token).await?);
        Ok(())
    });
}

#[test]
fn one_answer_hides_that_a_device_may_not_be_used() {
    let name = "one_answer_hides_that_a_device_may_not_be_used";
    with_devices(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let device = customer.login(&bank).await?.device_id;
        let mut before = bank.login_options(&customer.id).await?;
        before["challenge"] = Value::Null;
        let mut signed = customer.login_assertion(&bank).await?;
        let signature = signed["response"]["signature"].as_str().context("text")?;
        signed["response"]["signature"] = json!(signature.replacen('M', "N", 1));
        let wrong = answer(&bank, &customer.id, &signed).await?;
        ensure!(wrong.0 == 401, "{wrong:?}");
        for state in ["suspended", "compromised", "revoked"] {
            put(&bank, &customer.id, &device, state)
                .await?
                .read::<Value>()?;
            let signed = customer.login_assertion(&bank).await?;
            ensure!(
                answer(&bank, &customer.id, &signed).await? == wrong,
                "{state}"
            );
            let mut after = bank.login_options(&customer.id).await?;
            after["challenge"] = Value::Null;
            ensure!(after == before, "{state}: {after}");
        }
        Ok(())
    });
}

#[test]
fn a_suspended_device_does_not_approve_until_it_is_resumed() {
    let name = "a_suspended_device_does_not_approve_until_it_is_resumed";
    with_devices(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let device = customer.login(&bank).await?.device_id;
        let pending = bank.approve(&customer.id, &payment("250.00")).await?;
        put(&bank, &customer.id, &device, "suspended")
            .await?
            .read::<Value>()?;
        let signed = customer.sign_approval(&pending)?;
        let given = bank
            .approve_verify(&pending.approval_id, &customer.id, &signed)
            .await;
        expect_code(given, "authentication_failed")?;
        expect_code(customer.login(&bank).await, "authentication_failed")?;
        put(&bank, &customer.id, &device, "active")
            .await?
            .read::<Value>()?;
        let signed = customer.sign_approval(&pending)?;
        bank.approve_verify(&pending.approval_id, &customer.id, &signed)
            .await?;
        customer.login(&bank).await?;
        Ok(())
    });
}

#[test]
fn a_device_is_described_and_only_to_its_own_bank() {
    with_devices(
        "a_device_is_described_and_only_to_its_own_bank",
        async |appliance| {
            let tenant = &appliance.banks.a;
            let bank = appliance.bank(tenant)?;
            let mut customer = Customer::new(tenant)?;
            let registered = customer.register(&bank).await?;
            let device = &registered.device_id;
            let path = format!("/api/v1/subjects/{}/devices/{device}", customer.id);
            let described: Value = bank
                .post(&path, &json!({"name": "my telephone", "type": "mobile"}))
                .await?
                .read()?;
            ensure!(
                described["name"] == "my telephone" && described["os"] == "",
                "{described}"
            );
            let described: Value = bank.post(&path, &json!({"os": "iOS 19"})).await?.read()?;
            ensure!(
                described["name"] == "my telephone" && described["os"] == "iOS 19",
                "{described}"
            );
            ensure!(described["last_used_at"].is_null(), "{described}");
            customer.login(&bank).await?;
            let listed = devices(&bank, &customer.id).await?;
            let shown = &listed["devices"][0];
            ensure!(
                shown["device_id"] == device.as_str() && shown["state"] == "active",
                "{listed}"
            );
            ensure!(
                shown["last_used_at"].is_string() && shown["sessions"] == 1,
                "{listed}"
            );
            ensure!(
                shown["trust"]["score"]
                    .as_f64()
                    .is_some_and(|s| s > 0.0 && s < 1.0),
                "{listed}"
            );
            ensure!(
                !listed.to_string().contains(&registered.credential_id),
                "{listed}"
            );

            let other = appliance.bank(&appliance.banks.b)?;
            let list = format!("/api/v1/subjects/{}/devices", customer.id);
            for reply in [
                other.get(&list).await?,
                other.post(&path, &json!({"name": "mine"})).await?,
                put(&other, &customer.id, device, "revoked").await?,
                other.delete(&format!("{path}/sessions")).await?,
            ] {
                ensure!(
                    reply.refusal().code() == Some("unknown_subject"),
                    "{reply:?}"
                );
            }
            let nobodys = "0".repeat(32);
            for wrong in [nobodys.as_str(), "no-id"] {
                let reply = put(&bank, &customer.id, wrong, "revoked").await?;
                ensure!(
                    reply.refusal().code() == Some("unknown_device"),
                    "{reply:?}"
                );
            }
            let reply = put(&bank, &customer.id, device, "lost").await?;
            ensure!(reply.status == 400 || reply.status == 422, "{reply:?}");
            Ok(())
        },
    );
}

#[test]
fn refused_answers_and_counters_that_stand_still_cost_trust() {
    let name = "refused_answers_and_counters_that_stand_still_cost_trust";
    with_devices(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        customer.login(&bank).await?;
        let listed = devices(&bank, &customer.id).await?;
        let before = listed["devices"][0]["trust"]["score"].as_f64();
        let before = before.context("no score")?;
        let options = bank.login_options(&customer.id).await?;
        let signed = customer.key.get("https://evil.example", &options)?;
        let refused = bank.login_verify(&customer.id, &signed).await;
        expect_code(refused, "authentication_failed")?;
        let listed = devices(&bank, &customer.id).await?;
        let after = listed["devices"][0]["trust"]["score"].as_f64();
        ensure!(
            after.is_some_and(|after| after < before),
            "{before} {listed}"
        );
        Ok(())
    });
}
