//! What the host could record holds nothing it must not see.
//!
//! Searched are samples, embeddings, ids and payment data. A stored template is
//! an embedding under a transform drawn inside the enclave: nobody outside knows
//! its bytes, so none can be planted or looked for here.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use redoubt_bank::blindness::{self, Markers};
use redoubt_bank::media::Media;
use redoubt_bank::{Bank, random_name};
use redoubt_e2e::customer::payment;
use redoubt_e2e::process::run_ok;
use redoubt_e2e::{Appliance, Customer, Environment, Needs, Options, alone, embeddings};

const CAPTURED: Options = Options {
    passkeys: None,
    policy_signers: None,
    time_offset_ms: 0,
    capture: true,
    log_filter: Some("trace"),
    interposed: false,
    without_worker: false,
    peers: Vec::new(),
    enclave: None,
    standby: false,
    worker: None,
    machine: None,
};

#[test]
fn relays_store_logs_and_metrics_hold_no_secret() {
    let name = "relays_store_logs_and_metrics_hold_no_secret";
    alone(name, Needs::Photographs, CAPTURED, async |appliance| {
        let media = appliance.environment().media()?;
        let mut markers = Markers::default();
        samples(appliance, &media, &mut markers)?;
        let environment = appliance.environment();
        let added = embeddings::add(environment.models(), &environment.manifest(), &mut markers)?;
        ensure!(added >= 3, "{added} embeddings");
        let bank = appliance.bank(&appliance.banks.a)?;
        a_customers_day(appliance, &bank, &media, &mut markers).await?;
        let metrics = metrics(appliance)?;
        appliance.kill_all()?;
        appliance.bring_up()?;
        let captures = [
            appliance.capture_file(),
            appliance.store_dir(),
            appliance.log_dir().join("host.log"),
            appliance.log_dir().join("enclave.log"),
            appliance.log_dir().join("worker.log"),
            metrics,
        ];
        let reports = blindness::search(&captures, &markers)?;
        for report in &reports {
            println!(
                "{} bytes, {} found, control {} of {}: {}",
                report.bytes,
                report.markers_found,
                report.control_found,
                report.control_planted,
                report.capture
            );
        }
        let sent = media.person.len() + media.person_again.len() + media.other.len();
        ensure!(
            reports[0].bytes > sent as u64,
            "the capture is smaller than the samples that went through the relays"
        );
        let failed: Vec<_> = reports.iter().filter(|report| !report.ok).collect();
        ensure!(failed.is_empty(), "{failed:?}");
        Ok(())
    });
}

/// The search would have found the samples on the bank's own side of TLS.
#[test]
fn the_same_search_finds_a_sample_sent_in_the_clear() {
    let Some(environment) =
        Environment::with_media("the_same_search_finds_a_sample_sent_in_the_clear")
    else {
        return;
    };
    let outcome = (|| -> Result<()> {
        let media = environment.media()?;
        let dir = tempfile::tempdir()?;
        let sample = dir.path().join("sample.jpg");
        std::fs::write(&sample, &media.person)?;
        let mut markers = Markers::default();
        markers.image("person", sample);
        markers.text("customer id", "customer-0123456789ab");
        let clear = dir.path().join("clear");
        let body = redoubt_bank::api::verify_body("customer-0123456789ab", &media.person);
        std::fs::write(&clear, body.to_string())?;
        let report = &blindness::search(&[clear], &markers)?[0];
        ensure!(!report.ok && report.markers_found >= 2, "{report:?}");
        Ok(())
    })();
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

fn samples(appliance: &Appliance, media: &Media, markers: &mut Markers) -> Result<()> {
    let dir = appliance.dir().join("samples");
    std::fs::create_dir_all(&dir)?;
    for (name, bytes) in [
        ("person", &media.person),
        ("person again", &media.person_again),
        ("other", &media.other),
        ("two faces", &media.two_faces),
        ("dark", &media.dark),
    ] {
        let path = dir.join(format!("{name}.jpg"));
        std::fs::write(&path, bytes)?;
        markers.image(&format!("image {name}"), path);
    }
    Ok(())
}

/// Everything a customer does, the failures too.
async fn a_customers_day(
    appliance: &Appliance,
    bank: &Bank,
    media: &Media,
    markers: &mut Markers,
) -> Result<()> {
    let mut customer = Customer::registered(bank, &appliance.banks.a).await?;
    let user = customer.id.clone();
    let session = customer.login(bank).await?;
    bank.enroll(&user, &media.person).await?;
    bank.verify(&user, &media.person_again).await?;
    bank.verify(&user, &media.other).await?;
    for sample in [&media.two_faces, &media.dark, &media.not_an_image] {
        ensure!(bank.verify(&user, sample).await.is_err());
    }
    let paid = payment("250.00");
    customer.approve(bank, &paid).await?;
    let nobody = random_name("customer");
    ensure!(bank.verify(&nobody, &media.person).await?.result == "rejected");
    ensure!(
        bank.login_verify(&user, &serde_json::json!({}))
            .await
            .is_err()
    );
    markers.text("customer id", &user);
    markers.text("unknown customer id", &nobody);
    markers.text("payment reference", &paid.reference);
    markers.text("payee name", &paid.payee.name);
    markers.text("payee account", &paid.payee.account);
    let phone = random_name("telephone");
    let device = format!("/api/v1/subjects/{user}/devices/{}", session.device_id);
    let reply = bank
        .post(&device, &serde_json::json!({"name": phone}))
        .await?;
    ensure!(reply.status == 200, "{reply:?}");
    redoubt_e2e::sessions::introspect(bank, &session.session_token).await?;
    markers.text("device name", &phone);
    markers.text("device id", &session.device_id);
    markers.text("session id", &session.session_id);
    markers.text("session token", &session.session_token);
    markers.text("credential id", &session.credential_id);
    Ok(())
}

fn metrics(appliance: &Appliance) -> Result<PathBuf> {
    let url = format!("{}/metrics", appliance.admin_url()?);
    let output = run_ok(Command::new("curl").args(["--silent", "--fail", &url]))?;
    ensure!(!output.stdout.is_empty(), "an empty metrics page");
    let path = appliance.dir().join("metrics.txt");
    std::fs::write(&path, output.stdout).context("metrics")?;
    Ok(path)
}
