//! Registration and login with passkeys.

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::with_user;
use redoubt_bank::{SoftwareAuthenticator, random_name};
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::{Appliance, Customer, Needs, Shared, shared};
use serde_json::json;

static APPLIANCE: Shared = Shared::new();

fn with_passkeys(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

#[test]
fn a_foreign_authenticator_registers_and_logs_in() {
    with_passkeys(
        "a_foreign_authenticator_registers_and_logs_in",
        async |appliance| {
            let tenant = &appliance.banks.a;
            let bank = appliance.bank(tenant)?;
            let user = random_name("customer");
            let mut authenticator = SoftwareAuthenticator::default();
            let options = bank.register_options(&user).await?;
            let created = authenticator.create(tenant.origin, &options).await?;
            let registered = bank.register_verify(&user, &created).await?;
            ensure!(registered.verified && registered.user_id == user);
            ensure!(created["id"] == registered.credential_id.as_str());
            for _ in 0..2 {
                let options = bank.login_options(&user).await?;
                let signed = authenticator.get(tenant.origin, &options).await?;
                let done = bank.login_verify(&user, &signed).await?;
                ensure!(done.verified && done.credential_id == registered.credential_id);
            }
            Ok(())
        },
    );
}

#[test]
fn a_replayed_assertion_is_refused() {
    with_passkeys("a_replayed_assertion_is_refused", async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let signed = customer.login_assertion(&bank).await?;
        bank.login_verify(&customer.id, &signed).await?;
        let again = bank.login_verify(&customer.id, &signed).await;
        expect_code(again, "authentication_failed")
    });
}

#[test]
fn another_customers_assertion_is_refused() {
    with_passkeys(
        "another_customers_assertion_is_refused",
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut alice = Customer::registered(&bank, &appliance.banks.a).await?;
            let bob = Customer::registered(&bank, &appliance.banks.a).await?;
            let signed = alice.login_assertion(&bank).await?;
            expect_code(
                bank.login_verify(&bob.id, &signed).await,
                "authentication_failed",
            )?;
            // Over Bob's own challenge, but with Alice's key.
            let options = bank.login_options(&bob.id).await?;
            let signed = alice.key.get(appliance.banks.a.origin, &options)?;
            expect_code(
                bank.login_verify(&bob.id, &signed).await,
                "authentication_failed",
            )
        },
    );
}

#[test]
fn one_answer_hides_which_step_failed() {
    with_passkeys("one_answer_hides_which_step_failed", async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let mut answers = Vec::new();
        for broken in ["signature", "clientDataJSON", "authenticatorData"] {
            let mut signed = customer.login_assertion(&bank).await?;
            let text = signed["response"][broken]
                .as_str()
                .context("text")?
                .to_owned();
            let at = text.len() / 2;
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            signed["response"][broken] =
                json!(format!("{}{other}{}", &text[..at], &text[at + 1..]));
            let path = "/api/v1/passkeys/authenticate/verify";
            let reply = bank.post(path, &with_user(&customer.id, &signed)).await?;
            let mut problem: serde_json::Value = serde_json::from_slice(&reply.body)?;
            problem["request_id"] = json!(null);
            answers.push((reply.status, problem));
        }
        let options = bank.login_options(&customer.id).await?;
        let signed = customer.key.get("https://evil.example", &options)?;
        let path = "/api/v1/passkeys/authenticate/verify";
        let reply = bank.post(path, &with_user(&customer.id, &signed)).await?;
        let mut problem: serde_json::Value = serde_json::from_slice(&reply.body)?;
        problem["request_id"] = json!(null);
        answers.push((reply.status, problem));
        ensure!(answers[0].0 == 401, "{answers:?}");
        ensure!(
            answers.iter().all(|answer| *answer == answers[0]),
            "the answers differ: {answers:?}"
        );
        Ok(())
    });
}

#[test]
fn a_credential_can_be_registered_once_only() {
    with_passkeys(
        "a_credential_can_be_registered_once_only",
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let thief = random_name("customer");
            let options = bank.register_options(&thief).await?;
            let created = customer.key.create(appliance.banks.a.origin, &options)?;
            let outcome = bank.register_verify(&thief, &created).await;
            ensure!(outcome.is_err(), "registered twice: {outcome:?}");
            Ok(())
        },
    );
}

#[test]
fn another_tenant_neither_sees_nor_uses_a_passkey() {
    with_passkeys(
        "another_tenant_neither_sees_nor_uses_a_passkey",
        async |appliance| {
            let (a, b) = (
                appliance.bank(&appliance.banks.a)?,
                appliance.bank(&appliance.banks.b)?,
            );
            let mut customer = Customer::registered(&a, &appliance.banks.a).await?;
            let signed = customer.login_assertion(&a).await?;
            expect_code(
                b.login_verify(&customer.id, &signed).await,
                "authentication_failed",
            )?;
            // To the other bank a stranger, who is answered like a customer.
            let seen = b.login_options(&customer.id).await?;
            let listed = seen["allowCredentials"].as_array().context("no list")?;
            let own = listed.iter().any(|allowed| allowed["id"] == signed["id"]);
            ensure!(listed.len() == 1 && !own, "seen: {seen}");
            // The first tenant's challenge is untouched by the second one's try.
            let done = a.login_verify(&customer.id, &signed).await?;
            let receipt = redoubt_bank::receipts::id(&done.receipt)?;
            a.receipt(&receipt).await?;
            expect_code(b.receipt(&receipt).await, "unknown_receipt")
        },
    );
}

#[test]
fn a_login_over_http2_works_as_over_http1() {
    with_passkeys(
        "a_login_over_http2_works_as_over_http1",
        async |appliance| {
            let tenant = &appliance.banks.a;
            let bank = appliance.client(Some(tenant.pem.clone()), true)?;
            let mut customer = Customer::registered(&bank, tenant).await?;
            customer.login(&bank).await?;
            Ok(())
        },
    );
}

#[test]
fn every_answer_carries_a_request_id_and_refusals_are_problem_documents() {
    let name = "every_answer_carries_a_request_id_and_refusals_are_problem_documents";
    with_passkeys(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        for (path, status) in [("/openapi.json", 200), ("/api/v1/nowhere", 404)] {
            let reply = bank.get(path).await?;
            ensure!(reply.status == status, "{path}: {}", reply.status);
            ensure!(reply.headers.contains_key("x-request-id"), "{path}");
        }
        let reply = bank.post("/api/v1/verify", &json!({"user_id": 7})).await?;
        ensure!(
            reply.status == 400 || reply.status == 422,
            "{}",
            reply.status
        );
        ensure!(reply.headers["content-type"] == "application/problem+json");
        let redoubt_bank::BankError::Refused { problem, .. } = reply.refusal() else {
            anyhow::bail!("no problem document: {reply:?}")
        };
        ensure!(problem.kind == format!("urn:redoubt:problem:{}", problem.code));
        ensure!(problem.request_id.is_some());
        Ok(())
    });
}

#[test]
fn a_strange_name_is_answered_like_a_customer() {
    with_passkeys(
        "a_strange_name_is_answered_like_a_customer",
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let mut stranger = Customer::new(&appliance.banks.a)?;
            let known = shape(bank.login_options(&customer.id).await?);
            let made_up = bank.login_options(&stranger.id).await?;
            ensure!(known == shape(made_up.clone()), "{known} {made_up}");
            // The imaginary credential stays, and is another at another bank.
            let again = bank.login_options(&stranger.id).await?;
            ensure!(made_up["allowCredentials"] == again["allowCredentials"]);
            let other = appliance.bank(&appliance.banks.b)?;
            let other = other.login_options(&stranger.id).await?;
            ensure!(made_up["allowCredentials"] != other["allowCredentials"]);

            // Answered with the imaginary id and any signature.
            let mut forged = stranger.login_assertion(&bank).await?;
            let id = again["allowCredentials"][0]["id"].clone();
            (forged["id"], forged["rawId"]) = (id.clone(), id);
            let refused = answer(&bank, &stranger.id, &forged).await?;
            let mut wrong = customer.login_assertion(&bank).await?;
            wrong["response"]["signature"] = forged["response"]["signature"].clone();
            ensure!(refused == answer(&bank, &customer.id, &wrong).await?);
            ensure!(refused.0 == 401, "{refused:?}");
            Ok(())
        },
    );
}

/// Options without what differs between any two customers.
fn shape(mut options: serde_json::Value) -> serde_json::Value {
    options["challenge"] = json!(null);
    for allowed in options["allowCredentials"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        (allowed["id"], allowed["transports"]) = (json!(null), json!(null));
    }
    options
}

/// Status and body of a refused login, but for the request's own number.
async fn answer(
    bank: &redoubt_bank::Bank,
    user: &str,
    signed: &serde_json::Value,
) -> anyhow::Result<(u16, serde_json::Value)> {
    let path = "/api/v1/passkeys/authenticate/verify";
    let reply = bank.post(path, &with_user(user, signed)).await?;
    let mut problem: serde_json::Value = serde_json::from_slice(&reply.body)?;
    problem["request_id"] = json!(null);
    Ok((reply.status.as_u16(), problem))
}
