//! A tenant's passkey policy, and logins that name nobody.

use anyhow::{Result, ensure};
use redoubt_bank::api::b64u;
use redoubt_bank::{Bank, BankError, PremadeKey, random_name};
use redoubt_e2e::appliance::Options;
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::sessions::is_active;
use redoubt_e2e::{Appliance, Customer, Needs, Shared, alone, shared};
use serde_json::{Value, json};

const OPTIONS: &str = "/api/v1/passkeys/authenticate/options";
const VERIFY: &str = "/api/v1/passkeys/authenticate/verify";
const DENIED: &str = "0badc0de-0000-4000-8000-000000000001";

const DENIED_BYTES: [u8; 16] = *b"\x0b\xad\xc0\xde\0\0\x40\0\x80\0\0\0\0\0\0\x01";

static APPLIANCE: Shared = Shared::new();

fn with_passkeys(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

/// A customer and the user handle that their options named.
struct Found {
    customer: Customer,
    handle: Value,
}

impl Found {
    async fn registered(appliance: &Appliance, bank: &Bank) -> Result<Self> {
        Self::of_model(appliance, bank, [0; 16]).await
    }

    async fn of_model(appliance: &Appliance, bank: &Bank, model: [u8; 16]) -> Result<Self> {
        let tenant = &appliance.banks.a;
        let mut customer = Customer::new(tenant)?;
        customer.key.set_aaguid(model);
        let options = bank.register_options(&customer.id).await?;
        let created = customer.key.create(tenant.origin, &options)?;
        bank.register_verify(&customer.id, &created).await?;
        let handle = options["user"]["id"].clone();
        Ok(Self { customer, handle })
    }

    /// Signs fresh options that name nobody, and claims to be who `handle` says.
    async fn answer(&mut self, bank: &Bank, origin: &str, handle: &Value) -> Result<Value> {
        let options: Value = bank.post(OPTIONS, &json!({})).await?.read()?;
        ensure!(options["allowCredentials"] == json!([]), "{options}");
        let mut signed = self.customer.key.get(origin, &options)?;
        if !handle.is_null() {
            signed["response"]["userHandle"] = handle.clone();
        }
        Ok(signed)
    }
}

async fn verify(bank: &Bank, signed: &Value) -> Result<Value, BankError> {
    bank.post(VERIFY, signed).await?.read()
}

#[test]
fn a_login_that_names_nobody_finds_its_customer() {
    let name = "a_login_that_names_nobody_finds_its_customer";
    with_passkeys(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let origin = appliance.banks.a.origin;
        let mut alice = Found::registered(appliance, &bank).await?;
        let handle = alice.handle.clone();
        let signed = alice.answer(&bank, origin, &handle).await?;
        let done = verify(&bank, &signed).await?;
        ensure!(done["user_id"] == alice.customer.id.as_str(), "{done}");
        ensure!(
            done["receipt"]["claims"]
                .as_str()
                .is_some_and(|c| c.contains(&alice.customer.id))
        );
        expect_code(verify(&bank, &signed).await, "authentication_failed")
    });
}

/// The lesson of YSA-2026-02: neither a credential nor a user handle alone says who it is.
#[test]
fn no_mixture_of_two_customers_logs_anybody_in() {
    let name = "no_mixture_of_two_customers_logs_anybody_in";
    with_passkeys(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let origin = appliance.banks.a.origin;
        let mut alice = Found::registered(appliance, &bank).await?;
        let mut bob = Found::registered(appliance, &bank).await?;
        let (of_alice, of_bob) = (alice.handle.clone(), bob.handle.clone());
        let id_of_bob = {
            let signed = bob.answer(&bank, origin, &of_bob).await?;
            verify(&bank, &signed).await?;
            signed["id"].clone()
        };
        let mut answers = Vec::new();
        // Alice's signature with Bob's handle, with Bob's id, with both, with no handle.
        for (handle, id) in [
            (&of_bob, None),
            (&of_alice, Some(&id_of_bob)),
            (&of_bob, Some(&id_of_bob)),
            (&Value::Null, None),
            (&json!(""), None),
            (&json!(b64u(&[9; 16])), None),
            (&json!(b64u(&[9; 5])), None),
        ] {
            let mut signed = alice.answer(&bank, origin, handle).await?;
            if let Some(id) = id {
                (signed["id"], signed["rawId"]) = (id.clone(), id.clone());
            }
            answers.push(refusal(&bank, &signed).await?);
        }
        // A named login with another customer's handle, and a nameless answer under a name.
        let options = bank.login_options(&alice.customer.id).await?;
        let mut signed = alice.customer.key.get(origin, &options)?;
        signed["response"]["userHandle"] = of_bob.clone();
        signed["user_id"] = json!(alice.customer.id);
        answers.push(refusal(&bank, &signed).await?);
        let mut signed = alice.answer(&bank, origin, &of_alice).await?;
        signed["user_id"] = json!(alice.customer.id);
        answers.push(refusal(&bank, &signed).await?);
        // A key that nobody registered.
        let mut stranger = Found {
            customer: Customer::new(&appliance.banks.a)?,
            handle: of_alice.clone(),
        };
        let signed = stranger.answer(&bank, origin, &of_alice).await?;
        answers.push(refusal(&bank, &signed).await?);
        ensure!(answers[0].0 == 401, "{answers:?}");
        ensure!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
        // Another tenant knows neither.
        let other = appliance.bank(&appliance.banks.b)?;
        let signed = alice.answer(&other, origin, &of_alice).await?;
        expect_code(verify(&other, &signed).await, "authentication_failed")?;
        let signed = alice.answer(&bank, origin, &of_alice).await?;
        expect_code(verify(&other, &signed).await, "authentication_failed")?;
        verify(&bank, &signed).await?;
        Ok(())
    });
}

#[test]
fn extension_inputs_pass_through_and_outputs_are_refused() {
    let name = "extension_inputs_pass_through_and_outputs_are_refused";
    with_passkeys(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let tenant = &appliance.banks.a;
        let mut customer = Customer::new(tenant)?;
        let eval = json!({"eval": {"first": b64u(b"vault")}});
        let asked =
            json!({"user_id": customer.id, "prf": eval, "hints": ["client-device", "hybrid"]});
        let options: Value = bank
            .post("/api/v1/passkeys/register/options", &asked)
            .await?
            .read()?;
        ensure!(
            options["extensions"] == json!({"credProps": true, "prf": eval}),
            "{options}"
        );
        ensure!(
            options["hints"] == json!(["client-device", "hybrid"]),
            "{options}"
        );
        ensure!(options["authenticatorSelection"]["residentKey"] == "required");
        let mut created = customer.key.create(tenant.origin, &options)?;
        created["clientExtensionResults"] =
            json!({"prf": {"enabled": true, "results": {"first": "AAAA"}}});
        expect_code(
            bank.register_verify(&customer.id, &created).await,
            "malformed_request",
        )?;
        // The challenge is not spent: the page can send it without.
        created["clientExtensionResults"] =
            json!({"credProps": {"rk": true}, "prf": {"enabled": true}});
        bank.register_verify(&customer.id, &created).await?;
        let asked = json!({"user_id": customer.id, "prf": eval});
        let options: Value = bank.post(OPTIONS, &asked).await?.read()?;
        ensure!(options["extensions"] == json!({ "prf": eval }), "{options}");
        let mut signed = customer.key.get(tenant.origin, &options)?;
        signed["clientExtensionResults"] = json!({"prf": {"results": {"first": "AAAA"}}});
        expect_code(
            bank.login_verify(&customer.id, &signed).await,
            "malformed_request",
        )?;
        signed["clientExtensionResults"] = json!({});
        bank.login_verify(&customer.id, &signed).await?;
        // A client that says the passkey cannot be found without a name is believed.
        let mut other = Customer::new(tenant)?;
        let options = bank.register_options(&other.id).await?;
        let mut created = other.key.create(tenant.origin, &options)?;
        created["clientExtensionResults"] = json!({"credProps": {"rk": false}});
        expect_code(
            bank.register_verify(&other.id, &created).await,
            "registration_failed",
        )?;
        for bent in [
            json!({"prf": {"eval": {"first": ""}}}),
            json!({"prf": {"eval": {"first": b64u(&[1; 257])}}}),
            json!({"prf": {"evalByCredential": {"AA": {"first": "AA"}}}}),
            json!({"prf": {"secret": true}}),
            json!({"hints": ["nfc"]}),
        ] {
            let refused = bank.post(OPTIONS, &bent).await?.read::<Value>();
            expect_code(refused, "malformed_request")?;
        }
        Ok(())
    });
}

#[test]
fn the_policy_that_officers_signed_decides() {
    let policy = json!({
        "algorithms": ["ES256", "ML-DSA-65"],
        "attestation": "none",
        "attestation_formats": ["packed"],
        "denied_aaguids": [DENIED],
        "cross_origin": ["https://shop.example"],
        "sign_count": "report",
        "backup": "not_backed_up",
    });
    let name = "the_policy_that_officers_signed_decides";
    let options = Options {
        passkeys: Some(policy),
        without_worker: true,
        ..Options::default()
    };
    alone(name, Needs::Programs, options, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let tenant = &appliance.banks.a;
        let options = bank.register_options(&random_name("customer")).await?;
        let offered: Vec<_> = options["pubKeyCredParams"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        ensure!(
            offered.len() == 2 && offered[0]["alg"] == -7 && offered[1]["alg"] == -49,
            "{options}"
        );
        ensure!(
            options["attestation"] == "none" && options["attestationFormats"] == json!(["packed"])
        );

        let mut denied = Customer::new(tenant)?;
        denied.key.set_aaguid(DENIED_BYTES);
        expect_code(denied.register(&bank).await, "registration_failed")?;

        let mut customer = Customer::registered(&bank, tenant).await?;
        customer.login(&bank).await?;
        customer.key.set_counter(0);
        let reported = customer.login(&bank).await?;
        let told = reported.receipt["claims"].as_str().unwrap_or_default();
        ensure!(told.contains("\"sign_count_grew\":false"), "{told}");

        // What could be copied may register until it was.
        let mut synced = Customer::new(tenant)?;
        synced.key.set_backup(true, true);
        expect_code(synced.register(&bank).await, "registration_failed")?;
        synced.key.set_backup(true, false);
        synced.register(&bank).await?;
        synced.login(&bank).await?;
        synced.key.set_backup(true, true);
        expect_code(synced.login(&bank).await, "authentication_failed")?;

        // Framed by a page of the list, and by another.
        for (top, accepted) in [
            ("https://shop.example", true),
            ("https://evil.example", false),
        ] {
            let options = bank.login_options(&customer.id).await?;
            let signed = framed(&mut customer.key, tenant.origin, top, &options)?;
            let outcome = bank.login_verify(&customer.id, &signed).await;
            ensure!(outcome.is_ok() == accepted, "{top}: {outcome:?}");
        }
        Ok(())
    });
}

/// WebAuthn Level 3 section 6.1.3: eligibility is for good, and nothing is backed up
/// without it.
#[test]
fn backup_flags_that_contradict_each_other_or_the_registration_are_refused() {
    let name = "backup_flags_that_contradict_each_other_or_the_registration_are_refused";
    with_passkeys(name, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut bent = Customer::new(&appliance.banks.a)?;
        bent.key.set_backup(false, true);
        expect_code(bent.register(&bank).await, "registration_failed")?;
        for eligible in [false, true] {
            let mut customer = Customer::new(&appliance.banks.a)?;
            customer.key.set_backup(eligible, false);
            customer.register(&bank).await?;
            for (says, backed_up) in [(!eligible, false), (!eligible, !eligible), (false, true)] {
                customer.key.set_backup(says, backed_up);
                expect_code(customer.login(&bank).await, "authentication_failed")?;
            }
            customer.key.set_backup(eligible, eligible);
            customer.login(&bank).await?;
        }
        Ok(())
    });
}

/// A configuration of later is for those who are there already.
#[test]
fn a_model_that_officers_deny_later_is_not_used_any_more() {
    let name = "a_model_that_officers_deny_later_is_not_used_any_more";
    let options = Options {
        without_worker: true,
        ..Options::default()
    };
    alone(name, Needs::Programs, options, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut denied = Found::of_model(appliance, &bank, DENIED_BYTES).await?;
        let mut other = Found::registered(appliance, &bank).await?;
        let hers = denied.customer.login(&bank).await?;
        let his = other.customer.login(&bank).await?;
        let pending = bank.approve(&denied.customer.id, &payment("10.00")).await?;
        let related = "/api/v1/passkeys/related-origins";
        let shown: Value = bank.get(related).await?.read()?;
        ensure!(shown == json!({ "origins": [] }), "{shown}");

        let pages = [
            appliance.banks.a.origin,
            "https://shop.example",
            "https://shop.example:8443",
        ];
        appliance.set_config(2, |config| {
            let tenant = &mut config["tenants"][0];
            tenant["passkeys"] = json!({ "denied_aaguids": [DENIED] });
            tenant["rp"]["origins"] = json!(pages);
        })?;

        let bank = appliance.bank(&appliance.banks.a)?;
        let origin = appliance.banks.a.origin;
        let wrong = other.answer(&bank, origin, &Value::Null).await?;
        let ordinary = refusal(&bank, &wrong).await?;
        let handle = denied.handle.clone();
        let signed = denied.answer(&bank, origin, &handle).await?;
        ensure!(refusal(&bank, &signed).await? == ordinary);
        expect_code(denied.customer.login(&bank).await, "authentication_failed")?;
        let signed = denied.customer.sign_approval(&pending)?;
        let given = bank.approve_verify(&pending.approval_id, &denied.customer.id, &signed);
        expect_code(given.await, "authentication_failed")?;
        ensure!(!is_active(&bank, &hers.session_token).await?);
        ensure!(is_active(&bank, &his.session_token).await?);

        // The new page is listed for browsers, and its logins count; others do not.
        let shown: Value = bank.get(related).await?.read()?;
        ensure!(shown == json!({ "origins": pages[1..] }), "{shown}");
        let handle = other.handle.clone();
        for (page, accepted) in [
            (pages[1], true),
            (pages[2], true),
            ("https://evil.example", false),
        ] {
            let signed = other.answer(&bank, page, &handle).await?;
            let outcome = verify(&bank, &signed).await;
            ensure!(outcome.is_ok() == accepted, "{page}: {outcome:?}");
        }
        Ok(())
    });
}

fn framed(
    key: &mut PremadeKey,
    origin: &str,
    top: &str,
    options: &Value,
) -> Result<Value, BankError> {
    let challenge = options["challenge"].as_str().unwrap_or_default();
    let client_data = format!(
        "{{\"type\":\"webauthn.get\",\"challenge\":\"{challenge}\",\"origin\":\"{origin}\",\"crossOrigin\":true,\"topOrigin\":\"{top}\"}}"
    );
    key.get_over(&client_data, options)
}

/// Status and body of a refusal, but for the request's own number.
async fn refusal(bank: &Bank, signed: &Value) -> Result<(u16, Value)> {
    let reply = bank.post(VERIFY, signed).await?;
    let mut problem: Value = serde_json::from_slice(&reply.body)?;
    problem["request_id"] = json!(null);
    Ok((reply.status.as_u16(), problem))
}
