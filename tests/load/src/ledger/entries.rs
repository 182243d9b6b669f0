//! Processor time of one entry as the history behind it grows.

use anyhow::{Context, Result};
use redoubt_enclave::core::{Command, Facts, SubjectHandle, TenantState, apply, decide};
use redoubt_enclave::ledger::Ledgers;
use redoubt_shared::{ReceiptId, TenantId};

use super::memory::Memory;
use super::rig::Rig;
use super::work;
use crate::cpu;
use crate::rows::Row;

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Entries measured at a time, and how often; the fastest counts. Together they
/// are too few for a snapshot: what that costs is spread over those between two.
const WINDOW: u64 = 1_500;
const WINDOWS: u64 = 4;
const CUSTOMERS: u64 = 64;
/// Flat: at most this many times the time at the smallest history.
const FLAT: f64 = 1.25;
/// Customers whose commits share entries.
const SHARED: u64 = 128;

/// One command to a batch, so every command is an entry of the tenant's and one
/// of the appliance's. The store takes everything at once and keeps nothing; its
/// side of the socket counts as well.
pub(super) fn run(rig: &Rig, most: u64) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut first = None;
    for size in SIZES {
        if size > most {
            super::say(format_args!("entries: {size} left out by --entries-max"));
            continue;
        }
        // All of it runs on this thread; only a snapshot's writer has its own.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let spent = runtime.block_on(behind(rig, size))?;
        let flat = *first.get_or_insert(spent);
        let name = format!(
            "ledger: CPU of an entry behind {size} entries, against behind {}",
            SIZES[0]
        );
        rows.push(Row::new(name, spent, flat, "us", WINDOW as usize).at_most(FLAT));
    }
    Ok(rows)
}

/// Microseconds of an entry behind so many. They are decided, applied and in the
/// trees, but not sealed or written: that would take a quarter of an hour.
async fn behind(rig: &Rig, entries: u64) -> Result<f64> {
    super::say(format_args!("entries: {entries}"));
    let state = history(rig, entries)?;
    let memory = Memory::behind(entries).await?;
    let ledgers = rig.start_behind(memory.client(), state, entries).await?;
    let (mut at, mut best) = (entries, f64::INFINITY);
    for _ in 0..WINDOWS {
        let before = cpu::of_thread()?;
        for _ in 0..WINDOW {
            work::decide(&ledgers, &rig.tenant, login(at)?).await?;
            at += 1;
        }
        best = best.min((cpu::of_thread()? - before) / WINDOW as f64);
    }
    let size = size(&ledgers, &rig.tenant).await?;
    // The opening and its term share one.
    anyhow::ensure!(size == at + 1, "entries were shared");
    Ok(best)
}

/// Entries of the tenant's ledger.
async fn size(ledgers: &Ledgers, tenant: &TenantId) -> Result<u64> {
    let tenant = tenant.clone();
    let size = ledgers
        .look(move |core| core.tenants.get(&tenant).map(|core| core.book.size()))
        .await?;
    size.context("no such tenant")
}

/// The fold of so many entries: each a login of one of few customers.
fn history(rig: &Rig, entries: u64) -> Result<TenantState> {
    let (mut state, context) = (TenantState::default(), rig.context("none"));
    for entry in 0..entries {
        let command = match entry < CUSTOMERS {
            true => work::register(entry)?,
            false => login(entry)?,
        };
        let facts = facts(rig)?;
        let decision = decide(&state, &context, command, &facts)?;
        for recorded in &decision.events {
            apply(&mut state, recorded);
        }
    }
    Ok(state)
}

fn login(entry: u64) -> Result<Command> {
    work::login(entry % CUSTOMERS, u32::try_from(entry)?)
}

fn facts(rig: &Rig) -> Result<Facts> {
    Ok(Facts {
        now_ms: 1_700_000_000_000,
        receipt: ReceiptId::from_bytes(rig.pool.draw()?),
        handle: SubjectHandle(rig.pool.draw()?),
        user_handle: [0; 16],
        subject_key: rig.pool.draw()?,
    })
}

/// Processor time of a commit when many share an entry.
pub(super) fn batched(rig: &Rig) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let memory = Memory::start().await?;
        let running = rig.start(memory.client()).await?;
        let (ledgers, tenant) = (&running.ledgers, &rig.tenant);
        work::all(ledgers, tenant, 0..SHARED, None, work::register).await?;
        let login = |at: u64| work::login(at % SHARED, u32::try_from(at / SHARED + 1)?);
        let before = cpu::of_thread()?;
        // Half of them: the next login of a customer never overtakes the last.
        let at_once = Some(SHARED as usize / 2);
        work::all(ledgers, tenant, 0..SHARED * 100, at_once, login).await?;
        let commits = SHARED * 100;
        let spent = (cpu::of_thread()? - before) / commits as f64;
        let entries = size(ledgers, tenant).await?;
        let shared = (commits + SHARED) as f64 / entries as f64;
        let name = format!(
            "ledger: CPU of a commit, {} at once, {shared:.1} to an entry",
            SHARED / 2
        );
        Ok(vec![Row::alone(name, spent, "us", commits as usize)])
    })
}
