//! Durable commits beside a bare loop that writes the same bytes in the same
//! groups, each group followed by `fdatasync`.

use std::time::{Duration, Instant};

use anyhow::Result;
use redoubt_enclave::ledger::{Ledgers, Witnessing};
use redoubt_shared::TenantId;

use super::disk::{Disk, raw};
use super::rig::Rig;
use super::witness::Appointed;
use super::work;
use crate::rows::{Row, percentile};

const WRITERS: [usize; 4] = [1, 8, 64, 256];
/// The disk's mood changes: ours and the bare loop take turns.
const ROUNDS: usize = 4;
const ROUND: Duration = Duration::from_millis(1500);
/// At this many writers the bound holds.
const BOUND_AT: usize = 64;
const BOUND: f64 = 0.7;

pub(super) async fn run(rig: &Rig) -> Result<Vec<Row>> {
    all(rig, Witnessing::none(), "none", "no witness").await
}

/// The same with one witness on this machine that cosigns every batch.
pub(super) async fn run_witnessed(rig: &Rig) -> Result<Vec<Row>> {
    let witness = Appointed::start().await?;
    let rig = Rig {
        signer: witness.signer(),
        ..rig.clone()
    };
    all(&rig, witness.witnessing(), "strict", "one strict witness").await
}

async fn all(
    rig: &Rig,
    witnessing: Witnessing,
    freshness: &str,
    setting: &str,
) -> Result<Vec<Row>> {
    let mut disk = Disk::start().await?;
    let started = rig.start_with(disk.client()?, witnessing, freshness);
    let running = started.await?;
    let mut rows = Vec::new();
    let mut bench = Bench::new(&disk, &running.ledgers, &rig.tenant).await?;
    for writers in WRITERS {
        rows.extend(bench.measure(writers, setting).await?);
    }
    drop(running);
    disk.close().await;
    Ok(rows)
}

struct Bench<'a> {
    disk: &'a Disk,
    ledgers: &'a Ledgers,
    tenant: &'a TenantId,
    /// Signature counter of each writer's customer.
    counters: Vec<u32>,
    /// Batches of the rounds before.
    batches: u64,
}

#[derive(Default)]
struct Sum {
    commits: usize,
    groups: usize,
    ours: Duration,
    raw: Duration,
    our_times: Vec<Duration>,
    raw_times: Vec<Duration>,
}

impl<'a> Bench<'a> {
    async fn new(disk: &'a Disk, ledgers: &'a Ledgers, tenant: &'a TenantId) -> Result<Self> {
        let customers = WRITERS.into_iter().max().unwrap_or(1) as u64;
        work::all(ledgers, tenant, 0..customers, None, work::register).await?;
        Ok(Self {
            disk,
            ledgers,
            tenant,
            counters: vec![0; customers as usize],
            batches: disk.batches(0)?.len() as u64,
        })
    }

    async fn measure(&mut self, writers: usize, setting: &str) -> Result<Vec<Row>> {
        super::say(format_args!("commits: {writers} writers, {setting}"));
        let mut sum = Sum::default();
        for _ in 0..ROUNDS {
            self.round(writers, &mut sum).await?;
        }
        sum.our_times.sort_unstable();
        sum.raw_times.sort_unstable();
        Ok(sum.rows(writers, setting))
    }

    async fn round(&mut self, writers: usize, sum: &mut Sum) -> Result<()> {
        let began = Instant::now();
        let end = began + ROUND;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..writers {
            let (ledgers, tenant) = (self.ledgers.clone(), self.tenant.clone());
            let counter = self.counters[number];
            tasks.spawn(async move { write(&ledgers, &tenant, number, counter, end).await });
        }
        while let Some(done) = tasks.join_next().await {
            let (number, times) = done??;
            self.counters[number] += times.len() as u32;
            sum.commits += times.len();
            sum.our_times.extend(times);
        }
        sum.ours += began.elapsed();
        let groups = self.disk.batches(self.batches)?;
        self.batches += groups.len() as u64;
        sum.groups += groups.len();
        let dir = self.disk.store_dir();
        let raw = tokio::task::spawn_blocking(move || raw(&dir, &groups)).await??;
        sum.raw += raw.iter().sum::<Duration>();
        sum.raw_times.extend(raw);
        Ok(())
    }
}

impl Sum {
    fn rows(&self, writers: usize, setting: &str) -> Vec<Row> {
        let second = |time: Duration| self.commits as f64 / time.as_secs_f64();
        let group = self.commits as f64 / self.groups.max(1) as f64;
        let name = format!(
            "ledger: durable commits, {writers} writers, {setting}, against fdatasync of the same bytes in the same groups ({group:.1} commits each)"
        );
        let commits = Row::new(
            name,
            second(self.ours),
            second(self.raw),
            "1/s",
            self.commits,
        );
        let bounded = writers == BOUND_AT && setting == "no witness";
        let mut rows = vec![match bounded {
            true => commits.at_least(BOUND),
            false => commits,
        }];
        for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
            rows.push(Row::new(
                format!("ledger: {label} of a commit, {writers} writers, {setting}, against {label} of a bare group"),
                percentile(&self.our_times, share),
                percentile(&self.raw_times, share),
                "ms",
                self.commits,
            ));
        }
        rows
    }
}

/// One login after another until `end`; how long each took.
async fn write(
    ledgers: &Ledgers,
    tenant: &TenantId,
    number: usize,
    mut counter: u32,
    end: Instant,
) -> Result<(usize, Vec<Duration>)> {
    let mut times = Vec::new();
    loop {
        let began = Instant::now();
        if began >= end {
            return Ok((number, times));
        }
        counter += 1;
        work::decide(ledgers, tenant, work::login(number as u64, counter)?).await?;
        times.push(began.elapsed());
    }
}
