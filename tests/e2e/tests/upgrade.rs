//! Images that come and go, and what officers refuse to open.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redoubt_attestation::genesis::{Config, Genesis, SignedFile};
use redoubt_attestation::sign::Es256Signer;
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::appraisal::{appraisal_policy, pcr0};
use redoubt_e2e::behaviour::runtime;
use redoubt_e2e::guarded::{Guarded, guarded};
use redoubt_e2e::manifests::{STAYS, adopt, another_image};
use redoubt_e2e::peers::Duty;
use redoubt_e2e::process::{run, run_ok};
use redoubt_e2e::{Appliance, Customer, Environment, Needs, Options, alone};
use serde_json::{Value, json};

#[test]
fn an_image_is_allowed_while_serving_and_the_one_before_withdrawn() {
    let name = "an_image_is_allowed_while_serving_and_the_one_before_withdrawn";
    guarded(name, 1, &[(Duty::Witness, 1)], async |guarded| {
        let mut customer = guarded.customer().await?;
        let old = guarded.appliance.program("redoubt-enclave");
        let new = another_image(&old, &guarded.beside("another-enclave"))?;

        // Nobody allowed it yet.
        guarded.stop()?;
        guarded.appliance.options.enclave = Some(new.clone());
        refuses_to_start(guarded)?;
        guarded.appliance.options.enclave = None;
        guarded.start()?;
        guarded.appliance.bring_up()?;

        let file = new.to_str().context("path")?;
        let both = guarded.successor("both", &[&STAYS[..], &["--enclave-bin", file]].concat())?;
        run_ok(&mut guarded.change_to(&both)?)?;
        customer.login(&guarded.bank()?).await?;
        guarded.stop()?;
        adopt(&guarded.appliance, &both)?;
        // Either image serves now.
        guarded.start()?;
        guarded.appliance.bring_up()?;
        customer.login(&guarded.bank()?).await?;
        guarded.stop()?;
        guarded.appliance.options.enclave = Some(new.clone());
        guarded.start()?;
        guarded.appliance.bring_up()?;
        customer.login(&guarded.bank()?).await?;

        let pcr0 = pcr0(&guarded.appliance, &old)?;
        let withdraw = [&STAYS[..], &["--withdraw", &pcr0]].concat();
        let one = guarded.successor("one", &withdraw)?;
        run_ok(&mut guarded.change_to(&one)?)?;
        guarded.stop()?;
        guarded.appliance.options.enclave = None;
        refuses_to_start(guarded)?;

        // A host that brings the manifest of before gets it to start, and no further:
        // officers of now refuse it, and shares of before open nothing.
        let boot = guarded.appliance.boot_dir();
        for name in ["genesis.json", "config.json"] {
            std::fs::copy(both.join(name), boot.join(name))?;
        }
        guarded.start()?;
        guarded.appliance.wait_for_phase("awaiting_unseal")?;
        let now = unseal(&guarded.appliance, &one, &[])?;
        ensure!(now["code"] == "measurement_not_allowed", "{now}");
        ensure!(guarded.appliance.unseal().is_err(), "old shares opened it");
        guarded.appliance.wait_for_phase("halted")?;

        guarded.stop()?;
        adopt(&guarded.appliance, &one)?;
        for name in ["genesis.json", "config.json"] {
            std::fs::copy(one.join(name), boot.join(name))?;
        }
        guarded.appliance.options.enclave = Some(new);
        guarded.start()?;
        guarded.appliance.bring_up()?;
        customer.login(&guarded.bank()?).await?;
        Ok(())
    });
}

fn refuses_to_start(guarded: &mut Guarded) -> Result<()> {
    let log = guarded.appliance.log_dir().join("enclave.log");
    let before = std::fs::read(&log)?.len();
    guarded.start()?;
    wait_for(Duration::from_secs(20), "the enclave's end", || {
        (!guarded.appliance.enclave_is_alive()).then_some(())
    })?;
    let said = std::fs::read(&log)?;
    let said = String::from_utf8_lossy(&said[before..]).into_owned();
    ensure!(
        said.contains("which the genesis manifest does not allow"),
        "{said}"
    );
    guarded.stop()
}

/// `redoubt unseal` with what is in a ceremony's folder; its JSON answer.
fn unseal(appliance: &Appliance, ceremony: &Path, more: &[&Path]) -> Result<Value> {
    let mut command = Command::new(appliance.program("redoubt"));
    command.args(["--json", "unseal"]).arg(appliance.url());
    command.arg("--policy").arg(ceremony.join("policy.json"));
    command
        .arg("--share")
        .arg(ceremony.join("officer-1.share.json"));
    let output = run(command.args(more))?;
    serde_json::from_slice(&output.stdout).context("no JSON")
}

const QUICK: fn() -> Options = || Options {
    without_worker: true,
    ..Options::default()
};

#[test]
fn no_share_goes_to_an_image_that_the_officers_withdrew() {
    let name = "no_share_goes_to_an_image_that_the_officers_withdrew";
    alone(name, Needs::Programs, QUICK(), async |appliance| {
        let image = pcr0(appliance, &appliance.program("redoubt-enclave"))?;
        let withdrawn = appraisal_policy(appliance, 2, &[&image])?;
        let harmless = appraisal_policy(appliance, 3, &[])?;
        let older = appraisal_policy(appliance, 1, &[])?;
        appliance.kill_all()?;
        appliance.start()?;
        appliance.wait_for_phase("awaiting_unseal")?;
        let genesis = appliance.genesis_dir();
        let give = |policy: &Path| {
            let more = [Path::new("--appraisal"), policy];
            unseal(appliance, &genesis, &more)
        };
        let refused = give(&withdrawn)?;
        ensure!(refused["code"] == "image_withdrawn", "{refused}");
        // What was seen is remembered: neither an older policy nor none will do.
        let refused = give(&older)?;
        ensure!(refused["code"] == "policy_rolled_back", "{refused}");
        let refused = unseal(appliance, &genesis, &[])?;
        let said = refused["error"].as_str().unwrap_or_default();
        ensure!(said.contains("counter 2 was used before"), "{refused}");
        ensure!(appliance.phase()? == "awaiting_unseal", "a share was given");
        let served = give(&harmless)?;
        ensure!(served["phase"] == "serving", "{served}");

        let officer = redoubt_e2e::pki::write(appliance.dir(), "o", &appliance.banks.officer.1)?;
        let mut rotate = Command::new(appliance.program("redoubt"));
        rotate.args(["--json", "rotate"]).arg(appliance.url());
        rotate.arg("--policy").arg(appliance.policy());
        rotate.arg("--officer-cert").arg(&officer.cert);
        rotate.arg("--officer-key").arg(&officer.key);
        let output = run(rotate.arg("--appraisal").arg(&withdrawn))?;
        let refused: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(refused["code"] == "image_withdrawn", "{refused}");
        Ok(())
    });
}

#[test]
fn once_opened_no_older_configuration_or_manifest_opens_it_again() {
    let name = "once_opened_no_older_configuration_or_manifest_opens_it_again";
    alone(name, Needs::Programs, QUICK(), async |appliance| {
        let boot = appliance.boot_dir();
        let first = std::fs::read(boot.join("config.json"))?;
        let plain = appliance.dir().join("second.plain.json");
        let mut config = payload(&first)?;
        config["counter"] = json!(2);
        std::fs::write(&plain, config.to_string())?;
        appliance.kill_all()?;
        appliance.sign(&plain)?;
        let second = std::fs::read(boot.join("config.json"))?;
        appliance.bring_up()?;
        let halts = |appliance: &mut Appliance, reason: &str| -> Result<()> {
            appliance.kill_all()?;
            appliance.start()?;
            ensure!(appliance.unseal().is_err(), "it opened");
            appliance.wait_for_phase("halted")?;
            let logs = appliance.logs()?;
            ensure!(logs.contains(reason), "{reason}: {logs}");
            appliance.kill_all()
        };
        std::fs::write(boot.join("config.json"), &first)?;
        halts(appliance, "configuration 1 does not follow configuration 2")?;
        // Another one of the same counter is no later one.
        config["policy"]["lockout_minutes"] = json!(31);
        std::fs::write(&plain, config.to_string())?;
        appliance.sign(&plain)?;
        halts(appliance, "configuration 2 does not follow configuration 2")?;

        // The officers' secret stays, so that nothing but the record refuses it.
        let old = std::fs::read(boot.join("genesis.json"))?;
        let next = same_secret(appliance, &old, &config)?;
        appliance.bring_up()?;
        std::fs::write(boot.join("genesis.json"), &old)?;
        std::fs::write(boot.join("config.json"), &second)?;
        std::fs::write(appliance.policy(), next)?;
        halts(appliance, "genesis manifest 1 does not follow manifest 2")
    });
}

fn payload(signed: &[u8]) -> Result<Value> {
    Ok(serde_json::from_slice(
        &SignedFile::parse(signed)?.payload()?,
    )?)
}

/// Puts in place a successor whose officers hold the secret of before, its configuration
/// and its policy; returns the policy of before.
fn same_secret(appliance: &Appliance, old: &[u8], config: &Value) -> Result<Vec<u8>> {
    let dir = appliance.genesis_dir();
    let key =
        Es256Signer::from_pkcs8_pem(&std::fs::read_to_string(dir.join("officer-1.key.pem"))?)?;
    let signed = |payload: &Value| -> Result<Vec<u8>> {
        let mut signed = SignedFile::unsigned(payload.to_string().as_bytes());
        signed.sign("officer-1", &key)?;
        Ok(signed.to_json())
    };
    let before = Genesis::verify(old)?;
    let mut manifest = payload(old)?;
    manifest["counter"] = json!(2);
    manifest["previous"] = json!(before.digest);
    let next = before.successor(&signed(&manifest)?)?;
    let mut config = config.clone();
    config["genesis"] = json!(next.digest);
    config["counter"] = json!(3);
    let config = signed(&config)?;
    Config::verify(&config, &next)?;
    std::fs::write(
        appliance.boot_dir().join("genesis.json"),
        next.envelope.to_json(),
    )?;
    std::fs::write(appliance.boot_dir().join("config.json"), config)?;
    // A share of no particular manifest.
    let share = dir.join("officer-1.share.json");
    let mut open: Value = serde_json::from_slice(&std::fs::read(&share)?)?;
    open.as_object_mut().context("share")?.remove("genesis");
    std::fs::write(&share, open.to_string())?;
    let policy = std::fs::read(appliance.policy())?;
    let pin = redoubt_attestation::genesis::ClientPolicy::pin(&next);
    std::fs::write(appliance.policy(), pin.to_json())?;
    Ok(policy)
}

#[test]
fn an_appliance_founded_question_by_question_serves() {
    let name = "an_appliance_founded_question_by_question_serves";
    let Some(environment) = Environment::find(name) else {
        return;
    };
    let outcome = runtime().block_on(async {
        let mut appliance = Appliance::prepare(&environment, QUICK())?;
        found(&appliance)?;
        appliance.keep_on_failure(Appliance::bring_up)?;
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        customer.login(&bank).await?;
        anyhow::Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

/// Puts a guided ceremony's results in place of those that stand there.
fn found(appliance: &Appliance) -> Result<()> {
    let (dir, boot) = (appliance.genesis_dir(), appliance.boot_dir());
    std::fs::remove_dir_all(&dir)?;
    let answers = json!({
        "name": "e2e", "environment": "emulated", "officers": 1, "threshold": 1,
        "enclave": appliance.program("redoubt-enclave"),
        "worker": appliance.program("redoubt-worker"),
    });
    let file = appliance.dir().join("answers.json");
    std::fs::write(&file, answers.to_string())?;
    let mut ceremony = Command::new(appliance.program("redoubt"));
    ceremony.arg("ceremony").arg("--out").arg(&dir);
    run_ok(ceremony.arg("--answers").arg(&file))?;
    let genesis = std::fs::read(dir.join("genesis.json"))?;
    std::fs::write(boot.join("genesis.json"), &genesis)?;
    let plain = appliance.dir().join("config.plain.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&plain)?)?;
    config["genesis"] = json!(Genesis::verify(&genesis)?.digest);
    std::fs::write(&plain, config.to_string())?;
    appliance.sign(&plain)
}
