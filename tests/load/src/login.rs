//! The enclave's processor time for one login (options and assertion) beside
//! the sum of what no implementation can leave out, measured in the same run:
//! two requests on a bare TLS server, one signature verified, one entry sealed
//! and its head signed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use redoubt_bank::client::Bank;
use redoubt_bank::load::{Kind, Measured, Plan};
use redoubt_e2e::{Appliance, Environment, Options};

use crate::bare::Bare;
use crate::cpu;
use crate::rows::Row;

const SECONDS: u64 = 8;
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
        let (ours, measured) = runtime.block_on(logins(&appliance, clients))?;
        let request = runtime.block_on(bare_request(&bare, clients))?;
        let crypto = unavoidable_cryptography()?;
        let peer = 2.0 * request + crypto;
        let name = format!(
            "enclave CPU of a login, {clients} clients, against 2 bare requests ({request:.1} us each) and its cryptography ({crypto:.1} us)"
        );
        rows.push(Row::new(name, ours, peer, "us", measured.ok).at_most(WHOLE_REQUEST));
        rows.push(durable_row(&measured, clients)?);
    }
    Ok(rows)
}

/// The slowest logins beside the slowest durable appends of the same moment.
fn durable_row(measured: &Measured, clients: usize) -> Result<Row> {
    let appends = crate::durable::raw_appends(400)?;
    let peer = crate::rows::percentile(&appends, 0.99);
    let name =
        format!("p99 of a login, {clients} clients, against p99 of one raw 4 KiB durable append");
    Ok(Row::new(name, measured.p99_ms, peer, "ms", measured.ok))
}

async fn logins(appliance: &Appliance, clients: usize) -> Result<(f64, Measured)> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let dir = tempfile::tempdir()?;
    let plan = |seconds| Plan {
        kind: Kind::Assert,
        clients,
        duration: Duration::from_secs(seconds),
        media: None,
        receipts: dir.path().join("receipts"),
    };
    redoubt_bank::load::run(&bank, &plan(1)).await?;
    let [enclave, ..] = appliance.pids()?;
    let before = cpu::of_process(enclave)?;
    let measured = redoubt_bank::load::run(&bank, &plan(SECONDS)).await?;
    let spent = cpu::of_process(enclave)? - before;
    if measured.ok == 0 {
        bail!("no login succeeded: {:?}", measured.errors);
    }
    Ok((spent / measured.ok as f64, measured))
}

/// The bare server's time for one request of a login's size.
async fn bare_request(bare: &Bare, clients: usize) -> Result<f64> {
    let bank = bare.client()?;
    let body = serde_json::json!({ "user_id": "x".repeat(700) });
    let before = cpu::of_process(bare.pid())?;
    let end = Instant::now() + Duration::from_secs(SECONDS / 2);
    let tasks: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(repeat(bank.clone(), body.clone(), end)))
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok((cpu::of_process(bare.pid())? - before) / done as f64)
}

async fn repeat(bank: Bank, body: serde_json::Value, end: Instant) -> Result<usize> {
    let mut done = 0;
    while Instant::now() < end {
        bank.post("/", &body)
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
    let verify = cpu::per_call(200, || {
        assert!(key.verify(&message, signature.as_ref()).is_ok())
    })?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32])?);
    let seal = cpu::per_call(500, || {
        let mut body = vec![0u8; 4096];
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let sealed = key.seal_in_place_append_tag(nonce, Aad::from([0u8; 64]), &mut body);
        assert!(sealed.is_ok());
    })?;
    let pair = Ed25519KeyPair::generate()?;
    let sign = cpu::per_call(500, || {
        std::hint::black_box(pair.sign(&message));
    })?;
    Ok(verify + seal + sign)
}
