//! A running enclave gives its secret to one of another image, where its officers allow
//! that image and nowhere else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redoubt_attestation::document::Document;
use redoubt_attestation::encode::from_b64u;
use redoubt_attestation::shares::{Share, combine};
use redoubt_bank::receipts::{Auditor, check_all, id};
use redoubt_e2e::Customer;
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::appraisal::pcr0;
use redoubt_e2e::customer::payment;
use redoubt_e2e::desk::{Desk, desk};
use redoubt_e2e::handover::read;
use redoubt_e2e::manifests::{adopt, another_image};
use redoubt_e2e::memory::copies;
use redoubt_e2e::peers::Duty;
use redoubt_e2e::process::{run, run_ok};
use serde_json::Value;

/// The image that serves first, and the one after it.
struct Images {
    old: PathBuf,
    new: PathBuf,
}

impl Images {
    fn of(desk: &Desk) -> Result<Self> {
        let old = desk.appliance.program("redoubt-enclave");
        let new = another_image(&old, &desk.file("another-enclave"))?;
        ensure!(pcr0(&desk.appliance, &old)? != pcr0(&desk.appliance, &new)?);
        Ok(Self { old, new })
    }

    /// Officers allow the new image while the old one serves; it waits in the second
    /// place under the new manifest. Returns the folder of that ceremony.
    fn allow(&self, desk: &mut Desk) -> Result<PathBuf> {
        let file = self.new.to_str().context("path")?;
        let both = desk.successor("both", &["--enclave-bin", file])?;
        desk.change_to(&both)?;
        let before = keep_policy(desk, "before")?;
        adopt(&desk.appliance, &both)?;
        desk.papers.before = Some(before.join("policy.json"));
        desk.appliance.options.enclave = Some(self.new.clone());
        desk.appliance.start_standby()?;
        Ok(both)
    }
}

/// A trust folder with the policy of now, for later.
fn keep_policy(desk: &Desk, name: &str) -> Result<PathBuf> {
    let folder = desk.file(name);
    std::fs::create_dir(&folder)?;
    std::fs::copy(desk.appliance.policy(), folder.join("policy.json"))?;
    Ok(folder)
}

/// What `redoubt-audit trust` says of the enclave that banks reach.
fn trust(desk: &Desk, policy: &Path) -> Result<Value> {
    let (url, out) = (desk.appliance.url(), desk.file("asked"));
    let output = run(&mut desk.appliance.trust_command(&url, policy, &out))?;
    serde_json::from_slice(&output.stdout).context("no JSON")
}

/// PCR0 in the evidence that the auditor's trust folder keeps.
fn attested_pcr0(desk: &Desk) -> Result<String> {
    let evidence = read(&desk.appliance.trust_dir().join("evidence.json"))?;
    let document = from_b64u(evidence["document"].as_str().context("document")?)?;
    let registers = Document::parse(&document)?.pcrs.to_hex();
    registers.get(&0).cloned().context("no PCR0")
}

fn officers_secret(folder: &Path) -> Result<Vec<u8>> {
    let share = std::fs::read(folder.join("officer-1.share.json"))?;
    Ok(combine(&[Share::parse(&share)?])?.expose_secret().to_vec())
}

#[test]
fn one_ledger_goes_on_at_another_image() {
    let name = "one_ledger_goes_on_at_another_image";
    let duties = [(Duty::Witness, 2), (Duty::Custodian, 2)];
    desk(name, 2, &duties, async |desk| {
        let (bank, images) = (desk.bank()?, Images::of(desk)?);
        let mut customer = Customer::registered(&bank, &desk.appliance.banks.a).await?;
        let first = customer.login(&bank).await?.receipt;
        let kept = bank.receipt(&id(&first)?).await?;
        let pending = bank.approve(&customer.id, &payment("10.00")).await?;
        ensure!(attested_pcr0(desk)? == pcr0(&desk.appliance, &images.old)?);
        let ca = desk.appliance.ca()?;

        not_before_it_is_allowed(desk, &images)?;
        images.allow(desk)?;
        let second = customer.login(&bank).await?.receipt;
        let secret = officers_secret(&desk.appliance.genesis_dir())?;
        let giver = desk.appliance.enclave_pid().context("no giver")?;
        ensure!(copies(giver, &secret)? > 0, "the control");

        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        ensure!(desk.appliance.phase_at(&desk.appliance.first_url()?)? == "halted");
        ensure!(copies(giver, &secret)? == 0, "the giver kept the secret");
        let taker = desk.appliance.standby_pid().context("no taker")?;
        ensure!(copies(taker, &secret)? > 0, "the control");

        // Who pinned the CA goes on; who asks for evidence needs the policy of now.
        let bank = desk.bank()?;
        let answer = customer.sign_approval(&pending)?;
        let approved = bank
            .approve_verify(&pending.approval_id, &customer.id, &answer)
            .await?;
        let last = customer.login(&bank).await?.receipt;
        let before = desk.file("before");
        let refused = trust(desk, &before.join("policy.json"))?;
        ensure!(refused["code"] == "measurement_not_allowed", "{refused}");
        desk.appliance.trust()?;
        ensure!(desk.appliance.ca()? == ca, "another CA");
        ensure!(attested_pcr0(desk)? == pcr0(&desk.appliance, &images.new)?);

        // What was claimed before, asked for again, stands under a head of now; as it was
        // kept it stands under the policy of its time.
        let auditor = desk.appliance.auditor();
        let checked = check_all(&bank, &auditor, &[first, second, approved.receipt, last]).await?;
        ensure!(checked.good == 4, "{checked:?}");
        ensure!(auditor.verify_value(&kept)?.json["code"] == "head_before");
        let then = Auditor {
            trust: before,
            ..auditor
        };
        ensure!(then.verify_value(&kept)?.accepted());
        one_history(desk).await
    });
}

/// An image that no manifest names ends at once.
fn not_before_it_is_allowed(desk: &mut Desk, images: &Images) -> Result<()> {
    desk.appliance.options.enclave = Some(images.new.clone());
    desk.appliance.launch_standby()?;
    wait_for(Duration::from_secs(20), "the enclave's end", || {
        (!desk.appliance.standby_is_alive()).then_some(())
    })?;
    let logs = desk.appliance.logs()?;
    ensure!(
        logs.contains("which the genesis manifest does not allow"),
        "{logs}"
    );
    Ok(())
}

/// Store and export verify, entry by entry.
async fn one_history(desk: &mut Desk) -> Result<()> {
    let export = desk.bank()?.get("/api/v1/audit/export?from=0").await?;
    let file = desk.file("export.jsonl");
    std::fs::write(&file, &export.body)?;
    desk.appliance.kill_all()?;
    for history in [&file, &desk.appliance.store_dir()] {
        let mut verify = Command::new(desk.appliance.program("redoubt-audit"));
        run_ok(verify.args(["ledger", "verify"]).arg(history))?;
    }
    Ok(())
}

/// An order to the enclave that waits in the first place, made while officers still held
/// the manifest of `then`, and named after the one of now if asked.
fn order(desk: &mut Desk, then: &Path, now: Option<&Value>) -> Result<Value> {
    let policy = std::mem::replace(&mut desk.papers.policy, then.join("policy.json"));
    let before = desk.papers.before.take();
    let order = desk.order();
    desk.papers.policy = policy;
    desk.papers.before = before;
    let mut order = order?;
    for name in ["genesis", "counter"] {
        if let Some(now) = now {
            order[name] = now[name].clone();
        }
    }
    Ok(order)
}

/// An enclave in the first place over the boot files of a ceremony.
fn waits(desk: &mut Desk, image: &Path, files: &Path) -> Result<()> {
    for name in ["genesis.json", "config.json"] {
        std::fs::copy(files.join(name), desk.appliance.boot_dir().join(name))?;
    }
    desk.appliance.kill_enclave();
    desk.appliance.options.enclave = Some(image.to_path_buf());
    desk.another()
}

#[test]
fn no_order_leads_back_to_an_image_or_manifest_of_before() {
    let name = "no_order_leads_back_to_an_image_or_manifest_of_before";
    desk(name, 0, &[], async |desk| {
        let images = Images::of(desk)?;
        let mut customer = Customer::registered(&desk.bank()?, &desk.appliance.banks.a).await?;
        let first = customer.login(&desk.bank()?).await?.receipt;
        let both = images.allow(desk)?;
        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;

        // The new image serves, and the old one is withdrawn.
        let old = pcr0(&desk.appliance, &images.old)?;
        let one = desk.successor("one", &["--withdraw", &old])?;
        desk.change_to(&one)?;
        adopt(&desk.appliance, &one)?;
        desk.papers.before = Some(both.join("policy.json"));
        let now = names_of(&one)?;

        // The host brings back the boot files of before, under which the old image starts.
        waits(desk, &images.old, &both)?;
        let said = desk
            .papers
            .try_order(&desk.appliance.url(), &desk.waiting()?)?;
        ensure!(said["code"] == "measurement_not_allowed", "{said}");
        let back = order(desk, &both, None)?;
        let (code, detail) = desk.refusal(&back).await?;
        ensure!(code == "order_other_manifest", "{code}: {detail}");
        let renamed = order(desk, &both, Some(&now))?;
        let (code, detail) = desk.refusal(&renamed).await?;
        ensure!(code == "order_recipient_refused", "{code}: {detail}");
        ensure!(detail.contains("measurement_not_allowed"), "{detail}");

        // The image of now under the manifest of before is no recipient either.
        waits(desk, &images.new, &both)?;
        let renamed = order(desk, &both, Some(&now))?;
        let (code, detail) = desk.refusal(&renamed).await?;
        ensure!(code == "order_recipient_refused", "{code}: {detail}");
        ensure!(detail.contains("other_genesis"), "{detail}");
        customer.login(&desk.bank()?).await?;

        // Under the manifest of now it is; claims of all three manifests verify.
        waits(desk, &images.new, &one)?;
        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        let last = customer.login(&desk.bank()?).await?.receipt;
        desk.appliance.trust()?;
        let kept = [first, last];
        let checked = check_all(&desk.bank()?, &desk.appliance.auditor(), &kept).await?;
        ensure!(checked.good == 2, "{checked:?}");
        Ok(())
    });
}

/// Digest and counter of a ceremony's manifest, as orders name it.
fn names_of(ceremony: &Path) -> Result<Value> {
    let policy = read(&ceremony.join("policy.json"))?;
    Ok(serde_json::json!({ "genesis": policy["genesis"], "counter": policy["minimum_counter"] }))
}
