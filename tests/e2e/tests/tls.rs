//! What TLS clients may not get.

use std::sync::Arc;

use anyhow::{Result, ensure};
use redoubt_bank::receipts;
use redoubt_bank::tls::client_config;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::pki::Authority;
use redoubt_e2e::probe::{self, OldVersion};
use redoubt_e2e::{Appliance, Customer, Needs, Shared, shared};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use serde_json::json;

static APPLIANCE: Shared = Shared::new();

fn with_tls(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

#[test]
fn older_versions_are_refused_with_an_alert() {
    with_tls(
        "older_versions_are_refused_with_an_alert",
        async |appliance| {
            for version in [OldVersion::Tls10, OldVersion::Tls11, OldVersion::Tls12] {
                let answer = probe::old_hello(appliance.port(), version).await?;
                // Alert record, level fatal, protocol_version(70).
                ensure!(
                    answer.len() >= 7 && answer[0] == 0x15 && answer[5] == 2 && answer[6] == 70,
                    "{version:?}: {answer:02x?}"
                );
            }
            Ok(())
        },
    );
}

#[test]
fn the_key_exchange_is_hybrid_post_quantum() {
    with_tls(
        "the_key_exchange_is_hybrid_post_quantum",
        async |appliance| {
            let config = probe::config(&appliance.ca()?, None)?;
            let tls = probe::handshake(appliance.port(), config).await?;
            let group = tls.get_ref().1.negotiated_key_exchange_group();
            let name = group.map(|group| group.name());
            ensure!(name == Some(rustls::NamedGroup::X25519MLKEM768), "{name:?}");
            Ok(())
        },
    );
}

#[test]
fn a_certificate_under_an_unknown_anchor_fails_the_handshake() {
    with_tls(
        "a_certificate_under_an_unknown_anchor_fails_the_handshake",
        async |appliance| {
            let stranger =
                Authority::new("stranger CA")?.client("bank-a", &["gateway.bank-a.example"])?;
            let client = appliance.client(Some(stranger), false)?;
            let outcome = client.get("/healthz").await;
            ensure!(outcome.is_err(), "answered {outcome:?}");
            Ok(())
        },
    );
}

#[test]
fn an_authority_with_the_same_name_and_another_key_is_unknown() {
    let name = "an_authority_with_the_same_name_and_another_key_is_unknown";
    with_tls(name, async |appliance| {
        let twin = Authority::new("bank-a CA")?.client("bank-a", &["gateway.bank-a.example"])?;
        let client = appliance.client(Some(twin), false)?;
        let outcome = client.get("/healthz").await;
        ensure!(outcome.is_err(), "answered {outcome:?}");
        Ok(())
    });
}

#[test]
fn a_certificate_shown_without_its_key_fails_the_handshake() {
    with_tls(
        "a_certificate_shown_without_its_key_fails_the_handshake",
        async |appliance| {
            let mut pem = appliance.banks.a.pem.clone();
            pem.key = appliance.banks.b.pem.key.clone();
            // A careful library refuses to even try; a stolen certificate is of no use either way.
            let outcome = appliance.client(Some(pem), false);
            if let Ok(client) = outcome {
                ensure!(client.get("/healthz").await.is_err());
            }
            Ok(())
        },
    );
}

#[test]
fn the_tenant_is_the_anchor_whatever_the_names_say() {
    with_tls(
        "the_tenant_is_the_anchor_whatever_the_names_say",
        async |appliance| {
            let banks = &appliance.banks;
            let b = appliance.bank(&banks.b)?;
            let customer_of_b = Customer::registered(&b, &banks.b).await?;
            let disguised = banks
                .a
                .authority
                .client("bank-b gateway", &["gateway.bank-b.example", "bank-b"])?;
            let client = appliance.client(Some(disguised), false)?;
            let options = client.register_options("disguised-customer").await?;
            ensure!(options["rp"]["id"] == banks.a.rp_id, "{options}");
            // A stranger here, who is answered like a customer.
            let real = b.login_options(&customer_of_b.id).await?;
            let seen = client.login_options(&customer_of_b.id).await?;
            let (real, seen) = (&real["allowCredentials"], &seen["allowCredentials"]);
            ensure!(seen[0]["id"] != real[0]["id"], "seen: {seen}");
            let mut own = Customer::registered(&client, &banks.a).await?;
            let done = own.login(&client).await?;
            let claims = receipts::claims(&done.receipt)?;
            ensure!(claims["tenant"] == banks.a.id, "{claims}");
            let id = receipts::id(&done.receipt)?;
            expect_code(b.receipt(&id).await, "unknown_receipt")
        },
    );
}

#[test]
fn no_session_is_resumed_and_no_early_data_is_taken() {
    with_tls(
        "no_session_is_resumed_and_no_early_data_is_taken",
        async |appliance| {
            let ca = appliance.ca()?;
            let store = Resumption::in_memory_sessions(16);
            let mut configs = Vec::new();
            for tenant in [&appliance.banks.a, &appliance.banks.b] {
                let mut config = client_config(&ca, Some(&tenant.pem), false)?;
                config.resumption = store.clone();
                config.enable_early_data = true;
                configs.push(Arc::new(config));
            }
            for round in 0..3 {
                for config in &configs {
                    let mut tls = probe::handshake(appliance.port(), config.clone()).await?;
                    let (status, _) = probe::get(&mut tls, "/healthz").await?;
                    ensure!(status == 200);
                    let session = tls.get_ref().1;
                    ensure!(
                        session.handshake_kind() != Some(HandshakeKind::Resumed),
                        "round {round}: resumed"
                    );
                    ensure!(
                        !session.is_early_data_accepted(),
                        "round {round}: early data"
                    );
                }
            }
            Ok(())
        },
    );
}

#[test]
fn a_request_for_another_host_gives_nothing_away() {
    with_tls(
        "a_request_for_another_host_gives_nothing_away",
        async |appliance| {
            let bank = appliance.bank(&appliance.banks.a)?;
            let reply = bank
                .post_with(
                    "/api/v1/verify",
                    &json!({"user_id": "x"}),
                    &[
                        ("x-forwarded-client-cert", "bank-b"),
                        ("x-tenant", "bank-b"),
                    ],
                )
                .await?;
            ensure!(reply.status.is_client_error(), "{}", reply.status);
            Ok(())
        },
    );
}
