//! Erasure that is real, epochs that end, officers who change.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_bank::Bank;
use redoubt_e2e::behaviour::runtime;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::folder::{copy, replace};
use redoubt_e2e::peers::{Duty, PeerSet};
use redoubt_e2e::process::run_ok;
use redoubt_e2e::{Appliance, Customer, Environment, Options, pki};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An appliance with its peers beside it.
struct Guarded {
    appliance: Appliance,
    peers: PeerSet,
    beside: TempDir,
}

impl Guarded {
    /// `None` when there are no programs: the test is skipped by name.
    fn new(test: &str, count: usize, duties: &[(Duty, usize)]) -> Result<Option<Self>> {
        let Some(environment) = Environment::find(test) else {
            return Ok(None);
        };
        let beside = tempfile::Builder::new().prefix("rdp").tempdir()?;
        let dir = beside.path().join("peers");
        std::fs::create_dir(&dir)?;
        let mut peers = PeerSet::init(&environment, &dir, count)?;
        let ceremony: Vec<_> = duties
            .iter()
            .flat_map(|(duty, needed)| peers.ceremony(*duty, *needed))
            .collect();
        let options = Options {
            without_worker: true,
            ..Options::default()
        };
        let mut appliance = Appliance::prepare_with(&environment, options, &ceremony)?;
        peers.start(&appliance.policy())?;
        appliance.options.peers = peers.addresses();
        appliance.keep_on_failure(Appliance::bring_up)?;
        Ok(Some(Self {
            appliance,
            peers,
            beside,
        }))
    }

    fn bank(&self) -> Result<Bank> {
        self.appliance.bank(&self.appliance.banks.a)
    }

    async fn customer(&self) -> Result<Customer> {
        Customer::registered(&self.bank()?, &self.appliance.banks.a).await
    }

    /// Everything ends; nothing on disk changes.
    fn stop(&mut self) -> Result<()> {
        self.appliance.kill_all()?;
        self.peers.kill_all();
        Ok(())
    }

    /// Peers first, at new ports, then the appliance's processes.
    fn start(&mut self) -> Result<()> {
        self.peers.start(&self.appliance.policy())?;
        self.appliance.options.peers = self.peers.addresses();
        self.appliance.start()
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.beside.path().join(name)
    }

    /// `redoubt rotate`, with more arguments.
    fn rotate(&self, more: &[&Path]) -> Result<Command> {
        let officer = pki::write(
            self.beside.path(),
            "officer",
            &self.appliance.banks.officer.1,
        )?;
        let mut command = Command::new(self.appliance.program("redoubt"));
        command.arg("rotate").arg(self.appliance.url());
        command.arg("--policy").arg(self.appliance.policy());
        command.arg("--officer-cert").arg(&officer.cert);
        command.arg("--officer-key").arg(&officer.key);
        command.args(["--wait", "60"]).args(more);
        Ok(command)
    }

    fn officer(&self) -> Result<Bank> {
        let officer = self.appliance.banks.officer.1.clone();
        self.appliance.client(Some(officer), false)
    }

    async fn epoch(&self) -> Result<u64> {
        let status: Value = self.officer()?.get("/api/v1/epochs").await?.read()?;
        status["epoch"].as_u64().context("no epoch")
    }

    /// What is under way, or null.
    async fn rotation(&self, officer: &Bank) -> Result<Value> {
        let mut status: Value = officer.get("/api/v1/epochs").await?.read()?;
        Ok(status["rotation"].take())
    }
}

/// Runs a behaviour on a guarded appliance of its own, serving when it begins.
fn guarded(
    test: &str,
    count: usize,
    duties: &[(Duty, usize)],
    behaviour: impl AsyncFnOnce(&mut Guarded) -> Result<()>,
) {
    let outcome = runtime().block_on(async {
        let Some(mut guarded) = Guarded::new(test, count, duties)? else {
            return Ok(());
        };
        let outcome = behaviour(&mut guarded).await;
        if outcome.is_err() {
            guarded.appliance.keep_files();
        }
        outcome
    });
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn ask_for_rotation(officer: Bank) -> Result<()> {
    let asked = officer.post("/api/v1/epochs/rotate", &json!({})).await?;
    asked.read::<Value>()?;
    Ok(())
}

async fn erase(bank: &Bank, path: &str) -> Result<Value> {
    Ok(bank.delete(path).await?.read()?)
}

async fn erasure(bank: &Bank, erased: &Value) -> Result<Value> {
    let id = erased["erasure_id"].as_str().context("no erasure_id")?;
    Ok(bank.get(&format!("/api/v1/erasures/{id}")).await?.read()?)
}

#[test]
fn after_erasure_and_rotation_an_old_disk_with_old_shares_opens_nothing() {
    let name = "after_erasure_and_rotation_an_old_disk_with_old_shares_opens_nothing";
    guarded(name, 3, &[(Duty::Custodian, 2)], async |guarded| {
        let mut gone = guarded.customer().await?;
        let mut stays = guarded.customer().await?;

        // What a thief copies before: the disk, and, as a control, what custodians keep.
        guarded.stop()?;
        let disk = guarded.beside("disk");
        copy(&guarded.appliance.store_dir(), &disk)?;
        let custodians = guarded.peers.copy_to(&guarded.beside("custodians"))?;
        guarded.start()?;
        guarded.appliance.bring_up()?;

        let bank = guarded.bank()?;
        let erased = erase(&bank, &format!("/api/v1/subjects/{}", gone.id)).await?;
        ensure!(erased["status"] == "pending-epoch", "{erased}");
        ensure!(
            erased["depends_on"].as_array().map(Vec::len) == Some(3),
            "{erased}"
        );
        expect_code(gone.login(&bank).await, "no_passkey")?;
        run_ok(&mut guarded.rotate(&[])?)?;
        ensure!(guarded.epoch().await? == 1);
        let dark = erasure(&bank, &erased).await?;
        ensure!(dark["status"] == "dark", "{dark}");
        ensure!(
            dark["statements"].as_array().map(Vec::len) == Some(3),
            "{dark}"
        );
        stays.login(&bank).await?;

        guarded.stop()?;
        let new_disk = guarded.beside("new-disk");
        copy(&guarded.appliance.store_dir(), &new_disk)?;
        let emptied = guarded.peers.copy_to(&guarded.beside("emptied"))?;

        // The old disk, the officers' same shares, the custodians of now: nothing opens.
        replace(&disk, &guarded.appliance.store_dir())?;
        forget_heads(&guarded.appliance)?;
        guarded.start()?;
        let unsealed = guarded.appliance.unseal();
        ensure!(unsealed.is_err(), "the old disk opened");
        guarded.appliance.wait_for_phase("halted")?;
        let logs = guarded.appliance.logs()?;
        ensure!(logs.contains("retired and never come back"), "{logs}");

        // The control: with what custodians kept before, everything opens.
        guarded.stop()?;
        guarded.peers.put_back(&custodians)?;
        replace(&disk, &guarded.appliance.store_dir())?;
        forget_heads(&guarded.appliance)?;
        guarded.start()?;
        guarded.appliance.bring_up()?;
        gone.login(&guarded.bank()?).await?;

        // And the disk of now with the custodians of now goes on.
        guarded.stop()?;
        guarded.peers.put_back(&emptied)?;
        replace(&new_disk, &guarded.appliance.store_dir())?;
        forget_heads(&guarded.appliance)?;
        guarded.start()?;
        guarded.appliance.bring_up()?;
        stays.login(&guarded.bank()?).await?;
        expect_code(gone.login(&guarded.bank()?).await, "no_passkey")?;
        Ok(())
    });
}

/// The thief has no officer's memory to hold against the disk.
fn forget_heads(appliance: &Appliance) -> Result<()> {
    let memory = appliance.dir().join("officer-memory.json");
    if memory.exists() {
        std::fs::remove_file(memory)?;
    }
    Ok(())
}

#[test]
fn a_silent_custodian_is_named_until_it_deletes_too() {
    let name = "a_silent_custodian_is_named_until_it_deletes_too";
    guarded(name, 2, &[(Duty::Custodian, 1)], async |guarded| {
        let gone = guarded.customer().await?;
        let bank = guarded.bank()?;
        let erased = erase(&bank, &format!("/api/v1/subjects/{}", gone.id)).await?;
        // A new epoch needs every custodian to take its share.
        guarded.peers.kill(1);
        let mut refused = guarded.rotate(&[])?;
        let output = refused.output()?;
        ensure!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(text.contains("peer-2"), "{text}");
        ensure!(erasure(&bank, &erased).await?["status"] == "pending-epoch");
        ensure!(guarded.epoch().await? == 0);
        // Its port is another one now, so the host starts anew.
        guarded.stop()?;
        guarded.start()?;
        guarded.appliance.bring_up()?;
        run_ok(&mut guarded.rotate(&[])?)?;
        let bank = guarded.bank()?;
        ensure!(erasure(&bank, &erased).await?["status"] == "dark");
        Ok(())
    });
}

#[test]
fn a_rotation_killed_anywhere_can_be_run_again() {
    let name = "a_rotation_killed_anywhere_can_be_run_again";
    guarded(name, 2, &[(Duty::Custodian, 2)], async |guarded| {
        let mut customer = guarded.customer().await?;
        // An undisturbed one tells how long it takes.
        let (officer, began) = (guarded.officer()?, Instant::now());
        ask_for_rotation(officer.clone()).await?;
        while !guarded.rotation(&officer).await?.is_null() || guarded.epoch().await? == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let whole = began.elapsed();
        let (mut epoch, mut under_way) = (1, 0);
        for part in 1..=5 {
            let officer = guarded.officer()?;
            let asked = tokio::spawn(ask_for_rotation(officer.clone()));
            tokio::time::sleep(whole * part / 6).await;
            under_way += u32::from(!guarded.rotation(&officer).await?.is_null());
            guarded.appliance.kill_enclave();
            // Whatever the officer was told: what counts is on disk.
            let _ = asked.await?;
            guarded.appliance.bring_up()?;
            let now = guarded.epoch().await?;
            ensure!(now == epoch || now == epoch + 1, "{now} after {epoch}");
            epoch = now;
            customer.login(&guarded.bank()?).await?;
        }
        println!("{under_way} of 5 kills in a rotation of {whole:?}");
        ensure!(under_way > 0, "no kill came while a rotation was under way");
        run_ok(&mut guarded.rotate(&[])?)?;
        ensure!(guarded.epoch().await? == epoch + 1);
        customer.login(&guarded.bank()?).await?;
        Ok(())
    });
}

#[test]
fn officers_change_while_serving_and_old_shares_open_nothing_any_more() {
    let name = "officers_change_while_serving_and_old_shares_open_nothing_any_more";
    guarded(name, 1, &[(Duty::Witness, 1)], async |guarded| {
        let mut customer = guarded.customer().await?;
        let appliance = &guarded.appliance;
        let next = guarded.beside("next");
        run_ok(
            Command::new(appliance.program("redoubt"))
                .args([
                    "genesis",
                    "successor",
                    "--officers",
                    "2",
                    "--threshold",
                    "2",
                ])
                .arg("--from")
                .arg(appliance.genesis_dir().join("genesis.json"))
                .arg("--officer-key")
                .arg(appliance.genesis_dir().join("officer-1.key.pem"))
                .arg("--config")
                .arg(appliance.boot_dir().join("config.json"))
                .arg("--out")
                .arg(&next),
        )?;
        let (genesis, config) = (next.join("genesis.json"), next.join("config.json"));
        let (one, two) = (share(&next, 1)?, share(&next, 2)?);
        let boot = appliance.boot_dir();
        let mut arguments: Vec<&Path> = Vec::new();
        for (flag, path) in [
            ("--genesis", &genesis),
            ("--config", &config),
            ("--share", &one),
            ("--share", &two),
            ("--boot-dir", &boot),
        ] {
            arguments.extend([Path::new(flag), path.as_path()]);
        }
        run_ok(&mut guarded.rotate(&arguments)?)?;
        ensure!(guarded.epoch().await? == 1);
        customer.login(&guarded.bank()?).await?;

        guarded.stop()?;
        guarded.start()?;
        guarded.appliance.wait_for_phase("awaiting_unseal")?;
        ensure!(
            guarded.appliance.unseal().is_err(),
            "the old share must not fit"
        );
        let policy = next.join("policy.json");
        for share in [&one, &two] {
            run_ok(
                Command::new(guarded.appliance.program("redoubt"))
                    .arg("unseal")
                    .arg(guarded.appliance.url())
                    .arg("--policy")
                    .arg(&policy)
                    .arg("--share")
                    .arg(share),
            )?;
        }
        guarded.appliance.wait_for_phase("serving")?;
        let out = guarded.appliance.trust_dir();
        let url = guarded.appliance.url();
        run_ok(&mut guarded.appliance.trust_command(&url, &policy, &out))?;
        customer.login(&guarded.bank()?).await?;
        Ok(())
    });
}

fn share(dir: &Path, officer: u8) -> Result<PathBuf> {
    let ending = format!("-{officer}.share.json");
    let files = std::fs::read_dir(dir)?.filter_map(Result::ok);
    files
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(&ending))
        .with_context(|| format!("no share {officer}"))
}
