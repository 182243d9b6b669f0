//! Processor time of one entry as the history behind it grows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redoubt_enclave::ledger::Ledgers;
use redoubt_shared::TenantId;

use super::memory::Memory;
use super::rig::Rig;
use super::work;
use crate::cpu;
use crate::rows::Row;

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Entries measured before each size: as many as are written between snapshots.
const WINDOW: u64 = 8_000;
const CUSTOMERS: u64 = 64;
/// Flat: at most this many times the time at the smallest history.
const FLAT: f64 = 1.25;
/// Customers whose commits share entries.
const SHARED: u64 = 128;
const SAY_EVERY: Duration = Duration::from_secs(20);

/// One command to a batch, so every command is an entry of the tenant's and one
/// of the appliance's. The store takes everything at once and keeps nothing; it
/// has its own thread, whose time does not count.
pub(super) fn run(rig: &Rig, most: u64) -> Result<Vec<Row>> {
    // All of it runs on this thread; only a snapshot's writer has its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let memory = Memory::start().await?;
        let running = rig.start(memory.client()).await?;
        let mut bench = Bench {
            ledgers: &running.ledgers,
            tenant: &rig.tenant,
            entries: 0,
            began: Instant::now(),
            said: Instant::now(),
        };
        bench.open().await?;
        let mut rows: Vec<Row> = Vec::new();
        let mut first = None;
        for size in SIZES.into_iter().filter(|size| *size <= most) {
            bench.write_until(size - WINDOW).await?;
            let before = cpu::of_thread()?;
            bench.write_until(size).await?;
            let spent = (cpu::of_thread()? - before) / WINDOW as f64;
            let flat = *first.get_or_insert(spent);
            let name = format!(
                "ledger: CPU of an entry behind {size} entries, against behind {}",
                SIZES[0]
            );
            let row = Row::new(name, spent, flat, "us", WINDOW as usize);
            rows.push(row.at_most(FLAT));
        }
        for size in SIZES.into_iter().filter(|size| *size > most) {
            super::say(format_args!("entries: {size} left out by --entries-max"));
        }
        Ok(rows)
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
        let name = format!("ledger: CPU of a commit, {} at once", SHARED / 2);
        Ok(vec![Row::alone(name, spent, "us", commits as usize)])
    })
}

struct Bench<'a> {
    ledgers: &'a Ledgers,
    tenant: &'a TenantId,
    entries: u64,
    began: Instant,
    said: Instant,
}

impl Bench<'_> {
    async fn open(&mut self) -> Result<()> {
        for number in 0..CUSTOMERS {
            work::decide(self.ledgers, self.tenant, work::register(number)?).await?;
        }
        self.entries = self.count().await?;
        Ok(())
    }

    async fn write_until(&mut self, size: u64) -> Result<()> {
        while self.entries < size {
            let counter = u32::try_from(self.entries)?;
            let login = work::login(self.entries % CUSTOMERS, counter)?;
            work::decide(self.ledgers, self.tenant, login).await?;
            self.entries += 1;
            if self.said.elapsed() > SAY_EVERY {
                self.said = Instant::now();
                let (entries, seconds) = (self.entries, self.began.elapsed().as_secs());
                super::say(format_args!("entries: {entries} of {size} in {seconds} s"));
            }
        }
        anyhow::ensure!(self.count().await? == self.entries, "entries were shared");
        Ok(())
    }

    /// Entries of the tenant's ledger.
    async fn count(&self) -> Result<u64> {
        let tenant = self.tenant.clone();
        let size = self
            .ledgers
            .look(move |core| core.tenants.get(&tenant).map(|core| core.book.size()))
            .await?;
        size.context("no such tenant")
    }
}
