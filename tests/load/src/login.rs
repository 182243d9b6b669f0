//! The enclave's processor time for one login (options and assertion) beside
//! the sum of what no implementation can leave out, measured in the same run and in
//! turns, so that whoever else uses the machine disturbs both: two requests on a bare TLS
//! server, one signature verified, one entry sealed and its head signed. With one client
//! the second request also waits for a store outside: an enclave has no disk, and
//! nothing is said before it is durable. With many clients that wait is shared, and not
//! counted. Not counted either, though it is done: JSON, the commitment and the sealing
//! of each event under its customer's key, the appliance's own entry and head.
//!
//! Then the same with a tenant's policy in force, beside another tenant without one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use redoubt_bank::client::Bank;
use redoubt_bank::load::{Kind, Measured, Plan};
use redoubt_e2e::{Appliance, Environment, Options};

use crate::bare::{Bare, STORED};
use crate::cpu;
use crate::rows::Row;

/// Turns, and seconds of each.
const TURNS: usize = 3;
const SECONDS: u64 = 4;
const CLIENTS: [usize; 2] = [1, 64];
/// A whole login is at most this many times what cannot be left out.
const WHOLE_REQUEST: f64 = 2.5;

pub(crate) fn run() -> Result<Vec<Row>> {
    let Some(environment) = Environment::find("login") else {
        bail!("start this with cargo xtask bench")
    };
    let appliance = Appliance::serving(&environment, Options::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let bare = Bare::start()?;
    let mut rows = Vec::new();
    for clients in CLIENTS {
        rows.extend(runtime.block_on(beside_bare(&appliance, &bare, clients))?);
    }
    rows.extend(crate::policy::rows(&environment, &runtime)?);
    Ok(rows)
}

/// One turn after the other of logins, bare requests and cryptography.
async fn beside_bare(appliance: &Appliance, bare: &Bare, clients: usize) -> Result<Vec<Row>> {
    let last = if clients == 1 { STORED } else { "/" };
    let bank = appliance.bank(&appliance.banks.a)?;
    logins(appliance, &bank, clients, 1).await?;
    let (mut turns, mut first, mut second, mut crypto) = (Vec::new(), 0.0, 0.0, 0.0);
    for _ in 0..TURNS {
        turns.push(logins(appliance, &bank, clients, SECONDS).await?);
        first += bare_request(bare, clients, "/").await? / TURNS as f64;
        second += bare_request(bare, clients, last).await? / TURNS as f64;
        crypto += unavoidable_cryptography()? / TURNS as f64;
    }
    let ok = turns.iter().map(|(_, measured)| measured.ok).sum::<usize>();
    let spent: f64 = turns.iter().map(|(spent, _)| spent).sum();
    let stored = if clients == 1 {
        ", one of them through a store"
    } else {
        ""
    };
    let name = format!(
        "enclave CPU of a login, {clients} clients, against 2 bare requests ({first:.1} and {second:.1} us{stored}) and its cryptography ({crypto:.1} us)"
    );
    let peer = first + second + crypto;
    let row = Row::new(name, spent / ok as f64, peer, "us", ok).at_most(WHOLE_REQUEST);
    let last = turns
        .last()
        .map(|(_, measured)| durable_row(measured, clients));
    Ok(std::iter::once(row).chain(last.transpose()?).collect())
}

/// The slowest logins beside the slowest durable appends of the same moment.
fn durable_row(measured: &Measured, clients: usize) -> Result<Row> {
    let appends = crate::durable::raw_appends(400)?;
    let peer = crate::rows::percentile(&appends, 0.99);
    let name =
        format!("p99 of a login, {clients} clients, against p99 of one raw 4 KiB durable append");
    Ok(Row::new(name, measured.p99_ms, peer, "ms", measured.ok))
}

/// Logins for so many seconds: the enclave's processor time for all of them, in microseconds,
/// with that of its children.
pub(crate) async fn logins(
    appliance: &Appliance,
    bank: &Bank,
    clients: usize,
    seconds: u64,
) -> Result<(f64, Measured)> {
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        kind: Kind::Assert,
        clients,
        duration: Duration::from_secs(seconds),
        media: None,
        receipts: dir.path().join("receipts"),
    };
    let enclave = appliance
        .enclave_pid()
        .context("the enclave is not running")?;
    let spent = || anyhow::Ok(cpu::of_process(enclave)? + cpu::of_children(enclave)?);
    let before = spent()?;
    let measured = redoubt_bank::load::run(bank, &plan).await?;
    let spent = spent()? - before;
    if measured.ok == 0 {
        bail!("no login succeeded: {:?}", measured.errors);
    }
    Ok((spent, measured))
}

/// The bare server's time for one request of a login's size.
async fn bare_request(bare: &Bare, clients: usize, path: &'static str) -> Result<f64> {
    let bank = bare.client()?;
    let body = serde_json::json!({ "user_id": "x".repeat(700) });
    let before = cpu::of_process(bare.pid())?;
    let end = Instant::now() + Duration::from_secs(SECONDS / 4);
    let tasks: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(repeat(bank.clone(), path, body.clone(), end)))
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok((cpu::of_process(bare.pid())? - before) / done as f64)
}

async fn repeat(
    bank: Bank,
    path: &'static str,
    body: serde_json::Value,
    end: Instant,
) -> Result<usize> {
    let mut done = 0;
    while Instant::now() < end {
        bank.post(path, &body)
            .await
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        done += 1;
    }
    Ok(done)
}

/// One P-256 verification, one AES-256-GCM seal of 4 KiB, one Ed25519 signature.
fn unavoidable_cryptography() -> Result<f64> {
    let random = SystemRandom::new();
    let message = [7u8; 256];
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let signature = pair.sign(&random, &message)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key());
    let verify = cpu::on_average(|| assert!(key.verify(&message, signature.as_ref()).is_ok()))?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32])?);
    let seal = cpu::on_average(|| {
        let mut body = vec![0u8; 4096];
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let sealed = key.seal_in_place_append_tag(nonce, Aad::from([0u8; 64]), &mut body);
        assert!(sealed.is_ok());
    })?;
    let pair = Ed25519KeyPair::generate()?;
    let sign = cpu::on_average(|| {
        std::hint::black_box(pair.sign(&message));
    })?;
    Ok(verify + seal + sign)
}
