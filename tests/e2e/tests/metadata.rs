//! FIDO metadata that is acted on.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redoubt_bank::api::with_user;
use redoubt_bank::{Bank, BankError};
use redoubt_e2e::attested::Maker;
use redoubt_e2e::blobs::Blobs;
use redoubt_e2e::customer::{expect_code, payment};
use redoubt_e2e::sessions::{introspect, is_active, put};
use redoubt_e2e::{Appliance, Customer, Needs, Options, alone};
use redoubt_enclave::passkeys::metadata::{Condensed, Expectation, Overdue, SIGNER, verify};
use serde_json::{Value, json};

const BROKEN: &str = "0badc0de-0000-4000-8000-000000000001";
const SOUND: &str = "600d0000-0000-4000-8000-000000000002";

fn options(blobs: &Blobs) -> Options {
    Options {
        passkeys: Some(json!({
            "metadata": { "roots": [blobs.root], "accept_other_roots": true },
        })),
        without_worker: true,
        ..Options::default()
    }
}

async fn customer(bank: &Bank, appliance: &Appliance, model: &str) -> Result<Customer> {
    let mut customer = Customer::new(&appliance.banks.a)?;
    customer.key.set_aaguid(bytes(model)?);
    ensure!(customer.register(bank).await?.verified);
    Ok(customer)
}

fn bytes(model: &str) -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(model.replace('-', ""), &mut bytes)?;
    Ok(bytes)
}

async fn status(bank: &Bank) -> Result<Value, BankError> {
    bank.get("/api/v1/admin/metadata").await?.read()
}

/// Claims of one type, oldest first.
async fn claims(bank: &Bank, kind: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/audit/events?type={kind}&limit=100");
    let page: Value = bank.get(&path).await?.read()?;
    let events = page["events"].as_array().context("events")?;
    Ok(events.iter().map(|event| event["claims"].clone()).collect())
}

#[test]
fn a_model_that_is_revoked_after_enrolment_is_suspended_and_told_of() {
    let blobs = Blobs::new().expect("a service");
    let name = "a_model_that_is_revoked_after_enrolment_is_suspended_and_told_of";
    alone(name, Needs::Programs, options(&blobs), async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut alice = customer(&bank, appliance, BROKEN).await?;
        let mut bob = customer(&bank, appliance, SOUND).await?;
        ensure!(status(&bank).await?["number"].is_null());
        let both: &[(&str, &[&str])] =
            &[(BROKEN, &["FIDO_CERTIFIED"]), (SOUND, &["FIDO_CERTIFIED"])];
        let taken = bank.put_metadata(&blobs.blob(7, both)?).await?;
        ensure!(taken["number"] == 7 && taken["models"] == 2, "{taken}");
        ensure!(
            taken["compromised"] == json!([]) && taken["suspended"] == 0,
            "{taken}"
        );
        alice.login(&bank).await?;
        let pending = bank.approve(&alice.id, &payment("10.00")).await?;
        let mut wrong = alice.login_assertion(&bank).await?;
        wrong["response"]["signature"] = json!("AAAA");
        let ordinary = refusal(&bank, &alice.id, &wrong).await?;

        let revoked: &[(&str, &[&str])] = &[
            (BROKEN, &["REVOKED", "FIDO_CERTIFIED"]),
            (SOUND, &["FIDO_CERTIFIED"]),
        ];
        let taken = bank.put_metadata(&blobs.blob(8, revoked)?).await?;
        let expected = json!([{ "aaguid": BROKEN, "status": "REVOKED" }]);
        ensure!(
            taken["compromised"] == expected && taken["suspended"] == 1,
            "{taken}"
        );
        ensure!(taken["previous_number"] == 7, "{taken}");

        // One answer for everything that is refused.
        let signed = alice.login_assertion(&bank).await?;
        ensure!(refusal(&bank, &alice.id, &signed).await? == ordinary);
        let signed = alice.sign_approval(&pending)?;
        let outcome = bank
            .approve_verify(&pending.approval_id, &alice.id, &signed)
            .await;
        expect_code(outcome, "authentication_failed")?;
        let mut late = Customer::new(&appliance.banks.a)?;
        late.key.set_aaguid(bytes(BROKEN)?);
        expect_code(late.register(&bank).await, "registration_failed")?;
        bob.login(&bank).await?;
        bob.approve(&bank, &payment("10.00")).await?;

        // The tenant is told: by model, and each customer's own record.
        let told = claims(&bank, "models_suspended").await?;
        let expected = json!([{ "aaguid": BROKEN, "credentials": 1 }]);
        ensure!(told.len() == 1 && told[0]["models"] == expected, "{told:?}");
        let own = claims(&bank, "device_state").await?;
        ensure!(
            own.len() == 1 && own[0]["user_id"] == alice.id.as_str(),
            "{own:?}"
        );
        ensure!(
            own[0]["reason"] == format!("REVOKED is reported of model {BROKEN}")
                && own[0]["source"] == "metadata"
                && own[0]["sessions_ended"].as_array().map(Vec::len) == Some(1),
            "{own:?}"
        );
        bank.receipt(own[0]["receipt_id"].as_str().context("receipt_id")?)
            .await?;
        let logins = claims(&bank, "passkey_authentication").await?;
        ensure!(
            logins
                .iter()
                .any(|claim| claim["reason"] == "device_suspended")
        );

        // After a restart nothing is forgotten, and the number does not go back.
        appliance.kill_all()?;
        appliance.bring_up()?;
        let bank = appliance.bank(&appliance.banks.a)?;
        expect_code(alice.login(&bank).await, "authentication_failed")?;
        refused(&bank, &blobs.blob(7, both)?, "number_rolled_back").await?;
        refused(&bank, &blobs.blob(8, both)?, "number_forked").await?;
        let shown = status(&bank).await?;
        ensure!(shown["number"] == 8 && shown["suspended"] == 1, "{shown}");
        ensure!(
            shown["acting"] == false && shown["compromised"] == 1,
            "{shown}"
        );

        // A model that is cleared may register again; what was suspended stays so.
        let cleared: &[(&str, &[&str])] = &[(BROKEN, &["FIDO_CERTIFIED", "REVOKED"])];
        let taken = bank.put_metadata(&blobs.blob(9, cleared)?).await?;
        ensure!(taken["cleared"] == json!([BROKEN]), "{taken}");
        expect_code(alice.login(&bank).await, "authentication_failed")?;
        late.register(&bank).await?;
        late.login(&bank).await?;
        Ok(())
    });
}

#[test]
fn a_blob_that_the_service_did_not_sign_changes_nothing() {
    let (blobs, impostor) = (Blobs::new().expect("one"), Blobs::new().expect("another"));
    let name = "a_blob_that_the_service_did_not_sign_changes_nothing";
    alone(name, Needs::Programs, options(&blobs), async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut alice = customer(&bank, appliance, BROKEN).await?;
        let revoked: &[(&str, &[&str])] = &[(BROKEN, &["REVOKED"])];
        let told = refused(&bank, &impostor.blob(1, revoked)?, "root_not_trusted").await?;
        ensure!(told.contains("passkeys.metadata.roots"), "{told}");
        let good = blobs.blob(1, revoked)?;
        refused(&bank, &good[..good.len() / 2], "jws_malformed").await?;
        // The impostor's signature under the service's certificate.
        let (input, _) = good.rsplit_once('.').context("a JWS")?;
        let forged = impostor.blob(1, revoked)?;
        let (_, signature) = forged.rsplit_once('.').context("a JWS")?;
        refused(&bank, &format!("{input}.{signature}"), "signature_invalid").await?;
        ensure!(status(&bank).await?["number"].is_null());
        alice.login(&bank).await?;
        // Another tenant has named no root, and this one's BLOB is not its.
        let other = appliance.bank(&appliance.banks.b)?;
        expect_code(other.put_metadata(&good).await, "metadata_not_configured")?;
        let huge = " ".repeat(9 * 1024 * 1024);
        expect_code(bank.put_metadata(&huge).await, "body_too_large")
    });
}

/// Sessions, answers to approvals and the wish to go on: each ends with the model.
#[test]
fn what_a_revoked_model_began_ends_with_it() {
    let blobs = Blobs::new().expect("a service");
    let name = "what_a_revoked_model_began_ends_with_it";
    alone(name, Needs::Programs, options(&blobs), async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut alice = customer(&bank, appliance, BROKEN).await?;
        let mut bob = customer(&bank, appliance, SOUND).await?;
        let (hers, his) = (alice.login(&bank).await?, bob.login(&bank).await?);
        let body = json!({
            "approvers": [alice.id, bob.id], "required": 2, "transaction": payment("250.00"),
        });
        let asked: Value = bank.post("/api/v1/approvals", &body).await?.read()?;
        let path = format!(
            "/api/v1/approvals/{}",
            asked["approval_id"].as_str().context("id")?
        );
        let pause = || tokio::time::sleep(Duration::from_millis(500));
        let acts = async {
            pause().await;
            answer(appliance, &bank, &asked, &mut alice).await?;
            pause().await;
            let revoked: &[(&str, &[&str])] = &[(BROKEN, &["REVOKED"])];
            let taken = bank.put_metadata(&blobs.blob(1, revoked)?).await?;
            ensure!(taken["suspended"] == 1, "{taken}");
            ensure!(!is_active(&bank, &hers.session_token).await?);
            ensure!(is_active(&bank, &his.session_token).await?);
            let again = answer(appliance, &bank, &asked, &mut alice).await;
            expect_code(again, "authentication_failed")?;
            let resumed = put(&bank, &alice.id, &hers.device_id, "active").await?;
            expect_code(resumed.read::<Value>(), "device_barred")?;
            pause().await;
            let second = answer(appliance, &bank, &asked, &mut bob).await?;
            ensure!(second["status"] == "pending", "{second}");
            pause().await;
            bank.post(&format!("{path}/cancel"), &json!({}))
                .await?
                .read::<Value>()?;
            anyhow::Ok(())
        };
        let listener = appliance.bank(&appliance.banks.a)?;
        let events = format!("{path}/events");
        let (told, acted) = tokio::join!(listener.get(&events), acts);
        acted?;
        let told = String::from_utf8(told?.body.to_vec())?;
        let events = told.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = events.map(serde_json::from_str).collect::<Result<_, _>>()?;
        let approved: Vec<_> = events
            .iter()
            .map(|event| event["approved"].as_u64())
            .collect();
        ensure!(
            approved[..4] == [Some(0), Some(1), Some(0), Some(1)],
            "{told}"
        );
        Ok(())
    });
}

/// Answers as one of those asked.
async fn answer(
    appliance: &Appliance,
    bank: &Bank,
    asked: &Value,
    customer: &mut Customer,
) -> Result<Value, BankError> {
    let mut all = asked["approvers"].as_array().into_iter().flatten();
    let own = all.find(|one| one["user_id"] == customer.id.as_str());
    let options = own.map_or(&Value::Null, |own| &own["options"]);
    let origin = appliance.banks.a.approval_origin;
    let signed = customer.key.get(origin, options)?;
    let path = format!(
        "/api/v1/approvals/{}/verify",
        asked["approval_id"].as_str().unwrap_or_default()
    );
    bank.post(&path, &with_user(&customer.id, &signed))
        .await?
        .read()
}

/// Makers are proven by the roots that the metadata names for their models.
#[test]
fn only_a_maker_whom_the_metadata_names_for_the_model_vouches_for_it() {
    let blobs = Blobs::new().expect("a service");
    let (maker, impostor) = (Maker::new().expect("one"), Maker::new().expect("another"));
    let name = "only_a_maker_whom_the_metadata_names_for_the_model_vouches_for_it";
    let options = Options {
        passkeys: Some(json!({
            "trust": "metadata",
            "formats": ["packed"],
            "refuse_self_attestation": true,
            "metadata": { "roots": [blobs.root], "accept_other_roots": true },
        })),
        without_worker: true,
        ..Options::default()
    };
    alone(name, Needs::Programs, options, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let register = async |model: &str, maker: Option<&Maker>| -> Result<_> {
            let mut customer = Customer::new(&appliance.banks.a)?;
            customer.key.set_aaguid(bytes(model)?);
            let options = bank.register_options(&customer.id).await?;
            ensure!(options["attestation"] == "direct", "{options}");
            let origin = appliance.banks.a.origin;
            let mut created = customer.key.create(origin, &options)?;
            if let Some(maker) = maker {
                created = maker.vouch(&created)?;
            }
            let registered = bank.register_verify(&customer.id, &created).await;
            Ok((customer, registered))
        };
        let refused = |outcome: Result<(Customer, Result<_, BankError>)>| -> Result<()> {
            expect_code(outcome?.1, "registration_failed")
        };
        // Nothing is known of any maker yet.
        refused(register(SOUND, Some(&maker)).await)?;
        let entry = json!({
            "aaguid": SOUND,
            "metadataStatement": { "attestationRootCertificates": [STANDARD.encode(&maker.root)] },
            "statusReports": [{ "status": "FIDO_CERTIFIED", "effectiveDate": "2025-01-28" }],
            "timeOfLastStatusChange": "2025-01-28",
        });
        let payload = json!({ "no": 1, "nextUpdate": "2999-12-31", "entries": [entry] });
        bank.put_metadata(&blobs.sign(&payload)?).await?;
        refused(register(SOUND, None).await)?;
        refused(register(SOUND, Some(&impostor)).await)?;
        // The maker's own root, for a model it is not named for.
        refused(register(BROKEN, Some(&maker)).await)?;
        let (mut customer, registered) = register(SOUND, Some(&maker)).await?;
        ensure!(registered?.verified);
        let login = customer.login(&bank).await?;
        let told = introspect(&bank, &login.session_token).await?;
        ensure!(told["acr"] == "urn:redoubt:acr:aal3", "{told}");
        // From the next BLOB on the model is revoked, whoever vouches.
        let revoked: &[(&str, &[&str])] = &[(SOUND, &["REVOKED"])];
        bank.put_metadata(&blobs.blob(2, revoked)?).await?;
        expect_code(customer.login(&bank).await, "authentication_failed")?;
        refused(register(SOUND, Some(&maker)).await)
    });
}

/// What is kept of a BLOB is bounded, and the largest goes through ledger and restart.
#[test]
fn metadata_beyond_what_is_kept_is_refused_and_just_below_it_stays() {
    let blobs = Blobs::new().expect("a service");
    let name = "metadata_beyond_what_is_kept_is_refused_and_just_below_it_stays";
    alone(name, Needs::Programs, options(&blobs), async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let sized = |number: u64, models: usize| {
            let report = json!({ "status": "REVOKED", "effectiveDate": "2025-01-28" });
            let entries = (1..=models).map(|model| {
                json!({
                    "aaguid": format!("{model:08x}-0000-4000-8000-000000000000"),
                    "statusReports": vec![report.clone(); 400],
                    "metadataStatement": { "attestationRootCertificates": [] },
                    "timeOfLastStatusChange": "2025-01-28",
                })
            });
            let entries: Vec<_> = entries.collect();
            blobs.sign(&json!({ "no": number, "nextUpdate": "2999-12-31", "entries": entries }))
        };
        refused(&bank, &sized(1, 230)?, "metadata_too_large").await?;
        ensure!(status(&bank).await?["number"].is_null());
        let taken = bank.put_metadata(&sized(2, 200)?).await?;
        ensure!(taken["models"] == 200, "{}", taken["models"]);
        appliance.kill_all()?;
        appliance.bring_up()?;
        let bank = appliance.bank(&appliance.banks.a)?;
        let shown = status(&bank).await?;
        ensure!(shown["number"] == 2 && shown["compromised"] == 200);
        refused(&bank, &sized(1, 1)?, "number_rolled_back").await?;
        Ok(())
    });
}

/// Whenever the machine dies, every credential of the model is refused from the
/// BLOB on, and every customer's record says so in the end, once.
#[test]
fn a_crash_while_credentials_are_suspended_leaves_none_out() {
    const CUSTOMERS: usize = 150;
    let blobs = Blobs::new().expect("a service");
    let name = "a_crash_while_credentials_are_suspended_leaves_none_out";
    alone(name, Needs::Programs, options(&blobs), async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customers = Vec::new();
        for _ in 0..CUSTOMERS {
            customers.push(customer(&bank, appliance, BROKEN).await?);
        }
        let revoked: &[(&str, &[&str])] = &[(BROKEN, &["REVOKED"])];
        let blob = blobs.blob(1, revoked)?;
        let acting = tokio::spawn({
            let (bank, blob) = (appliance.bank(&appliance.banks.a)?, blob.clone());
            async move { bank.put_metadata(&blob).await }
        });
        let before = loop {
            let shown = status(&bank).await?;
            if shown["suspended"] != 0 {
                break shown;
            }
        };
        eprintln!(
            "killed when {} of {CUSTOMERS} were suspended",
            before["suspended"]
        );
        appliance.kill_all()?;
        let _ = acting.await?;
        appliance.bring_up()?;
        let bank = appliance.bank(&appliance.banks.a)?;
        for customer in customers.iter_mut().step_by(10) {
            expect_code(customer.login(&bank).await, "authentication_failed")?;
        }
        let mut shown = Value::Null;
        for _ in 0..100 {
            shown = status(&bank).await?;
            if shown["acting"] == false {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(
            shown["acting"] == false && shown["suspended"] == CUSTOMERS,
            "{shown}"
        );
        let told = claims(&bank, "models_suspended").await?;
        ensure!(
            told.len() == 1 && told[0]["credentials"] == CUSTOMERS,
            "{told:?}"
        );
        Ok(())
    });
}

/// A BLOB of the FIDO Alliance itself, as the enclave keeps it.
#[test]
fn a_recorded_blob_of_four_megabytes_is_kept_in_less_than_150_kilobytes() -> Result<()> {
    let name = "a_recorded_blob_of_four_megabytes_is_kept_in_less_than_150_kilobytes";
    let Some(dir) = std::env::var_os("REDOUBT_VECTORS") else {
        eprintln!("{name}: skipped, REDOUBT_VECTORS is not set");
        return Ok(());
    };
    let dir = Path::new(&dir).join("mds");
    let blob = std::fs::read(dir.join("blob-no122.jwt"))?;
    let roots = [std::fs::read(dir.join("globalsign-root-r3.der"))?];
    // 2024-12-15T12:00:00Z, when it counted.
    let now_ms = 1_734_264_000_000;
    let expected = Expectation {
        roots: &roots,
        signer: SIGNER,
        now_ms,
        last: None,
        overdue: Overdue::Accept,
    };
    let metadata = verify(blob.trim_ascii_end(), &expected)?;
    let kept = Condensed::of(&metadata).context("too large")?;
    ensure!(
        blob.len() > 4_000_000 && kept.stored_bytes() < 150_000,
        "{}",
        kept.stored_bytes()
    );
    ensure!(kept.models_at(now_ms).count() == 189);
    ensure!(kept.trust_roots().len() >= 156);
    let broken = kept.compromised_at(now_ms);
    let model: [u8; 16] = bytes("ba86dc56-635f-4141-aef6-00227b1b9af6")?;
    ensure!(
        broken.len() == 1 && broken.contains_key(&model),
        "{broken:?}"
    );
    Ok(())
}

async fn refused(bank: &Bank, blob: &str, reason: &str) -> Result<String> {
    match bank.put_metadata(blob).await {
        Err(BankError::Refused { problem, .. }) if problem.code == "metadata_refused" => {
            let detail = problem.detail.unwrap_or_default();
            let detail = detail.as_str().unwrap_or_default();
            ensure!(
                detail.starts_with(&format!("{reason}:")),
                "expected {reason}, got: {detail}"
            );
            Ok(detail.to_owned())
        }
        other => anyhow::bail!("expected {reason}, got: {other:?}"),
    }
}

/// Status and body of a refused login, but for the request's own number.
async fn refusal(bank: &Bank, user: &str, signed: &Value) -> Result<(u16, Value)> {
    let path = "/api/v1/passkeys/authenticate/verify";
    let reply = bank
        .post(path, &redoubt_bank::api::with_user(user, signed))
        .await?;
    let mut problem: Value = serde_json::from_slice(&reply.body)?;
    problem["request_id"] = json!(null);
    Ok((reply.status.as_u16(), problem))
}
