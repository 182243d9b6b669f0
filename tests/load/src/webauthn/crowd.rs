//! A million customers with three devices each: bytes in memory, and whether a
//! login is slower among them than among a thousand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redoubt_enclave::core::{Command, Facts, SubjectHandle, TenantState, apply, decide};
use redoubt_enclave::passkeys::Algorithm;
use redoubt_shared::ReceiptId;

use super::keys::Key;
use super::verification::record;
use crate::ledger::{Memory, Rig, work};
use crate::rows::{Row, percentile};

const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;
const DEVICES: u64 = 3;
/// Logins timed, one after the other, customers far apart.
const LOGINS: u64 = 4_000;
/// Step through the customers; shares no factor with their number.
const STRIDE: u64 = 7_919;
/// Times of the two crowds: at most this many times apart.
const UNAFFECTED: f64 = 1.25;
/// Who has the fewest customers was measured how often; the best counts.
const ROUNDS: usize = 3;

pub(super) fn rows() -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rig = Rig::new()?;
    let key = Key::generate(Algorithm::Es256)?;
    let few = crowd(&rig, &key, FEW)?;
    let before = resident()?;
    let many = crowd(&rig, &key, MANY)?;
    let bytes = (resident()? - before) / MANY as f64;
    let [mut best_few, mut best_many] = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        let p99 = |state: &TenantState, size| runtime.block_on(logins(&rig, state.clone(), size));
        best_few = best_few.min(p99(&few, FEW)?);
        best_many = best_many.min(p99(&many, MANY)?);
    }
    let name = "webauthn: resident bytes of a customer with three devices, a million of them";
    let row =
        "webauthn: p99 of deciding a login among a million customers, against among a thousand";
    Ok(vec![
        Row::alone(name, bytes, "B", MANY as usize),
        Row::new(row, best_many, best_few, "ms", LOGINS as usize).at_most(UNAFFECTED),
    ])
}

/// The state in which so many customers have registered three devices each.
fn crowd(rig: &Rig, key: &Key, customers: u64) -> Result<TenantState> {
    let (mut state, context) = (TenantState::default(), rig.context("none"));
    for number in 0..customers * DEVICES {
        let command = Command::RegisterPasskey {
            user: work::user(number / DEVICES)?,
            user_handle: sixteen(number / DEVICES),
            record: Box::new(record(key, credential(number))),
        };
        let facts = Facts {
            now_ms: 1_700_000_000_000,
            receipt: ReceiptId::from_bytes(rig.pool.draw()?),
            handle: SubjectHandle(rig.pool.draw()?),
            user_handle: [0; 16],
            subject_key: rig.pool.draw()?,
        };
        let decision = decide(&state, &context, command, &facts)?;
        for recorded in &decision.events {
            apply(&mut state, recorded);
        }
    }
    Ok(state)
}

/// The 99th percentile of a login's decision, its record looked up by name, in milliseconds.
async fn logins(rig: &Rig, state: TenantState, customers: u64) -> Result<f64> {
    let memory = Memory::behind(1).await?;
    let ledgers = rig.start_behind(memory.client(), state, 1).await?;
    let mut times: Vec<Duration> = Vec::new();
    for at in 0..LOGINS {
        let number = at * STRIDE % customers;
        let (tenant, user) = (rig.tenant.clone(), work::user(number)?);
        let began = Instant::now();
        let found = ledgers
            .look(move |core| {
                let (_, subject) = core.tenants.get(&tenant)?.state.subject(&user)?;
                subject.passkeys.values().next().cloned()
            })
            .await?;
        let record = found.context("a customer is missing")?;
        // Among few the same customer comes again: the counter has to go on.
        let turn = u32::try_from(at * STRIDE / customers + 1)?;
        work::decide(
            &ledgers,
            &rig.tenant,
            work::login_with(number, record.id, turn)?,
        )
        .await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(percentile(&times, 0.99))
}

fn credential(number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[3; 24]].concat()
}

fn sixteen(number: u64) -> [u8; 16] {
    let mut id = [5; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// Bytes of this process in memory.
fn resident() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split_whitespace()
        .nth(1)
        .context("statm is too short")?;
    Ok(pages.parse::<f64>()? * 4096.0)
}
