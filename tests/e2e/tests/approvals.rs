//! Approval of payments: bound to the transaction, spent once, provable offline.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_bank::api::{Approved, b64u};
use redoubt_bank::receipts::{self, Auditor};
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::mangler::Noise;
use redoubt_e2e::{Appliance, Customer, Needs, Options, Shared, alone, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

fn with_approvals(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

async fn approved(appliance: &Appliance) -> Result<(Customer, Approved)> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
    let approved = customer.approve(&bank, &payment("250.00")).await?;
    Ok((customer, approved))
}

fn payload(artefact: &Value) -> Result<String> {
    let text = artefact["payload"].as_str().context("payload")?;
    Ok(String::from_utf8(URL_SAFE_NO_PAD.decode(text)?)?)
}

#[test]
fn an_artefact_verifies_offline_and_repeats_the_transaction() {
    let name = "an_artefact_verifies_offline_and_repeats_the_transaction";
    with_approvals(name, async |appliance| {
        let (customer, approved) = approved(appliance).await?;
        let audit = appliance.auditor().verify_value(&approved.artefact)?;
        ensure!(audit.accepted(), "{audit:?}");
        let claims: Value = serde_json::from_str(&payload(&approved.artefact)?)?;
        ensure!(claims["user_id"] == customer.id.as_str());
        ensure!(claims["transaction"]["amount"] == "250.00");
        ensure!(claims["environment"] == "emulated" && claims["freshness"] == "none");
        let signatures = approved.artefact["signatures"].as_array();
        ensure!(
            signatures.map(Vec::len) == Some(4),
            "{:?}",
            approved.artefact
        );
        let receipt = receipts::claims(&approved.artefact["receipt"])?;
        ensure!(
            receipt == claims,
            "receipt and artefact tell different claims"
        );
        Ok(())
    });
}

#[test]
fn the_auditor_works_only_because_it_asks_nobody() {
    // The control of "sockets denied": under the same filter, what needs a socket fails.
    with_approvals(
        "the_auditor_works_only_because_it_asks_nobody",
        async |appliance| {
            let out = appliance.dir().join("trust-without-sockets");
            let trust = appliance.trust_command(&appliance.url(), &appliance.policy(), &out);
            let mut filtered = std::process::Command::new(appliance.program("redoubt-bank"));
            filtered.args(["no-sockets", "--"]).arg(trust.get_program());
            filtered.args(trust.get_args());
            let output = redoubt_e2e::process::run(&mut filtered)?;
            ensure!(
                !output.status.success(),
                "trust was fetched without a socket"
            );
            ensure!(!out.join("ca.pem").exists());
            Ok(())
        },
    );
}

/// Every digit of the claims, and digits all over the rest of the artefact.
#[test]
fn one_changed_digit_anywhere_makes_verification_fail() {
    let name = "one_changed_digit_anywhere_makes_verification_fail";
    with_approvals(name, async |appliance| {
        let (_, approved) = approved(appliance).await?;
        let auditor = appliance.auditor();
        ensure!(auditor.verify_value(&approved.artefact)?.accepted());
        let claims = payload(&approved.artefact)?;
        let digits = digit_positions(&claims);
        for at in spread(&digits, 40) {
            let mut other = approved.artefact.clone();
            other["payload"] = json!(b64u(with_other_digit(&claims, at).as_bytes()));
            must_refuse(&auditor, &other, &format!("claims byte {at}"))?;
        }
        let text = approved.artefact.to_string();
        let digits = digit_positions(&text);
        for at in spread(&digits, 80) {
            let other = with_other_digit(&text, at);
            let Ok(other) = serde_json::from_str::<Value>(&other) else {
                continue;
            };
            // Bytes: a signed note holds dashes that are no single byte.
            let near = &text.as_bytes()[at.saturating_sub(60)..(at + 20).min(text.len())];
            let near = String::from_utf8_lossy(near);
            must_refuse(&auditor, &other, &format!("byte {at}, near {near}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_receipt_told_differently_is_refused() {
    with_approvals("a_receipt_told_differently_is_refused", async |appliance| {
        let (_, approved) = approved(appliance).await?;
        let bank = appliance.bank(&appliance.banks.a)?;
        let id = receipts::id(&approved.receipt)?;
        let receipt = bank.receipt(&id).await?;
        let auditor = appliance.auditor();
        ensure!(auditor.verify_value(&receipt)?.accepted());
        let mut richer = receipt.clone();
        let claims = richer["claims"].as_str().context("claims")?;
        richer["claims"] = json!(claims.replacen("250.00", "950.00", 1));
        must_refuse(&auditor, &richer, "another amount")?;
        for (member, value) in [
            (
                "tree_size",
                json!(receipt["tree_size"].as_u64().unwrap_or(0) + 1),
            ),
            (
                "event_index",
                json!(receipt["event_index"].as_u64().unwrap_or(0) + 1),
            ),
            ("salt", json!(b64u(&[0; 32]))),
            ("evidence", json!([])),
        ] {
            let mut other = receipt.clone();
            other[member] = value;
            must_refuse(&auditor, &other, member)?;
        }
        Ok(())
    });
}

#[test]
fn an_approval_is_given_once() {
    with_approvals("an_approval_is_given_once", async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let pending = bank.approve(&customer.id, &payment("17.20")).await?;
        let signed = customer.sign_approval(&pending)?;
        let id = &pending.approval_id;
        bank.approve_verify(id, &customer.id, &signed).await?;
        let again = bank.approve_verify(id, &customer.id, &signed).await;
        ensure!(again.is_err(), "given twice: {again:?}");
        let fresh = customer.sign_approval(&pending)?;
        let again = bank.approve_verify(id, &customer.id, &fresh).await;
        ensure!(again.is_err(), "given twice: {again:?}");
        ensure!(bank.approval(id).await?["status"] == "approved");
        Ok(())
    });
}

#[test]
fn an_assertion_for_one_payment_approves_no_other() {
    with_approvals(
        "an_assertion_for_one_payment_approves_no_other",
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let small = bank.approve(&customer.id, &payment("1.00")).await?;
            let large = bank.approve(&customer.id, &payment("9000.00")).await?;
            let signed = customer.sign_approval(&small)?;
            let crossed = bank
                .approve_verify(&large.approval_id, &customer.id, &signed)
                .await;
            expect_code(crossed, "authentication_failed")?;
            let login = customer.login_assertion(&bank).await?;
            let crossed = bank
                .approve_verify(&small.approval_id, &customer.id, &login)
                .await;
            expect_code(crossed, "authentication_failed")
        },
    );
}

#[test]
fn another_customer_cannot_approve() {
    with_approvals("another_customer_cannot_approve", async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let mut thief = Customer::registered(&bank, &appliance.banks.a).await?;
        let pending = bank.approve(&customer.id, &payment("250.00")).await?;
        let signed = thief.sign_approval(&pending)?;
        for user in [&customer.id, &thief.id] {
            let outcome = bank
                .approve_verify(&pending.approval_id, user, &signed)
                .await;
            ensure!(outcome.is_err(), "{user} approved: {outcome:?}");
        }
        Ok(())
    });
}

#[test]
fn a_login_origin_cannot_approve() {
    with_approvals("a_login_origin_cannot_approve", async |appliance| {
        let tenant = &appliance.banks.a;
        let bank = appliance.bank(tenant)?;
        let mut customer = Customer::registered(&bank, tenant).await?;
        let pending = bank.approve(&customer.id, &payment("250.00")).await?;
        let signed = customer.key.get(tenant.origin, &pending.options)?;
        let outcome = bank
            .approve_verify(&pending.approval_id, &customer.id, &signed)
            .await;
        expect_code(outcome, "authentication_failed")
    });
}

#[test]
fn another_tenant_neither_sees_nor_gives_an_approval() {
    with_approvals(
        "another_tenant_neither_sees_nor_gives_an_approval",
        async |appliance| {
            let a = appliance.bank(&appliance.banks.a)?;
            let b = appliance.bank(&appliance.banks.b)?;
            let mut customer = Customer::registered(&a, &appliance.banks.a).await?;
            let pending = a.approve(&customer.id, &payment("250.00")).await?;
            expect_code(b.approval(&pending.approval_id).await, "unknown_approval")?;
            let signed = customer.sign_approval(&pending)?;
            let outcome = b
                .approve_verify(&pending.approval_id, &customer.id, &signed)
                .await;
            ensure!(outcome.is_err(), "{outcome:?}");
            Ok(())
        },
    );
}

#[test]
fn an_idempotency_key_creates_one_approval() {
    with_approvals(
        "an_idempotency_key_creates_one_approval",
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let transaction = payment("250.00");
            let key = redoubt_bank::random_name("key");
            let first = bank.approve_once(&customer.id, &transaction, &key).await?;
            let second = bank.approve_once(&customer.id, &transaction, &key).await?;
            ensure!(first.approval_id == second.approval_id);
            let other = bank
                .approve_once(&customer.id, &payment("9.00"), &key)
                .await;
            expect_code(other, "idempotency_conflict")
        },
    );
}

#[test]
fn an_expired_approval_is_refused() {
    let name = "an_expired_approval_is_refused";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let pending = bank.approve(&customer.id, &payment("250.00")).await?;
            let signed = customer.sign_approval(&pending)?;
            appliance.kill_all()?;
            appliance.options.time_offset_ms = 6 * 60 * 1000;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let outcome = bank
                .approve_verify(&pending.approval_id, &customer.id, &signed)
                .await;
            expect_code(outcome, "approval_expired")?;
            customer.approve(&bank, &payment("250.00")).await?;
            Ok(())
        },
    );
}

fn must_refuse(auditor: &Auditor, document: &Value, what: &str) -> Result<()> {
    let audit = auditor.verify_value(document)?;
    ensure!(audit.refused(), "{what}: {audit:?}");
    Ok(())
}

fn digit_positions(text: &str) -> Vec<usize> {
    let bytes = text.bytes().enumerate();
    bytes
        .filter(|(_, byte)| byte.is_ascii_digit())
        .map(|(at, _)| at)
        .collect()
}

fn with_other_digit(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = b'0' + (bytes[at] - b'0' + 5) % 10;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Some of the positions, spread over all of them.
fn spread(positions: &[usize], count: usize) -> Vec<usize> {
    let mut noise = Noise::new(positions.len() as u64);
    let stride = positions.len().div_ceil(count).max(1);
    positions
        .chunks(stride)
        .map(|chunk| chunk[noise.below(chunk.len())])
        .collect()
}
