//! A tenant's own policy through the real programs: taken, asked, gone back from, and
//! never in anybody's way but its tenant's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_bank::{Bank, BankError};
use redoubt_e2e::bundles::{PATH, STRICTER, Signers, bundle, ledger_of, put};
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::sessions::introspect;
use redoubt_e2e::{Appliance, Customer, Needs, alone};
use serde_json::{Value, json};

fn rules(rules: &str) -> String {
    format!("package redoubt\nimport rego.v1\n{rules}\ntest_it_is_read if true\n")
}

async fn back(
    bank: &Bank,
    signers: &Signers,
    ledger: &str,
    version: u64,
    after: u64,
) -> Result<Result<Value, BankError>> {
    let order = json!({
        "type": "redoubt/policy-rollback/v1", "tenant": "bank-a", "ledger": ledger,
        "version": version, "after": after,
    });
    let order = json!({ "order": signers.sign(&order, 2)? });
    let reply = bank.post(&format!("{PATH}/rollback"), &order).await;
    Ok(reply.and_then(|reply| reply.read()))
}

async fn refused(outcome: Result<Value, BankError>, reason: &str) -> Result<()> {
    let text = format!("{outcome:?}");
    expect_code(outcome, "policy_refused")?;
    ensure!(
        text.contains(&format!("{reason}: ")),
        "not {reason}: {text}"
    );
    Ok(())
}

/// Claims of one type, oldest first.
async fn claims(bank: &Bank, kind: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/audit/events?type={kind}&limit=100");
    let page: Value = bank.get(&path).await?.read()?;
    let events = page["events"].as_array().context("events")?;
    Ok(events.iter().map(|event| event["claims"].clone()).collect())
}

fn scene(name: &str, signers: &Signers, behaviour: impl AsyncFnOnce(&mut Appliance) -> Result<()>) {
    alone(name, Needs::Programs, signers.options(), behaviour);
}

#[test]
fn a_bundle_rules_from_its_activation_on_and_over_a_killed_appliance() {
    let signers = Signers::new().expect("keys");
    let name = "a_bundle_rules_from_its_activation_on_and_over_a_killed_appliance";
    scene(name, &signers, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let ledger = ledger_of(appliance)?;
        let mut alice = Customer::registered(&bank, &appliance.banks.a).await?;
        alice.approve(&bank, &payment("200000.00")).await?;
        let other = appliance.bank(&appliance.banks.b)?;
        let stricter = bundle(&ledger, 1, &STRICTER);
        let signed = signers.sign(&stricter, 2)?;
        expect_code(put(&other, &signed).await, "policy_not_configured")?;
        refused(put(&bank, &signers.sign(&stricter, 1)?).await, "not_signed").await?;

        let done = put(&bank, &signed).await?;
        ensure!(done["activation"] == 1 && done["version"] == 1, "{done}");
        ensure!(done["tests"].as_array().map(Vec::len) == Some(4), "{done}");
        let digest = done["digest"].as_str().context("digest")?.to_owned();
        refused(put(&bank, &signed).await, "version_rolled_back").await?;

        // What the typed rules allow and the bundle does not.
        let large = bank.approve(&alice.id, &payment("200000.00")).await;
        expect_code(large, "policy_denied")?;
        alice.approve(&bank, &payment("99.00")).await?;
        alice.login(&bank).await?;
        let asked = claims(&bank, "approval_request").await?;
        ensure!(asked[0].get("policy_bundle").is_none(), "{asked:?}");
        let no = json!({ "effect": "deny", "reasons": ["over_limit"] });
        ensure!(
            asked.iter().any(|claim| claim["policy_ruling"] == no),
            "{asked:?}"
        );
        let logins = claims(&bank, "passkey_authentication").await?;
        let last = logins.last().context("a login")?;
        ensure!(last["policy_bundle"] == digest, "{last}");

        // Both verifiers read the receipt, and show which bundle ruled.
        let receipt = bank
            .receipt(last["receipt_id"].as_str().context("id")?)
            .await?;
        let report = appliance.auditor().verify_value(&receipt)?;
        ensure!(report.accepted(), "{report:?}");

        let locked = rules(
            "decision := {\"effect\": \"deny\", \"reasons\": [\"closed\"]} if input.place == \"login\"",
        );
        put(&bank, &signers.sign(&bundle(&ledger, 2, &[&locked]), 2)?).await?;
        expect_code(alice.login(&bank).await, "authentication_failed")?;
        // The same reason to nobody but the audit; and undefined is a no.
        let logins = claims(&bank, "passkey_authentication").await?;
        let last = logins.last().context("a login")?;
        ensure!(
            last["policy_ruling"]["reasons"] == json!(["closed"]),
            "{last}"
        );
        let asked = bank.approve(&alice.id, &payment("1.00")).await;
        expect_code(asked, "policy_denied")?;

        appliance.kill_all()?;
        appliance.bring_up()?;
        let bank = appliance.bank(&appliance.banks.a)?;
        expect_code(alice.login(&bank).await, "authentication_failed")?;
        refused(back(&bank, &signers, &ledger, 1, 1).await?, "order_spent").await?;
        refused(
            back(&bank, &signers, &ledger, 7, 2).await?,
            "unknown_version",
        )
        .await?;
        let done = back(&bank, &signers, &ledger, 1, 2).await??;
        ensure!(
            done["activation"] == 3 && done["digest"] == digest,
            "{done}"
        );
        refused(back(&bank, &signers, &ledger, 1, 2).await?, "order_spent").await?;
        alice.login(&bank).await?;
        let shown: Value = bank.get(PATH).await?.read()?;
        ensure!(
            shown["active"]["version"] == 1 && shown["active"]["rollback"] == true,
            "{shown}"
        );
        ensure!(
            shown["history"].as_array().map(Vec::len) == Some(3),
            "{shown}"
        );
        back(&bank, &signers, &ledger, 0, 3).await??;
        alice.approve(&bank, &payment("200000.00")).await?;
        Ok(())
    });
}

#[test]
fn a_step_up_lowers_a_session_and_asks_for_a_second_device() {
    let signers = Signers::new().expect("keys");
    let name = "a_step_up_lowers_a_session_and_asks_for_a_second_device";
    scene(name, &signers, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let ledger = ledger_of(appliance)?;
        let mut alice = Customer::registered(&bank, &appliance.banks.a).await?;
        let before = alice.login(&bank).await?;
        let more = rules("decision := {\"effect\": \"step_up\"}");
        put(&bank, &signers.sign(&bundle(&ledger, 1, &[&more]), 2)?).await?;
        let after = alice.login(&bank).await?;
        for (session, level) in [(before, "aal2"), (after, "aal1")] {
            let told = introspect(&bank, &session.session_token).await?;
            ensure!(told["acr"] == format!("urn:redoubt:acr:{level}"), "{told}");
        }
        let asked = bank.approve(&alice.id, &payment("1.00")).await;
        expect_code(asked, "second_device_required")?;
        Ok(())
    });
}

#[test]
fn what_does_not_hold_is_not_taken_and_says_why() {
    let signers = Signers::new().expect("keys");
    let name = "what_does_not_hold_is_not_taken_and_says_why";
    scene(name, &signers, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let ledger = ledger_of(appliance)?;
        let allow = "decision := {\"effect\": \"allow\"}";
        let deep = format!(
            "{allow}\nx := {}1{}",
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        for (reason, text) in [
            ("does_not_compile", rules("decision := {")),
            ("test_failed", rules(&format!("{allow}\ntest_no if false"))),
            (
                "forbidden_builtin",
                rules(&format!("{allow}\nx := time.now_ns()")),
            ),
            (
                "no_tests",
                format!("package redoubt\nimport rego.v1\n{allow}"),
            ),
            ("no_decision", rules("verdict := 1")),
            (
                "crashed",
                rules(&format!(
                    "{allow}\ntest_big if count(numbers.range(1, 1000000000)) > 0"
                )),
            ),
        ] {
            let signed = signers.sign(&bundle(&ledger, 1, &[&text]), 2)?;
            refused(put(&bank, &signed).await, reason).await?;
        }
        let signed = signers.sign(&bundle(&ledger, 1, &[&rules(&deep)]), 2)?;
        expect_code(put(&bank, &signed).await, "policy_refused")?;
        let mut changed = signers.sign(&bundle(&ledger, 1, &[&rules(allow)]), 2)?;
        changed["payload"] =
            signers.sign(&bundle(&ledger, 2, &[&rules(allow)]), 2)?["payload"].clone();
        refused(put(&bank, &changed).await, "not_signed").await?;
        // What the same people signed for another appliance.
        let elsewhere = "ab".repeat(16);
        let signed = signers.sign(&bundle(&elsewhere, 1, &[&rules(allow)]), 2)?;
        refused(put(&bank, &signed).await, "other_ledger").await?;
        let order = back(&bank, &signers, &elsewhere, 0, 0).await?;
        refused(order, "other_ledger").await?;
        let shown: Value = bank.get(PATH).await?.read()?;
        ensure!(
            shown["active"].is_null() && shown["history"] == json!([]),
            "{shown}"
        );
        Ok(())
    });
}

#[test]
fn a_policy_without_an_end_is_a_no_and_holds_up_its_own_tenant_alone() {
    let signers = Signers::new().expect("keys");
    let name = "a_policy_without_an_end_is_a_no_and_holds_up_its_own_tenant_alone";
    scene(name, &signers, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let ledger = ledger_of(appliance)?;
        let other = appliance.bank(&appliance.banks.b)?;
        let mut alice = Customer::registered(&bank, &appliance.banks.a).await?;
        let mut bob = Customer::registered(&other, &appliance.banks.b).await?;
        // No end at logins, too much memory at approvals.
        let hostile = rules(
            "all := numbers.range(1, 3000)\n\
             endless if { some a in all; some b in all; some c in all; some d in all; a + b + c + d == 0 }\n\
             effect := \"allow\" if { input.place == \"login\"; not endless }\n\
             effect := \"allow\" if { input.place == \"approval_request\"; count(numbers.range(1, 1000000000)) > 0 }\n\
             decision := {\"effect\": effect}",
        );
        put(&bank, &signers.sign(&bundle(&ledger, 1, &[&hostile]), 2)?).await?;
        for _ in 0..3 {
            let (denied, served) = tokio::join!(alice.login(&bank), bob.login(&other));
            expect_code(denied, "authentication_failed")?;
            served?;
        }
        let logins = claims(&bank, "passkey_authentication").await?;
        for claim in &logins {
            ensure!(
                claim["policy_ruling"]["reasons"] == json!(["policy_budget"]),
                "{claim}"
            );
        }
        let one = payment("1.00");
        let (denied, served) =
            tokio::join!(bank.approve(&alice.id, &one), bob.approve(&other, &one));
        expect_code(denied, "policy_denied")?;
        served?;
        let asked = claims(&bank, "approval_request").await?;
        let last = asked.last().context("a request")?;
        let died = &last["policy_ruling"]["reasons"];
        ensure!(*died == json!(["policy_crashed"]), "{last}");
        // Nothing is left that would be in the way of the bundle after it.
        let calm = rules("decision := {\"effect\": \"allow\"}");
        put(&bank, &signers.sign(&bundle(&ledger, 2, &[&calm]), 2)?).await?;
        alice.login(&bank).await?;
        Ok(())
    });
}

#[test]
fn a_dry_run_lists_what_would_change_and_changes_nothing() {
    let signers = Signers::new().expect("keys");
    let name = "a_dry_run_lists_what_would_change_and_changes_nothing";
    scene(name, &signers, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let ledger = ledger_of(appliance)?;
        let mut alice = Customer::registered(&bank, &appliance.banks.a).await?;
        alice.login(&bank).await?;
        alice.approve(&bank, &payment("200000.00")).await?;
        alice.approve(&bank, &payment("2.00")).await?;
        let trial = json!({ "bundle": bundle(&ledger, 1, &STRICTER) });
        let path = format!("{PATH}/dry-run");
        let begun = Instant::now();
        let told: Value = bank.post(&path, &trial).await?.read()?;
        ensure!(begun.elapsed() < Duration::from_secs(60));
        // A login, two requests and two answers; the large one is two of them.
        ensure!(told["decisions"] == 5, "{told}");
        let changes = told["changes"].as_array().context("changes")?;
        let no: Vec<_> = changes
            .iter()
            .filter(|one| one["would_be"]["effect"] == "deny")
            .collect();
        ensure!(
            no.len() == 2 && told["unchanged"] == json!(5 - changes.len()),
            "{told}"
        );
        ensure!(
            no[0]["input"]["payment"]["total_e4"] == 2_000_000_000u64,
            "{told}"
        );
        ensure!(
            no[0]["was"] == json!({ "effect": "allow", "reasons": [] }),
            "{told}"
        );
        bank.receipt(no[0]["receipt_id"].as_str().context("receipt_id")?)
            .await?;
        let shown: Value = bank.get(PATH).await?.read()?;
        ensure!(shown["active"].is_null(), "{shown}");
        alice.approve(&bank, &payment("200000.00")).await?;
        Ok(())
    });
}
