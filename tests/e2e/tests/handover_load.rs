//! A handover under load, and what the giver keeps of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::attester::EmulatedAttester;
use redoubt_attestation::encode::from_b64u;
use redoubt_attestation::shares::{Share, combine};
use redoubt_bank::load::{self, Kind, Plan};
use redoubt_bank::receipts::{Journal, check_all};
use redoubt_bank::{Bank, BankError, Transaction, random_name};
use redoubt_e2e::Customer;
use redoubt_e2e::customer::payment;
use redoubt_e2e::desk::{Desk, desk, desk_with_faces};
use redoubt_e2e::memory::copies;
use redoubt_e2e::peers::Duty;
use redoubt_e2e::process::{run_ok, signal};
use redoubt_enclave::keys::{Keyring, Pool, Root};
use redoubt_enclave::ledger::{StoreClient, recover};
use redoubt_shared::Endpoint;
use serde_json::Value;

/// Everything that opens or signs, by name: the store, read as somebody reads it who has
/// the officers' share (one of one) and the custodian's (one of one).
async fn secrets(desk: &Desk) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let file = redoubt_e2e::appliance::only_file(&desk.appliance.genesis_dir(), "share")?;
    let secret = combine(&[Share::parse(&std::fs::read(file)?)?])?;
    let custodians = custodian_secret(&desk.file("peers"))?;
    let root = Root::new(secret.expose_secret(), &custodians);
    let epoch = root.epoch(secret.commitment().as_bytes(), 0)?;
    let mut found = vec![
        ("officers' secret", secret.expose_secret().to_vec()),
        ("epoch secret", custodians),
        ("entry key", epoch.entries().expose().to_vec()),
    ];
    let config = std::fs::read(desk.appliance.dir().join("config.plain.json"))?;
    let config: Value = serde_json::from_slice(&config)?;
    let text = |at: &str| config.pointer(at).and_then(Value::as_str).context("config");
    let tenant = (
        text("/tenants/0/id")?.parse()?,
        text("/tenants/0/ledger")?.parse()?,
    );
    let emulated = desk.appliance.genesis_dir().join("emulated");
    let pem = |name: &str| std::fs::read_to_string(emulated.join(name));
    let attester = EmulatedAttester::dangerous_new(&pem("root.pem")?, &pem("root.key")?, b"", 0)?;
    let mut store = StoreClient::new(Endpoint::Unix(desk.appliance.stream('h', "store")));
    let (keys, ledger) = (Keyring::new(epoch, []), text("/appliance_ledger")?.parse()?);
    let pool = Pool::seed(&attester)?;
    let recovered = recover(&mut store, keys, &pool, ledger, &[tenant], None, None).await?;
    let (_, ca) = recovered.appliance.0.opened.as_ref().context("no CA")?;
    // RFC 5915: the private key is an octet string of 32.
    let at = ca
        .pkcs8
        .windows(2)
        .position(|part| part == [4, 32])
        .context("PKCS#8")?
        + 2;
    found.push(("CA key", ca.pkcs8[at..at + 32].to_vec()));
    let (_, state, _) = recovered.tenants.first().context("no tenant")?;
    let seeds = state.keys.as_ref().context("no seeds")?;
    found.push(("tenant's ES256 key", seeds.es256.to_vec()));
    found.push(("tenant's ML-DSA-65 seed", seeds.mldsa65.to_vec()));
    let subject = state.subjects.values().next().context("no subject")?;
    found.push(("subject key", subject.key.expose().to_vec()));
    Ok(found)
}

/// The share of the one custodian of one, which is the secret itself.
fn custodian_secret(peers: &Path) -> Result<Vec<u8>> {
    let vaults = std::fs::read_dir(peers.join("peer-1/shares"))?;
    let vault = vaults.flatten().next().context("no vault")?.path();
    let text = std::fs::read_to_string(redoubt_e2e::appliance::only_file(&vault, "share")?)?;
    Ok(from_b64u(text.trim())?)
}

#[test]
fn the_giver_keeps_nothing_that_opens_the_ledger_or_signs() {
    let name = "the_giver_keeps_nothing_that_opens_the_ledger_or_signs";
    desk(name, 1, &[(Duty::Custodian, 1)], async |desk| {
        let mut customer = Customer::registered(&desk.bank()?, &desk.appliance.banks.a).await?;
        customer.login(&desk.bank()?).await?;
        let secrets = secrets(desk).await?;
        let [giver, ..] = enclaves(desk)?;
        for (what, secret) in &secrets {
            // The epoch's secret is not kept once its key is made.
            let kept = *what != "epoch secret";
            ensure!((copies(giver, secret)? > 0) == kept, "the control: {what}");
        }
        run_ok(&mut desk.run(&desk.signed()?)?)?;
        desk.until_served().await?;
        customer.login(&desk.bank()?).await?;
        let [giver, taker] = enclaves(desk)?;
        let mut left = Vec::new();
        for (what, secret) in &secrets {
            let found = copies(giver, secret)?;
            if found > 0 {
                left.push(format!("{found} of the {what}"));
            }
            let kept = *what != "epoch secret";
            ensure!((copies(taker, secret)? > 0) == kept, "the control: {what}");
        }
        ensure!(left.is_empty(), "the giver kept {}", left.join(", "));
        Ok(())
    });
}

fn enclaves(desk: &Desk) -> Result<[u32; 2]> {
    let giver = desk.appliance.enclave_pid().context("no giver")?;
    Ok([giver, desk.appliance.standby_pid().context("no taker")?])
}

/// One acknowledged approval.
struct Asked {
    key: String,
    user: String,
    transaction: Transaction,
    id: String,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    asked: Vec<Asked>,
    told_to_wait: usize,
    cut: usize,
    longest: Duration,
}

/// Asks for approvals, each until it is acknowledged.
async fn ask_until(bank: Bank, user: String, end: Instant) -> Result<Seen> {
    let mut seen = Seen::default();
    while Instant::now() < end {
        let (key, transaction) = (random_name("key"), payment("3.00"));
        let began = Instant::now();
        let pending = loop {
            match bank.approve_once(&user, &transaction, &key).await {
                Ok(pending) => break pending,
                Err(error) => seen.bear(error).await?,
            }
        };
        seen.longest = seen.longest.max(began.elapsed());
        seen.asked.push(Asked {
            key,
            user: user.clone(),
            transaction,
            id: pending.approval_id,
        });
        // A customer may have 64 open approvals.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    Ok(seen)
}

/// Sends one request again and again without a pause, so that a handover of any
/// length meets some: each answer is the same approval.
async fn repeat_until(bank: Bank, user: String, end: Instant) -> Result<Seen> {
    let (mut seen, mut first) = (Seen::default(), None);
    let (key, transaction) = (random_name("key"), payment("3.00"));
    while Instant::now() < end {
        match bank.approve_once(&user, &transaction, &key).await {
            Ok(pending) => {
                let first = first.get_or_insert_with(|| pending.approval_id.clone());
                ensure!(pending.approval_id == *first, "one request, two approvals");
            }
            Err(error) => seen.bear(error).await?,
        }
    }
    Ok(seen)
}

impl Seen {
    /// Only two things may happen to a request besides being answered.
    async fn bear(&mut self, error: BankError) -> Result<()> {
        match error {
            BankError::Refused {
                status: 503,
                retry_after: Some(_),
                ..
            } => self.told_to_wait += 1,
            BankError::Transport(_) => self.cut += 1,
            other => return Err(other.into()),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }
}

#[test]
fn under_load_no_acknowledged_request_is_lost_and_the_others_are_asked_again() {
    let name = "under_load_no_acknowledged_request_is_lost_and_the_others_are_asked_again";
    desk(name, 0, &[], async |desk| {
        const CLIENTS: usize = 4;
        let (bank, signed) = (desk.bank()?, desk.signed()?);
        let journal = desk.file("logins.jsonl");
        let plan = Plan {
            kind: Kind::Assert,
            clients: 2,
            duration: Duration::from_secs(5),
            media: None,
            receipts: journal.clone(),
        };
        let loaded = bank.clone();
        let logins = tokio::spawn(async move { load::run(&loaded, &plan).await });
        let mut clients = Vec::new();
        let end = Instant::now() + Duration::from_secs(5);
        for _ in 0..CLIENTS {
            let customer = Customer::registered(&bank, &desk.appliance.banks.a).await?;
            clients.push(tokio::spawn(ask_until(bank.clone(), customer.id, end)));
        }
        let customer = Customer::registered(&bank, &desk.appliance.banks.a).await?;
        clients.push(tokio::spawn(repeat_until(bank.clone(), customer.id, end)));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut command = desk.run(&signed)?;
        let began = Instant::now();
        tokio::task::spawn_blocking(move || run_ok(&mut command)).await??;
        let took = began.elapsed();

        let mut total = Seen::default();
        for client in clients {
            let seen = client.await??;
            total.told_to_wait += seen.told_to_wait;
            total.cut += seen.cut;
            total.longest = total.longest.max(seen.longest);
            total.asked.extend(seen.asked);
        }
        let logins = logins.await??;
        println!(
            "handover {took:?}; {} approvals, {} told to wait, {} cut, longest {:?}; logins {} and {:?}",
            total.asked.len(),
            total.told_to_wait,
            total.cut,
            total.longest,
            logins.ok,
            logins.errors
        );
        ensure!(total.told_to_wait > 0, "the handover met no load");
        let others: Vec<_> = logins
            .errors
            .keys()
            .filter(|code| {
                // A login's challenge lives in the memory of the enclave that made it.
                let expected = [
                    "handing_over",
                    "not_serving",
                    "transport",
                    "authentication_failed",
                ];
                !expected.contains(&code.as_str())
            })
            .collect();
        ensure!(others.is_empty(), "{others:?}");

        // The same key finds the same approval, at the other enclave as at the first.
        let mut ids = std::collections::BTreeSet::new();
        for asked in &total.asked {
            let again = bank
                .approve_once(&asked.user, &asked.transaction, &asked.key)
                .await?;
            ensure!(again.approval_id == asked.id, "{} became two", asked.key);
            ensure!(ids.insert(asked.id.clone()), "one answer for two requests");
        }
        let kept = Journal::read(&journal)?;
        let checked = check_all(&bank, &desk.appliance.auditor(), &kept).await?;
        println!("{} of {} receipts", checked.good, checked.checked);
        ensure!(
            checked.checked >= 100,
            "too little load to tell: {checked:?}"
        );
        ensure!(checked.bad.is_empty(), "{:?}", checked.bad);
        Ok(())
    });
}

#[test]
fn a_face_job_that_takes_all_its_time_ends_before_the_secret_goes() {
    let name = "a_face_job_that_takes_all_its_time_ends_before_the_secret_goes";
    desk_with_faces(name, async |desk| {
        let media = desk.appliance.environment().media()?;
        let (bank, user) = (desk.bank()?, random_name("customer"));
        bank.enroll(&user, &media.person).await?;
        let mut run = desk.run(&desk.signed()?)?;
        // A stopped worker: the job ends with the time that the enclave gives it.
        signal(desk.appliance.worker_pid()?, libc::SIGSTOP)?;
        let (client, who) = (bank.clone(), user.clone());
        let asked = tokio::spawn(async move { client.verify(&who, &media.person).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        tokio::task::spawn_blocking(move || run_ok(&mut run)).await??;
        let took = began.elapsed();
        ensure!(took > Duration::from_secs(10), "the job was not waited for");
        let answer = asked.await?;
        let code = answer.as_ref().err().and_then(BankError::code);
        ensure!(code == Some("worker_unavailable"), "{answer:?}");

        // The attempt was given back by the giver, and the taker finds none open.
        desk.until_served().await?;
        let path = format!("/api/v1/audit/events?user_id={user}");
        let events: Value = desk.bank()?.get(&path).await?.read()?;
        ensure!(
            events.to_string().contains("worker_deadline"),
            "nothing tells of the job's end: {events}"
        );
        Ok(())
    });
}
