//! Bytes per subject, and how long a restart takes: with more subjects, and
//! with more history of the same subjects.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use redoubt_enclave::ledger::Ledgers;

use super::disk::Disk;
use super::memory::Memory;
use super::rig::Rig;
use super::work;
use crate::rows::Row;

const SUBJECTS: [u64; 3] = [1_000, 100_000, 1_000_000];
/// Entries behind the snapshot.
const TAIL: u64 = 100;
/// Fixed subjects, and logins of them.
const FEW: u64 = 1_000;
const HISTORY: [u64; 2] = [10_000, 100_000];
/// Ten times the history: at most this many times as long.
const NOT_HISTORY: f64 = 2.0;
/// A restart from a snapshot: at most this share of a replay of everything.
const FOLLOWS_STATE: f64 = 0.1;
/// Subjects are made for at most this long.
const PATIENCE: Duration = Duration::from_secs(240);
const SAY_EVERY: u64 = 50_000;

/// Subjects with a passkey and a face, alone and with many others at once.
pub(super) async fn bytes(rig: &Rig) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (at_once, label) in [(1, "one command to an entry"), (64, "64 subjects at once")] {
        let subjects = 2_000u64;
        let memory = Memory::start().await?;
        let running = rig.start(memory.client()).await?;
        let ledgers = &running.ledgers;
        let before = memory.bytes().segments;
        let once = Some(at_once);
        work::all(ledgers, &rig.tenant, 0..subjects, once, work::register).await?;
        for step in 0..3 {
            let enrol = |number| {
                let steps = work::enrol(number)?;
                steps.into_iter().nth(step).context("three steps")
            };
            work::all(ledgers, &rig.tenant, 0..subjects, once, enrol).await?;
        }
        let per = |bytes: u64| bytes as f64 / subjects as f64;
        let entries = per(memory.bytes().segments - before);
        let n = subjects as usize;
        let name = format!("ledger: bytes of entries per subject with passkey and face, {label}");
        rows.push(Row::alone(name, entries, "B", n));
        if at_once > 1 {
            work::snapshot(ledgers).await?;
            let name = "ledger: bytes of snapshot per subject with passkey and face";
            rows.push(Row::alone(name, per(memory.bytes().blobs), "B", n));
        }
    }
    Ok(rows)
}

/// More subjects, then a restart each time.
pub(super) async fn subjects(rig: &Rig, most: u64) -> Result<Vec<Row>> {
    let mut disk = Disk::start().await?;
    let mut running = rig.start(disk.client()?).await?;
    let (mut rows, mut made, mut first) = (Vec::new(), 0, None);
    let (began, mut rate) = (Instant::now(), None);
    for size in SUBJECTS {
        let left = PATIENCE.saturating_sub(began.elapsed()).as_secs_f64();
        let late = rate.is_some_and(|rate: f64| (size - made) as f64 / rate > left);
        if size > most || late {
            super::say(format_args!("restart: {size} subjects left out"));
            continue;
        }
        let filling = Instant::now();
        fill(rig, &running.ledgers, made, size).await?;
        rate = Some((size - made) as f64 / filling.elapsed().as_secs_f64());
        made = size;
        let restart = Restart::of(rig, &mut disk, running).await?;
        let row = restart.row(format!("{size} subjects with a passkey"), first, size);
        first.get_or_insert(restart.recovery);
        running = restart.running;
        rows.extend(row);
    }
    drop(running);
    disk.close().await;
    Ok(rows)
}

async fn fill(rig: &Rig, ledgers: &Ledgers, from: u64, to: u64) -> Result<()> {
    let mut at = from;
    while at < to {
        let next = (at + SAY_EVERY).min(to);
        work::all(ledgers, &rig.tenant, at..next, None, work::register).await?;
        at = next;
        super::say(format_args!("restart: {at} of {to} subjects"));
    }
    Ok(())
}

/// The same few subjects with ten times the logins; then that history verified.
pub(super) async fn history(rig: &Rig) -> Result<Vec<Row>> {
    let mut disk = Disk::start().await?;
    let mut running = rig.start(disk.client()?).await?;
    work::all(&running.ledgers, &rig.tenant, 0..FEW, None, work::register).await?;
    let (mut rows, mut done) = (Vec::new(), 0);
    let (mut first, mut last) = (None, Duration::ZERO);
    for logins in HISTORY {
        let login = |at: u64| work::login(at % FEW, u32::try_from(at / FEW + 1)?);
        // As many at once as there are subjects would let one overtake itself.
        let ledgers = &running.ledgers;
        work::all(ledgers, &rig.tenant, done..logins, Some(256), login).await?;
        done = logins;
        let restart = Restart::of(rig, &mut disk, running).await?;
        let name = format!("{FEW} subjects after {logins} logins");
        let mut measured = restart.row(name, first, logins);
        if first.is_some() {
            let bounded = |row: Row| match row.ratio {
                Some(_) => row.at_most(NOT_HISTORY),
                None => row,
            };
            measured = measured.into_iter().map(bounded).collect();
        }
        last = restart.recovery;
        first.get_or_insert(restart.recovery);
        running = restart.running;
        rows.extend(measured);
    }
    let folder = disk.store_dir();
    rows.extend(super::verify::run(&running.ledgers, &rig.tenant, &folder).await?);
    drop(running);
    rows.push(replay(rig, &mut disk, last).await?);
    Ok(rows)
}

/// The last restart beside one that has no snapshot to begin from.
async fn replay(rig: &Rig, disk: &mut Disk, restart: Duration) -> Result<Row> {
    disk.client()?.set_snapshot(Vec::new(), Vec::new()).await?;
    let began = Instant::now();
    let running = rig.start(disk.client()?).await?;
    let took = began.elapsed();
    drop(running);
    disk.close().await;
    let [_, logins] = HISTORY;
    let name = format!(
        "ledger: restart of the enclave, {FEW} subjects after {logins} logins, against a replay of all of it"
    );
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let row = Row::new(name, ms(restart), ms(took), "ms", logins as usize);
    Ok(row.at_most(FOLLOWS_STATE))
}

/// A restart behind a snapshot and a small tail.
struct Restart {
    running: super::rig::Running,
    /// The host's store, until it takes requests.
    store: Duration,
    /// The enclave, from its first question until its ledgers take commands.
    recovery: Duration,
    segments: u64,
    blobs: u64,
}

impl Restart {
    async fn of(rig: &Rig, disk: &mut Disk, running: super::rig::Running) -> Result<Self> {
        let began = Instant::now();
        work::snapshot(&running.ledgers).await?;
        let took = began.elapsed().as_millis();
        super::say(format_args!("restart: snapshot written in {took} ms"));
        for _ in 0..TAIL {
            let refused = redoubt_enclave::core::Command::RefuseLogin {
                user: work::user(0)?,
                credential_id: Vec::new(),
                reason: "signature",
            };
            work::decide(&running.ledgers, &rig.tenant, refused).await?;
        }
        drop(running);
        disk.close().await;
        let store = disk.open().await?;
        let began = Instant::now();
        let running = rig.start(disk.client()?).await?;
        let recovery = began.elapsed();
        let (segments, blobs) = disk.bytes()?;
        anyhow::ensure!(running.replayed < 10 * TAIL, "the snapshot was not used");
        Ok(Self {
            running,
            store,
            recovery,
            segments,
            blobs,
        })
    }

    fn row(&self, of: String, first: Option<Duration>, n: u64) -> Vec<Row> {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (segments, blobs) = (mib(self.segments), mib(self.blobs));
        let name = format!(
            "ledger: restart of the enclave, {of}, snapshot of {blobs:.1} MiB and {TAIL} entries"
        );
        let recovery = match first {
            Some(first) => Row::new(
                format!("{name}, against the first of these"),
                ms(self.recovery),
                ms(first),
                "ms",
                n as usize,
            ),
            None => Row::alone(name, ms(self.recovery), "ms", n as usize),
        };
        let store = Row::alone(
            format!(
                "ledger: the host's store opens and checks {segments:.0} MiB of segments, {of}"
            ),
            ms(self.store),
            "ms",
            n as usize,
        );
        vec![recovery, store]
    }
}
