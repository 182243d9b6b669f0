//! A running enclave gives its secret to another one; banks see one ledger.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use redoubt_attestation::attester::{AttestRequest, Attester, EmulatedAttester};
use redoubt_attestation::binding::{Binding, NonceInput, user_data};
use redoubt_attestation::encode::{b64u, from_b64u};
use redoubt_bank::receipts::{check_all, claims};
use redoubt_bank::{Bank, BankError};
use redoubt_e2e::Customer;
use redoubt_e2e::appraisal::{appraisal_policy, pcr0};
use redoubt_e2e::customer::payment;
use redoubt_e2e::desk::{Desk, desk};
use redoubt_e2e::handover::read;
use redoubt_e2e::peers::Duty;
use redoubt_e2e::process::{run, run_ok};
use serde_json::{Value, json};

#[test]
fn one_ledger_goes_on_at_another_enclave() {
    let name = "one_ledger_goes_on_at_another_enclave";
    let duties = [(Duty::Witness, 2), (Duty::Custodian, 2)];
    desk(name, 2, &duties, async |desk| {
        let bank = desk.bank()?;
        let mut customer = Customer::registered(&bank, &desk.appliance.banks.a).await?;
        let before = customer.login(&bank).await?;
        let pending = bank.approve(&customer.id, &payment("10.00")).await?;

        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;

        // The CA that was pinned before is the one that answers now.
        let bank = desk.bank()?;
        let answer = customer.sign_approval(&pending)?;
        let approved = bank
            .approve_verify(&pending.approval_id, &customer.id, &answer)
            .await?;
        let after = customer.login(&bank).await?;
        let kept = [before.receipt, approved.receipt, after.receipt];
        let checked = check_all(&bank, &desk.appliance.auditor(), &kept).await?;
        ensure!(checked.good == 3, "{checked:?}");

        // The officers' secret is there, too: a new epoch begins at the new enclave.
        let officer = desk.officer()?;
        let begun = officer.post("/api/v1/epochs/rotate", &json!({})).await?;
        begun.read::<Value>()?;
        let epochs: Value = officer.get("/api/v1/epochs").await?.read()?;
        ensure!(epochs["epoch"] == 1, "{epochs}");
        customer.login(&bank).await?;

        // The whole store is one history, entry by entry, and the tenant's export too.
        let export = bank.get("/api/v1/audit/export?from=0").await?;
        let file = desk.file("export.jsonl");
        std::fs::write(&file, &export.body)?;
        desk.appliance.kill_all()?;
        for history in [&file, &desk.appliance.store_dir()] {
            let mut verify = Command::new(desk.appliance.program("redoubt-audit"));
            run_ok(verify.args(["ledger", "verify"]).arg(history))?;
        }
        Ok(())
    });
}

/// The recipient's evidence as an image would give it that no manifest names.
fn of_another_image(desk: &Desk, order: &Value) -> Result<Value> {
    let folder = desk.appliance.genesis_dir().join("emulated");
    let text = |name: &str| std::fs::read_to_string(folder.join(name));
    let (root, key) = (text("root.pem")?, text("root.key")?);
    let attester = EmulatedAttester::dangerous_new(&root, &key, b"another program", 0)?;
    let evidence = &order["evidence"];
    let bytes = |name: &str| from_b64u(evidence[name].as_str().unwrap_or_default());
    let preimage = bytes("preimage")?;
    let nonce = NonceInput::Session {
        client_nonce: &bytes("client_nonce")?,
        exporter: &bytes("exporter")?.try_into().ok().context("exporter")?,
    };
    let document = attester.attest(&AttestRequest {
        public_key: Some(Binding::parse(&preimage)?.public_key()),
        user_data: Some(user_data(&preimage).to_vec()),
        nonce: Some(nonce.hash().0.to_vec()),
    })?;
    let mut order = order.clone();
    order["evidence"]["document"] = b64u(&document).into();
    Ok(order)
}

fn changed(order: &Value, member: &str, value: impl Into<Value>) -> Value {
    let mut order = order.clone();
    order[member] = value.into();
    order
}

#[test]
fn an_order_is_obeyed_once_and_only_as_it_was_signed() {
    let name = "an_order_is_obeyed_once_and_only_as_it_was_signed";
    desk(name, 0, &[], async |desk| {
        let bank = desk.bank()?;
        let mut customer = Customer::registered(&bank, &desk.appliance.banks.a).await?;
        let order = desk.order()?;
        let other = "00".repeat(32);
        let (term, counter) = (&order["term"], &order["counter"]);
        let lower = |value: &Value| value.as_u64().map(|value| value - 1).context("a number");
        for (code, bent) in [
            (
                "order_other_manifest",
                changed(&order, "genesis", other.clone()),
            ),
            (
                "order_other_manifest",
                changed(&order, "counter", lower(counter)?),
            ),
            (
                "order_other_config",
                changed(&order, "config", other.clone()),
            ),
            (
                "order_other_ledger",
                changed(&order, "appliance", "00".repeat(16)),
            ),
            ("order_other_giver", changed(&order, "giver", other.clone())),
            ("order_other_giver", changed(&order, "term", lower(term)?)),
            (
                "order_other_recipient",
                changed(&order, "recipient", other.clone()),
            ),
            ("order_expired", changed(&order, "not_after_ms", 1)),
            ("order_recipient_refused", of_another_image(desk, &order)?),
            (
                "malformed_request",
                json!({ "type": "redoubt/handover-order/v1" }),
            ),
        ] {
            let (said, detail) = desk.refusal(&bent).await?;
            ensure!(said == code, "{code}: {said}: {detail}");
            let measured = detail.contains("measurement_not_allowed");
            ensure!(measured == (code == "order_recipient_refused"), "{detail}");
        }
        let mut signed = desk.papers.sign_blindly(&order)?;
        let mut unsigned = signed.clone();
        unsigned["signatures"] = json!([]);
        ensure!(desk.refusal_of(&unsigned).await?.0 == "order_not_signed");
        let bent = serde_json::to_vec(&changed(&order, "not_after_ms", 2))?;
        unsigned["signatures"] = signed["signatures"].take();
        unsigned["payload"] = b64u(&bent).into();
        ensure!(desk.refusal_of(&unsigned).await?.0 == "order_not_signed");
        // Nothing of that moved it, and banks' clients order nothing.
        customer.login(&bank).await?;
        let signed = desk.papers.sign_blindly(&order)?;
        let by_a_bank = desk.papers.give(&bank, &signed).await?;
        ensure!(by_a_bank.status == 403, "{by_a_bank:?}");

        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        let spent = read(&desk.file("order.json"))?;
        let order: Value = serde_json::from_slice(&std::fs::read(desk.file("order.plain.json"))?)?;

        // A third enclave of the same image, in the place of the first: there is
        // nothing for it, and the order of before is good for nobody.
        desk.appliance.kill_enclave();
        desk.another()?;
        let third = desk.order()?;
        ensure!(desk.refusal_of(&spent).await?.0 == "order_spent");
        let again = changed(&third, "order", order["order"].clone());
        ensure!(desk.refusal(&again).await?.0 == "order_spent");
        let place = desk.waiting()?;
        let said = run_ok(&mut desk.papers.take(&place, &order["order"]))?.stdout;
        let said: Value = serde_json::from_slice(&said).context("no problem")?;
        ensure!(said["code"] == "no_envelope", "{said}");
        customer.login(&bank).await?;

        // Nor after everything was started again.
        desk.appliance.kill_all()?;
        desk.appliance.bring_up()?;
        customer.login(&desk.bank()?).await?;
        ensure!(desk.refusal_of(&spent).await?.0 == "order_spent");
        Ok(())
    });
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_handover_interrupted_anywhere_goes_on_or_never_was() {
    let name = "a_handover_interrupted_anywhere_goes_on_or_never_was";
    desk(name, 0, &[], async |desk| {
        let mut customer = Customer::registered(&desk.bank()?, &desk.appliance.banks.a).await?;

        // The giver dies before its last entry: nothing happened, and officers unseal.
        let signed = desk.signed()?;
        desk.appliance.kill_enclave();
        let lost = run(&mut desk.run(&signed)?)?;
        ensure!(!lost.status.success());
        ensure!(said(&lost).contains("no_envelope"), "{}", said(&lost));
        desk.appliance.bring_up()?;
        customer.login(&desk.bank()?).await?;
        let (code, _) = desk.refusal_of(&read(&signed)?).await?;
        ensure!(code == "order_other_giver", "{code}");

        // It dies after it, before anybody was told: the same command goes on.
        let signed = desk.signed()?;
        let given = desk.papers.give(&desk.officer()?, &read(&signed)?).await?;
        ensure!(given.status == 200, "{given:?}");
        let refused = customer.login(&desk.bank()?).await;
        let status = refused.as_ref().err().and_then(BankError::status);
        ensure!(status == Some(503), "{refused:?}");
        desk.appliance.kill_enclave();
        run_ok(&mut desk.run(&signed)?)?;
        desk.until_served().await?;
        customer.login(&desk.bank()?).await?;
        // And once more does no harm.
        let again = run_ok(&mut desk.run(&signed)?)?;
        ensure!(String::from_utf8_lossy(&again.stdout).contains("serves"));

        // Both are gone, the taker before it took anything: the officers open a new one.
        desk.another()?;
        let signed = desk.signed()?;
        let given = desk.papers.give(&desk.officer()?, &read(&signed)?).await?;
        ensure!(given.status == 200, "{given:?}");
        desk.appliance.kill_enclave();
        desk.appliance.kill_standby();
        desk.another()?;
        let place = desk.waiting()?;
        desk.appliance.unseal_at(&place)?;
        desk.until_served().await?;
        let after = customer.login(&desk.bank()?).await?;
        let kept = [after.receipt];
        let checked = check_all(&desk.bank()?, &desk.appliance.auditor(), &kept).await?;
        ensure!(checked.good == 1, "{checked:?}");
        Ok(())
    });
}

#[test]
fn no_order_names_an_image_that_the_officers_withdrew() {
    let name = "no_order_names_an_image_that_the_officers_withdrew";
    desk(name, 0, &[], async |desk| {
        desk.order()?;
        let image = pcr0(&desk.appliance, &desk.appliance.program("redoubt-enclave"))?;
        let withdrawn = appraisal_policy(&desk.appliance, 2, &[&image])?;
        let harmless = appraisal_policy(&desk.appliance, 3, &[])?;
        let (judge, remember) = (Path::new("--appraisal"), Path::new("--memory"));
        let memory = desk.file("memory.json");
        let signed = desk.papers.try_sign(&[remember, &memory])?;
        ensure!(signed["signatures_missing"] == 0, "{signed}");
        let refused = desk
            .papers
            .try_sign(&[judge, &withdrawn, remember, &memory])?;
        ensure!(refused["code"] == "image_withdrawn", "{refused}");
        // The memory asks for a policy from then on.
        let refused = desk.papers.try_sign(&[remember, &memory])?;
        let said = refused["error"].as_str().unwrap_or_default();
        ensure!(said.contains("counter 2 was used before"), "{refused}");
        let signed = desk
            .papers
            .try_sign(&[judge, &harmless, remember, &memory])?;
        ensure!(signed["signatures_missing"] == 0, "{signed}");
        Ok(())
    });
}

#[test]
fn a_rotation_that_waits_for_shares_gives_way_to_an_order() {
    let name = "a_rotation_that_waits_for_shares_gives_way_to_an_order";
    desk(name, 0, &[], async |desk| {
        let next = desk.successor("next", &[])?;
        let file = |name: &str| read(&next.join(name));
        let body = json!({ "genesis": file("genesis.json")?, "config": file("config.json")? });
        let officer = desk.officer()?;
        let begun = officer.post("/api/v1/epochs/rotate", &body).await?;
        ensure!(begun.status == 202, "{begun:?}");
        let rotation = async |officer: &Bank| -> Result<Value> {
            let mut status: Value = officer.get("/api/v1/epochs").await?.read()?;
            Ok(status["rotation"].take())
        };

        // It waits on where the order is refused, and is gone where it is obeyed.
        let order = desk.order()?;
        let (code, _) = desk.refusal(&changed(&order, "not_after_ms", 1)).await?;
        ensure!(code == "order_expired", "{code}");
        ensure!(rotation(&officer).await?["stage"] == "awaiting_shares");
        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        let officer = desk.officer()?;
        ensure!(rotation(&officer).await?.is_null());
        let share = json!({
            "officer": "officer-1", "aad": b64u(b"{}"), "enc": b64u(b"e"), "ciphertext": b64u(b"c"),
        });
        let told = officer.post("/api/v1/unseal/share", &share).await?;
        let told: Value = serde_json::from_slice(&told.body)?;
        let detail = told["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains("begin it again"), "{told}");
        Ok(())
    });
}

#[test]
fn officers_halt_the_enclave_they_name_and_no_other() {
    let name = "officers_halt_the_enclave_they_name_and_no_other";
    desk(name, 0, &[], async |desk| {
        let mut customer = Customer::registered(&desk.bank()?, &desk.appliance.banks.a).await?;
        let (serves, waits) = (desk.appliance.url(), desk.waiting()?);
        let signed = desk.papers.halt_order(&waits)?;
        let order = read(&signed)?;

        // Another enclave's, nobody's, and a bank's.
        let code = async |order: &Value| -> Result<String> {
            let officer = desk.officer()?;
            let reply = officer
                .post("/api/v1/halt", &json!({ "order": order }))
                .await?;
            let problem: Value = serde_json::from_slice(&reply.body)?;
            Ok(problem["code"].as_str().unwrap_or_default().to_owned())
        };
        ensure!(code(&order).await? == "order_other_giver");
        let mut unsigned = order.clone();
        unsigned["signatures"] = json!([]);
        ensure!(code(&unsigned).await? == "order_not_signed");
        let payload: Value =
            serde_json::from_slice(&from_b64u(order["payload"].as_str().unwrap_or_default())?)?;
        let other = "00".repeat(32);
        for (name, member, value) in [
            ("order_expired", "not_after_ms", json!(1)),
            ("order_other_manifest", "genesis", json!(other)),
            ("order_other_ledger", "appliance", json!("00".repeat(16))),
            (
                "malformed_request",
                "type",
                json!("redoubt/handover-order/v1"),
            ),
        ] {
            let bent = desk
                .papers
                .sign_blindly(&changed(&payload, member, value))?;
            ensure!(code(&bent).await? == name, "{name}");
        }
        let body = json!({ "order": order });
        let by_a_bank = desk.bank()?.post("/api/v1/halt", &body).await?;
        ensure!(by_a_bank.status == 403, "{by_a_bank:?}");
        let elsewhere = run(&mut desk.papers.halt(&serves, &signed))?;
        ensure!(
            said(&elsewhere).contains("leads to the enclave"),
            "{}",
            said(&elsewhere)
        );
        customer.login(&desk.bank()?).await?;

        // The one that waits ends, takes nothing any more, and says so again.
        for _ in 0..2 {
            run_ok(&mut desk.papers.halt(&waits, &signed))?;
        }
        ensure!(desk.appliance.phase_at(&waits)? == "halted");
        ensure!(
            desk.appliance.unseal_at(&waits).is_err(),
            "a halted enclave was unsealed"
        );
        customer.login(&desk.bank()?).await?;

        // And one that serves.
        let signed = desk.papers.halt_order(&serves)?;
        run_ok(&mut desk.papers.halt(&serves, &signed))?;
        let refused = customer.login(&desk.bank()?).await;
        let status = refused.as_ref().err().and_then(BankError::status);
        ensure!(status == Some(503), "{refused:?}");
        desk.appliance.kill_enclave();
        desk.appliance.kill_standby();
        desk.another()?;
        let place = desk.waiting()?;
        desk.appliance.unseal_at(&place)?;
        desk.until_served().await?;
        customer.login(&desk.bank()?).await?;
        Ok(())
    });
}

#[test]
fn the_ledger_goes_on_under_a_later_configuration() {
    let name = "the_ledger_goes_on_under_a_later_configuration";
    desk(name, 0, &[], async |desk| {
        let mut customer = Customer::registered(&desk.bank()?, &desk.appliance.banks.a).await?;
        let before = customer.login(&desk.bank()?).await?.receipt;
        let file = desk.appliance.boot_dir().join("config.json");
        let present = read(&file)?;
        let payload = from_b64u(present["payload"].as_str().context("payload")?)?;
        let config: Value = serde_json::from_slice(&payload)?;
        let counter = config["counter"].as_u64().context("counter")?;
        let next = desk
            .papers
            .sign_blindly(&changed(&config, "counter", counter + 1))?;
        desk.appliance.kill_standby();
        std::fs::write(&file, serde_json::to_vec(&next)?)?;
        desk.appliance.start_standby()?;

        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        let after = customer.login(&desk.bank()?).await?.receipt;
        ensure!(claims(&before)?["config"] != claims(&after)?["config"]);
        let kept = [before, after];
        let checked = check_all(&desk.bank()?, &desk.appliance.auditor(), &kept).await?;
        ensure!(checked.good == 2, "{checked:?}");
        Ok(())
    });
}

#[test]
fn a_silent_custodian_does_not_hold_a_handover_up() {
    let name = "a_silent_custodian_does_not_hold_a_handover_up";
    desk(name, 2, &[(Duty::Custodian, 1)], async |desk| {
        let mut customer = Customer::registered(&desk.bank()?, &desk.appliance.banks.a).await?;
        desk.peers.as_mut().context("no custodians")?.kill(1);
        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        customer.login(&desk.bank()?).await?;
        Ok(())
    });
}
