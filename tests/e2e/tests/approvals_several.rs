//! Approvals that end in other ways than by one answer: several people, batches,
//! rejections, cancellations; and what listeners are told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{Stream, StreamExt as _};
use redoubt_bank::Bank;
use redoubt_bank::api::with_user;
use redoubt_bank::tls::client_config;
use redoubt_e2e::appliance::Tenant;
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::{Appliance, Customer, Needs, Shared, shared};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{self, Message};

static APPLIANCE: Shared = Shared::new();

fn with_approvals(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

async fn three(appliance: &Appliance) -> Result<(Bank, Vec<Customer>)> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let mut customers = Vec::new();
    for _ in 0..3 {
        customers.push(Customer::registered(&bank, &appliance.banks.a).await?);
    }
    Ok((bank, customers))
}

/// Asks all of them; `required` must approve.
async fn ask(bank: &Bank, customers: &[Customer], required: u16) -> Result<Value> {
    let users: Vec<&str> = customers.iter().map(|one| one.id.as_str()).collect();
    let body = json!({
        "approvers": users, "required": required, "transaction": payment("250.00"),
    });
    Ok(bank.post("/api/v1/approvals", &body).await?.read()?)
}

fn id(created: &Value) -> Result<&str> {
    created["approval_id"].as_str().context("approval_id")
}

async fn answer(
    appliance: &Appliance,
    bank: &Bank,
    created: &Value,
    customer: &mut Customer,
) -> Result<Value> {
    let asked = created["approvers"].as_array().context("approvers")?;
    let mine = asked
        .iter()
        .find(|one| one["user_id"] == customer.id.as_str());
    let options = &mine.context("not asked")?["options"];
    let signed = customer
        .key
        .get(appliance.banks.a.approval_origin, options)?;
    let path = format!("/api/v1/approvals/{}/verify", id(created)?);
    Ok(bank
        .post(&path, &with_user(&customer.id, &signed))
        .await?
        .read()?)
}

#[test]
fn two_of_three_approve_and_the_artefact_holds_both() {
    let name = "two_of_three_approve_and_the_artefact_holds_both";
    with_approvals(name, async |appliance| {
        let (bank, mut customers) = three(appliance).await?;
        let created = ask(&bank, &customers, 2).await?;
        let first = answer(appliance, &bank, &created, &mut customers[2]).await?;
        ensure!(
            first["status"] == "pending" && first.get("artefact").is_none(),
            "{first}"
        );
        let again = answer(appliance, &bank, &created, &mut customers[2]).await;
        ensure!(again.is_err(), "one person answered twice");
        let second = answer(appliance, &bank, &created, &mut customers[0]).await?;
        ensure!(second["status"] == "approved", "{second}");
        let late = answer(appliance, &bank, &created, &mut customers[1]).await;
        ensure!(late.is_err(), "answered after its end");
        let auditor = appliance.auditor();
        let artefact = &second["artefact"];
        let audit = auditor.verify_value(artefact)?;
        ensure!(audit.accepted(), "{audit:?}");
        let kept = bank.approval(id(&created)?).await?;
        let audit = auditor.verify_value(&kept["artefact"])?;
        ensure!(audit.accepted(), "{audit:?}");
        // Each digit of the earlier answer counts, and so does its being there.
        let mut bent = artefact.clone();
        let claims = bent["grants"][0]["claims"].as_str().context("claims")?;
        bent["grants"][0]["claims"] = json!(claims.replacen("250.00", "950.00", 1));
        ensure!(auditor.verify_value(&bent)?.refused(), "another amount");
        let mut bent = artefact.clone();
        bent["grants"] = json!([]);
        ensure!(auditor.verify_value(&bent)?.refused(), "half of it");
        Ok(())
    });
}

#[test]
fn so_many_reject_that_it_cannot_be_given_and_it_is_proven() {
    let name = "so_many_reject_that_it_cannot_be_given_and_it_is_proven";
    with_approvals(name, async |appliance| {
        let (bank, mut customers) = three(appliance).await?;
        let created = ask(&bank, &customers, 2).await?;
        let path = format!("/api/v1/approvals/{}", id(&created)?);
        // By the bank's word: a receipt, and no artefact.
        let body = json!({ "user_id": customers[0].id });
        let word: Value = bank.post(&format!("{path}/reject"), &body).await?.read()?;
        ensure!(
            word["status"] == "pending" && word.get("artefact").is_none(),
            "{word}"
        );
        // Signed by the customer, over a challenge that approves nothing.
        let user = customers[1].id.clone();
        let options: Value = bank
            .get(&format!("{path}/options?user_id={user}&purpose=rejection"))
            .await?
            .read()?;
        let origin = appliance.banks.a.approval_origin;
        let signed = customers[1].key.get(origin, &options)?;
        let crossed = bank
            .post(&format!("{path}/verify"), &with_user(&user, &signed))
            .await?;
        expect_code(crossed.read::<Value>(), "authentication_failed")?;
        let body = json!({ "user_id": user, "credential": signed });
        let rejected: Value = bank.post(&format!("{path}/reject"), &body).await?.read()?;
        ensure!(rejected["status"] == "rejected", "{rejected}");
        let audit = appliance.auditor().verify_value(&rejected["artefact"])?;
        ensure!(audit.accepted(), "{audit:?}");
        let late = answer(appliance, &bank, &created, &mut customers[2]).await;
        ensure!(late.is_err(), "approved after its rejection");
        ensure!(bank.approval(id(&created)?).await?["status"] == "rejected");
        Ok(())
    });
}

#[test]
fn a_rejection_sent_again_is_found_by_its_key_and_costs_nothing() {
    let name = "a_rejection_sent_again_is_found_by_its_key_and_costs_nothing";
    with_approvals(name, async |appliance| {
        let (bank, mut customers) = three(appliance).await?;
        let created = ask(&bank, &customers, 2).await?;
        let path = format!("/api/v1/approvals/{}", id(&created)?);
        let user = customers[1].id.clone();
        let options: Value = bank
            .get(&format!("{path}/options?user_id={user}&purpose=rejection"))
            .await?
            .read()?;
        let origin = appliance.banks.a.approval_origin;
        let signed = customers[1].key.get(origin, &options)?;
        let body = json!({ "user_id": user, "credential": signed });
        let key = redoubt_bank::random_name("key");
        let headers = [("idempotency-key", key.as_str())];
        let path = format!("{path}/reject");
        let first: Value = bank.post_with(&path, &body, &headers).await?.read()?;
        let again: Value = bank.post_with(&path, &body, &headers).await?.read()?;
        ensure!(first["status"] == "pending", "{first}");
        ensure!(
            first["receipt"]["claims"] == again["receipt"]["claims"],
            "{again}"
        );
        // Without the key it is another one, by somebody who answered.
        let other = bank.post(&path, &body).await?;
        expect_code(other.read::<Value>(), "already_answered")?;
        let devices = format!("/api/v1/subjects/{user}/devices");
        let devices: Value = bank.get(&devices).await?.read()?;
        let reasons = devices["devices"][0]["trust"]["reasons"].to_string();
        ensure!(
            !reasons.contains("fail") && !reasons.contains("counter"),
            "{reasons}"
        );
        Ok(())
    });
}

#[test]
fn a_cancelled_approval_is_given_by_nobody_and_its_key_finds_it() {
    let name = "a_cancelled_approval_is_given_by_nobody_and_its_key_finds_it";
    with_approvals(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let pending = bank.approve(&customer.id, &payment("250.00")).await?;
        let path = format!("/api/v1/approvals/{}/cancel", pending.approval_id);
        let key = redoubt_bank::random_name("key");
        let headers = [("idempotency-key", key.as_str())];
        let first: Value = bank.post_with(&path, &json!({}), &headers).await?.read()?;
        ensure!(first["status"] == "cancelled", "{first}");
        let again: Value = bank.post_with(&path, &json!({}), &headers).await?.read()?;
        ensure!(
            first["receipt"]["claims"] == again["receipt"]["claims"],
            "{again}"
        );
        let other = bank.post(&path, &json!({})).await?;
        expect_code(other.read::<Value>(), "approval_cancelled")?;
        let signed = customer.sign_approval(&pending)?;
        let late = bank
            .approve_verify(&pending.approval_id, &customer.id, &signed)
            .await;
        expect_code(late, "approval_cancelled")
    });
}

#[test]
fn a_batch_binds_total_and_payees_and_adds_up() {
    let name = "a_batch_binds_total_and_payees_and_adds_up";
    with_approvals(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let payee = json!({"name": "Northwind Tooling GmbH", "account": "DE89370400440532013000"});
        let one = |amount: &str| json!({"amount": amount, "payee": payee, "reference": "INVOICE"});
        let batch = |total: &str| {
            json!({"user_id": customer.id, "transaction": {
                "total": total, "currency": "EUR", "payments": [one("100.10"), one("200.20")],
            }})
        };
        let wrong = bank.post("/api/v1/approvals", &batch("300.31")).await?;
        expect_code(wrong.read::<Value>(), "invalid_transaction")?;
        // A name that reads otherwise than it is written is none to show.
        let mut turned = batch("300.30");
        turned["transaction"]["payments"][1]["payee"]["name"] = "HbmG \u{202e}gnilooT".into();
        let turned = bank.post("/api/v1/approvals", &turned).await?;
        expect_code(turned.read::<Value>(), "invalid_transaction")?;
        let right = batch("300.30");
        let created: Value = bank.post("/api/v1/approvals", &right).await?.read()?;
        let origin = appliance.banks.a.approval_origin;
        let signed = customer.key.get(origin, &created["options"])?;
        let given = bank
            .approve_verify(id(&created)?, &customer.id, &signed)
            .await?;
        let audit = appliance.auditor().verify_value(&given.artefact)?;
        ensure!(audit.accepted(), "{audit:?}");
        Ok(())
    });
}

#[test]
fn listeners_are_told_each_change_once_it_is_kept() {
    let name = "listeners_are_told_each_change_once_it_is_kept";
    with_approvals(name, async |appliance| {
        let (bank, mut customers) = three(appliance).await?;
        let created = ask(&bank, &customers, 2).await?;
        let path = format!("/api/v1/approvals/{}/events", id(&created)?);
        let listener = appliance.bank(&appliance.banks.a)?;
        let answers = async {
            for who in [0, 1] {
                tokio::time::sleep(Duration::from_millis(500)).await;
                answer(appliance, &bank, &created, &mut customers[who]).await?;
            }
            anyhow::Ok(())
        };
        let (told, answered) = tokio::join!(listener.get(&path), answers);
        answered?;
        let told = told?;
        let text = String::from_utf8(told.body.to_vec())?;
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .collect();
        let seen: Vec<(&str, u64)> = events
            .iter()
            .filter_map(|event| Some((event["status"].as_str()?, event["approved"].as_u64()?)))
            .collect();
        ensure!(
            seen == [("pending", 0), ("pending", 1), ("approved", 0)],
            "{text}"
        );
        let other = appliance.bank(&appliance.banks.b)?.get(&path).await?;
        expect_code(other.read::<Value>(), "unknown_approval")
    });
}

/// A WebSocket, as somebody else wrote it.
async fn listen(
    appliance: &Appliance,
    tenant: &Tenant,
    path: &str,
) -> Result<impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin> {
    let config = client_config(&appliance.ca()?, Some(&tenant.pem), false)?;
    let url = appliance.url();
    let host = url.trim_start_matches("https://").trim_end_matches('/');
    let stream = TcpStream::connect(host).await?;
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let (socket, _) = client_async(format!("wss://{host}{path}"), stream).await?;
    Ok(socket)
}

#[test]
fn a_websocket_tells_the_same() {
    with_approvals("a_websocket_tells_the_same", async |appliance| {
        let (bank, mut customers) = three(appliance).await?;
        let created = ask(&bank, &customers, 1).await?;
        let path = format!("/api/v1/approvals/{}/events", id(&created)?);
        let mut socket = listen(appliance, &appliance.banks.a, &path).await?;
        let mut seen = Vec::new();
        while let Some(message) = socket.next().await {
            match message? {
                Message::Text(text) => {
                    let told: Value = serde_json::from_str(&text)?;
                    seen.push(told["status"].as_str().unwrap_or("none").to_owned());
                    if seen.len() == 1 {
                        answer(appliance, &bank, &created, &mut customers[0]).await?;
                    }
                }
                Message::Close(frame) => {
                    let code = frame.map(|frame| u16::from(frame.code));
                    ensure!(code == Some(1000), "{code:?}");
                }
                _ => {}
            }
        }
        ensure!(seen == ["pending", "approved"], "{seen:?}");
        let other = listen(appliance, &appliance.banks.b, &path).await;
        let told = other.err().map(|error| error.to_string());
        ensure!(
            told.as_ref().is_some_and(|told| told.contains("404")),
            "{told:?}"
        );
        Ok(())
    });
}
