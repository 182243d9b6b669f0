//! A customer's day on the booted image, the kill in it, and what is left of it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use redoubt_bank::Bank;
use redoubt_bank::api::{Approved, PendingApproval};
use redoubt_bank::receipts::{check_all, claims};
use redoubt_e2e::behaviour::runtime;
use redoubt_e2e::customer::payment;
use redoubt_e2e::{Appliance, Customer};
use serde_json::{Value, json};

use crate::guest::{self, Tools};
use crate::report::Report;
use crate::story::unsealed;

/// The story's own slowness.
const CLOCKS_MS: u64 = 120_000;
/// Where the machine sets the guest's own clock.
const GUEST_YEAR: &str = "2001-";
/// Beyond every buffer on the way to the guest.
const LONG_BODY: usize = 2 * 1024 * 1024;

/// What the customer did and what the bank kept.
struct Day {
    customer: Customer,
    approved: Approved,
    /// Answered by the customer only after the kill.
    pending: PendingApproval,
    /// The answer that was accepted before the kill, and for what.
    spent: (String, Value),
    receipts: Vec<Value>,
}

/// A customer's day, the kill in it, and what is left of it afterwards.
pub(crate) fn tell(tools: &Tools, ours: &mut Appliance, report: &mut Report) -> Result<()> {
    let runtime = runtime();
    let bank = ours.bank(&ours.banks.a)?;
    let mut day = before(ours, &bank, &runtime, report)?;
    judged(ours, &day, report)?;
    long_streams(&bank, &day, &runtime, report)?;
    soaked(tools, &bank, &mut day, &runtime, report)?;
    report.step("the machine is killed", || {
        ours.kill_enclave();
        Ok(((), Value::Null))
    })?;
    let boot = report.step("it boots again and attests itself", || {
        let (boot, _) = guest::boot(ours)?;
        Ok((boot, serde_json::to_value(boot)?))
    })?;
    report.boots.push(boot);
    unsealed(ours, report)?;
    after(ours, &bank, &runtime, &mut day, report)?;
    judged(ours, &day, report)
}

fn before(
    ours: &Appliance,
    bank: &Bank,
    runtime: &tokio::runtime::Runtime,
    report: &mut Report,
) -> Result<Day> {
    let mut customer = Customer::new(&ours.banks.a)?;
    let mut receipts = Vec::new();
    report.step("a customer registers a passkey", || {
        let registered = runtime.block_on(customer.register(bank))?;
        ensure!(registered.verified, "{registered:?}");
        receipts.push(registered.receipt);
        Ok(((), Value::Null))
    })?;
    report.step("and logs in with it", || {
        let login = runtime.block_on(customer.login(bank))?;
        receipts.push(login.receipt);
        Ok(((), Value::Null))
    })?;
    report.step(
        "time is the security module's, not the guest's clock",
        || {
            let first = receipts.first().context("no receipt")?;
            let time_ms = claims(first)?["time_ms"].as_u64().context("no time_ms")?;
            let now_ms = now_ms()?;
            let apart_ms = now_ms.abs_diff(time_ms);
            ensure!(apart_ms < CLOCKS_MS, "{time_ms}, here {now_ms}");
            let guests = guest::own_clock(ours).context("the guest logged nothing")?;
            ensure!(
                guests.starts_with(GUEST_YEAR),
                "the guest's clock says {guests}"
            );
            Ok(((), json!({ "apart_ms": apart_ms, "guests_clock": guests })))
        },
    )?;
    let (approved, spent) = report.step("and approves a payment", || {
        let pending = runtime.block_on(bank.approve(&customer.id, &payment("250.00")))?;
        let signed = customer.sign_approval(&pending)?;
        let id = pending.approval_id;
        let approved = runtime.block_on(bank.approve_verify(&id, &customer.id, &signed))?;
        ensure!(approved.status == "approved", "{}", approved.status);
        receipts.push(approved.receipt.clone());
        Ok(((approved, (id, signed)), Value::Null))
    })?;
    let pending = report.step("and leaves another one open", || {
        let asked = runtime.block_on(bank.approve(&customer.id, &payment("17.20")))?;
        Ok((asked, Value::Null))
    })?;
    Ok(Day {
        customer,
        approved,
        pending,
        spent,
        receipts,
    })
}

fn after(
    ours: &Appliance,
    bank: &Bank,
    runtime: &tokio::runtime::Runtime,
    day: &mut Day,
    report: &mut Report,
) -> Result<()> {
    report.step(
        "every receipt of before is found and verifies offline",
        || {
            let checked = runtime.block_on(check_all(bank, &ours.auditor(), &day.receipts))?;
            ensure!(checked.bad.is_empty(), "{:?}", checked.bad);
            ensure!(checked.good == day.receipts.len(), "{} found", checked.good);
            Ok(((), json!({ "receipts": checked.good })))
        },
    )?;
    report.step("what was spent stays spent", || {
        let (id, signed) = &day.spent;
        let again = runtime.block_on(bank.approve_verify(id, &day.customer.id, signed));
        ensure!(again.is_err(), "an approval was given twice");
        let kept = runtime.block_on(bank.approval(id))?;
        ensure!(kept["status"] == "approved", "{kept}");
        Ok(((), Value::Null))
    })?;
    report.step("the passkey still opens the account", || {
        let login = runtime.block_on(day.customer.login(bank))?;
        day.receipts.push(login.receipt);
        Ok(((), Value::Null))
    })?;
    report.step("the payment that was left open is approved", || {
        let signed = day.customer.sign_approval(&day.pending)?;
        let id = &day.pending.approval_id;
        day.approved = runtime.block_on(bank.approve_verify(id, &day.customer.id, &signed))?;
        day.receipts.push(day.approved.receipt.clone());
        Ok(((), Value::Null))
    })
}

/// Bodies longer than any buffer on the way arrive whole, in both directions.
fn long_streams(
    bank: &Bank,
    day: &Day,
    runtime: &tokio::runtime::Runtime,
    report: &mut Report,
) -> Result<()> {
    report.step("a long request is read to its end and answered", || {
        // No worker is here, which is found out after the whole body.
        let sample = vec![0x5a; LONG_BODY];
        let reply = runtime.block_on(bank.verify_raw(&day.customer.id, &sample))?;
        let problem: Value = serde_json::from_slice(&reply.body)?;
        ensure!(problem["code"] == "worker_unavailable", "{problem}");
        Ok(((), json!({ "bytes": LONG_BODY, "answer": problem["code"] })))
    })?;
    report.step("a long answer arrives whole", || {
        let reply = runtime.block_on(bank.get("/openapi.json"))?;
        let document: Value = serde_json::from_slice(&reply.body)?;
        ensure!(document["openapi"].is_string(), "{document}");
        Ok(((), json!({ "bytes": reply.body.len() })))
    })
}

/// Serves across readings of the module's clock, if that was asked for.
fn soaked(
    tools: &Tools,
    bank: &Bank,
    day: &mut Day,
    runtime: &tokio::runtime::Runtime,
    report: &mut Report,
) -> Result<()> {
    if tools.soak.is_zero() {
        return Ok(());
    }
    report.step("it still serves after a while", || {
        std::thread::sleep(tools.soak);
        let login = runtime.block_on(day.customer.login(bank))?;
        day.receipts.push(login.receipt);
        Ok(((), json!({ "seconds": tools.soak.as_secs() })))
    })
}

/// The artefact that the bank keeps, judged by a program without sockets.
fn judged(ours: &Appliance, day: &Day, report: &mut Report) -> Result<()> {
    report.step("the approval verifies offline", || {
        let audit = ours.auditor().verify_value(&day.approved.artefact)?;
        ensure!(audit.accepted(), "{} {}", audit.json, audit.stderr);
        let environment = &audit.json["environment"];
        ensure!(environment == "emulated", "it counts as {environment}");
        Ok(((), Value::Null))
    })
}

fn now_ms() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}
