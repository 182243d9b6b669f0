//! The Rust client against the running appliance, with a passkey in software.

use anyhow::{Context, Result, ensure};
use redoubt_bank::PremadeKey;
use redoubt_bank::receipts;
use redoubt_client::{
    ApprovalRequest, AuthenticateOptions, AuthenticationResponseWithOptionalUser, Client,
    Connection, CreateApprovalOptions, DeviceState, Error, Payee, Payment, RegisterOptions,
    SetDeviceState, TokenForm, Transaction,
};
use redoubt_e2e::appliance::Tenant;
use redoubt_e2e::{Appliance, Needs, Shared, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

fn with_client(test: &str, behaviour: impl AsyncFnOnce(&Appliance, Client) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, async |appliance| {
        let client = client(appliance, Some(&appliance.banks.a))?;
        behaviour(appliance, client).await
    });
}

fn client(appliance: &Appliance, tenant: Option<&Tenant>) -> Result<Client> {
    Ok(Client::new(Connection {
        url: appliance.url(),
        ca: appliance.ca()?,
        identity: tenant.map(|tenant| (tenant.pem.cert.clone(), tenant.pem.key.clone())),
    })?)
}

/// A new customer's passkey, registered.
async fn registered(client: &Client, tenant: &Tenant) -> Result<(String, PremadeKey)> {
    let user_id = redoubt_bank::random_name("customer");
    let wanted = RegisterOptions {
        user_id: user_id.clone(),
        user_name: None,
        display_name: Some("Anna Berger".into()),
        hints: None,
        prf: None,
    };
    let options = serde_json::to_value(client.register_options(&wanted).await?)?;
    let mut key = PremadeKey::generate()?;
    let created = with_user(key.create(tenant.origin, &options)?, &user_id);
    let registered = client
        .register_verify(&serde_json::from_value(created)?)
        .await?;
    ensure!(registered.verified && registered.user_id == user_id);
    Ok((user_id, key))
}

/// The browser's answer as the bank hands it in.
fn with_user(mut answer: Value, user_id: &str) -> Value {
    answer["user_id"] = json!(user_id);
    answer
}

fn payment() -> Transaction {
    Transaction::Payment(Payment {
        amount: "250.00".into(),
        currency: "EUR".into(),
        payee: Payee {
            name: "Northwind Tooling GmbH".into(),
            account: "DE89370400440532013000".into(),
        },
        reference: "Invoice 2026-117".into(),
    })
}

#[test]
fn the_rust_client_enrols_logs_in_approves_and_proves_it() {
    let name = "the_rust_client_enrols_logs_in_approves_and_proves_it";
    with_client(name, async |appliance, client| {
        let tenant = &appliance.banks.a;
        let (user_id, mut key) = registered(&client, tenant).await?;

        let asked = AuthenticateOptions {
            user_id: Some(user_id.clone()),
            hints: None,
            prf: None,
        };
        let options = serde_json::to_value(client.authenticate_options(&asked).await?)?;
        let signed = with_user(key.get(tenant.origin, &options)?, &user_id);
        let signed: AuthenticationResponseWithOptionalUser = serde_json::from_value(signed)?;
        let login = client.authenticate_verify(&signed).await?;
        ensure!(login.user_id == user_id && !login.session_token.is_empty());
        let again = client.authenticate_verify(&signed).await;
        ensure!(code(&again) == Some("authentication_failed"), "{again:?}");

        let request = ApprovalRequest {
            user_id: Some(user_id.clone()),
            approvers: None,
            required: None,
            transaction: payment(),
            factors: None,
        };
        let once = CreateApprovalOptions {
            idempotency_key: Some(user_id.clone()),
        };
        let pending = client.create_approval(&once, &request).await?;
        let retried = client.create_approval(&once, &request).await?;
        ensure!(retried.approval_id == pending.approval_id);
        let options = serde_json::to_value(pending.options.context("options")?)?;
        let signed = with_user(key.get(tenant.approval_origin, &options)?, &user_id);
        let signed = serde_json::from_value(signed)?;
        let given = client
            .verify_approval(&pending.approval_id, &signed)
            .await?;
        let artefact = given.artefact.context("artefact")?;
        ensure!(appliance.auditor().verify_value(&artefact)?.accepted());
        let told = client.follow_approval(&pending.approval_id).await?;
        ensure!(told.contains(r#""status":"approved""#), "{told}");

        let receipt = client.receipt(&receipts::id(&given.receipt)?).await?;
        ensure!(appliance.auditor().verify_value(&receipt)?.accepted());
        let mut richer = receipt.clone();
        let claims = receipt["claims"].as_str().context("claims")?;
        richer["claims"] = json!(claims.replacen("250.00", "950.00", 1));
        ensure!(appliance.auditor().verify_value(&richer)?.refused());

        client.remember(receipt["checkpoint"].as_str().context("checkpoint")?);
        ensure!(client.get_approval(&pending.approval_id).await?.transaction == payment());
        Ok(())
    });
}

#[test]
fn the_rust_client_reads_a_session_and_ends_it_with_its_device() {
    let name = "the_rust_client_reads_a_session_and_ends_it_with_its_device";
    with_client(name, async |appliance, client| {
        let tenant = &appliance.banks.a;
        let (user_id, mut key) = registered(&client, tenant).await?;
        let asked = AuthenticateOptions {
            user_id: Some(user_id.clone()),
            hints: None,
            prf: None,
        };
        let options = serde_json::to_value(client.authenticate_options(&asked).await?)?;
        let signed = with_user(key.get(tenant.origin, &options)?, &user_id);
        let login = client
            .authenticate_verify(&serde_json::from_value(signed)?)
            .await?;
        let token = TokenForm {
            token: login.session_token,
            token_type_hint: None,
        };

        let open = client.introspect(&token).await?;
        let session = open.session_claims.context("claims")?;
        ensure!(open.active && session.sub == user_id && session.device_id == login.device_id);
        let devices = client.devices(&user_id).await?.devices;
        ensure!(
            devices.len() == 1 && devices[0].sessions == 1,
            "{devices:?}"
        );

        let lost = SetDeviceState {
            state: DeviceState::Suspended,
            reason: "The customer misses it".into(),
        };
        let set = client
            .set_device_state(&user_id, &login.device_id, &lost)
            .await?;
        ensure!(set.sessions_ended == 1);
        let over = client.introspect(&token).await?;
        ensure!(!over.active && over.session_claims.is_none(), "{over:?}");
        ensure!(client.revoke_token(&token).await?.ended == 0);
        Ok(())
    });
}

fn code<T>(outcome: &Result<T, Error>) -> Option<&str> {
    outcome.as_ref().err().and_then(Error::code)
}

#[test]
fn the_rust_client_tells_refusals_apart_and_trusts_one_ca() {
    let name = "the_rust_client_tells_refusals_apart_and_trusts_one_ca";
    with_client(name, async |appliance, bank| {
        let unknown = bank.get_approval(&"0".repeat(32)).await;
        ensure!(code(&unknown) == Some("unknown_approval"), "{unknown:?}");
        let refused = bank.put_metadata("a.b.c").await;
        ensure!(
            code(&refused) == Some("metadata_not_configured"),
            "{refused:?}"
        );
        bank.remember("no note of this ledger");
        let refused = bank.get_approval(&"0".repeat(32)).await;
        ensure!(code(&refused) == Some("checkpoint_refused"), "{refused:?}");
        let nobody = client(appliance, None)?;
        ensure!(nobody.health().await?.phase == "serving");
        let refused = nobody.audit_export(&Default::default()).await;
        ensure!(
            code(&refused) == Some("client_certificate_required"),
            "{refused:?}"
        );
        let other = Client::new(Connection {
            url: appliance.url(),
            ca: appliance.banks.a.pem.cert.clone(),
            identity: None,
        })?;
        let refused = other.health().await;
        ensure!(matches!(refused, Err(Error::Io(_))), "{refused:?}");
        Ok(())
    });
}
