//! The committer: the one task that owns state and ledgers.
//!
//! Protects against two truths: concurrent commands share a batch, at most one
//! batch is outstanding, reads go through the same queue, and whatever ends the
//! task, a panic included, halts the enclave.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::TenantId;
use tokio::sync::mpsc;

use super::appliance::ApplianceEvent;
use super::commit::Core;
use super::errors::{CommitError, HaltReason};
use super::jobs::{Answer, Batch, Job, Reading};
use super::retention::{Keeper, Retention};
use super::rotation::{Rotate, SnapshotFailed, Step, UnderWay};
use super::stall::{On, Stall};
use super::store::StoreClient;
use super::witnessing::Witnessing;

/// Most jobs one batch takes.
const BATCH_JOBS: usize = 512;
/// Answers read back from the store between two batches.
const READINGS: usize = 8;
/// How often a snapshot under way is looked after when nothing else is done.
const STEP: Duration = Duration::from_millis(2);
/// How long a proof waits for witnesses.
const PROOF_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of entries after which a snapshot is written, unless told otherwise.
pub const SNAPSHOT_BYTES: u64 = 32 * 1024 * 1024;

/// How the committer is set up.
pub struct Settings {
    /// Witnesses, if the genesis manifest names any.
    pub witnessing: Witnessing,
    /// Bytes of entries after which a snapshot is written.
    pub snapshot_bytes: u64,
    /// How long entries are kept.
    pub retention: Retention,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            witnessing: Witnessing::none(),
            snapshot_bytes: SNAPSHOT_BYTES,
            retention: Retention::default(),
        }
    }
}

/// The one task.
pub(super) struct Committer {
    pub(super) stall: Stall,
    pub(super) core: Core,
    pub(super) store: StoreClient,
    pub(super) witnessing: Witnessing,
    snapshot_bytes: u64,
    keeper: Keeper,
    /// Bytes of the last snapshot, about.
    last_snapshot: u64,
    pub(super) way: Option<UnderWay>,
    waiting: VecDeque<Job>,
    readings: VecDeque<(Reading, Instant)>,
}

impl Committer {
    pub(super) fn new(core: Core, store: StoreClient, settings: Settings, stall: Stall) -> Self {
        Self {
            stall,
            core,
            store,
            witnessing: settings.witnessing,
            snapshot_bytes: settings.snapshot_bytes,
            keeper: Keeper::new(settings.retention),
            last_snapshot: 0,
            way: None,
            waiting: VecDeque::new(),
            readings: VecDeque::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Job>,
        now: impl Fn() -> Option<u64>,
    ) -> Result<(), HaltReason> {
        loop {
            if !self.gather(&mut queue).await {
                return Ok(());
            }
            let mut batch = self.core.batch(&mut self.waiting, now())?;
            let arrived = Instant::now();
            let readings = std::mem::take(&mut batch.readings).into_iter();
            self.readings
                .extend(readings.map(|reading| (reading, arrived)));
            let snapshots = std::mem::take(&mut batch.snapshots);
            let handover = batch.handover.take();
            self.commit(batch).await?;
            for (rotate, done) in snapshots {
                self.begin(rotate, Some(done));
            }
            if let Some((order, done)) = handover {
                // What was asked before is answered, readings too.
                while !self.readings.is_empty() {
                    self.read_some().await?;
                }
                if self.hand_over(*order, now(), done).await? {
                    return Ok(());
                }
            }
            self.read_some().await?;
            // What is recorded of a snapshot has a time; without one it waits, and
            // nothing is known to be old.
            if let Some(now_ms) = now() {
                self.look_after_marks(now_ms).await?;
                self.look_after_snapshot(now_ms).await?;
            }
        }
    }

    /// Waits for something to do; `false` when nobody can ask any more.
    async fn gather(&mut self, queue: &mut mpsc::Receiver<Job>) -> bool {
        let idle = self.waiting.is_empty() && self.readings.is_empty();
        if idle {
            let pause = match self.way {
                Some(_) => STEP,
                None => self.witnessing.tick(),
            };
            tokio::select! {
                job = queue.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => return false,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
        while self.waiting.len() < BATCH_JOBS
            && let Ok(job) = queue.try_recv()
        {
            self.waiting.push_back(job);
        }
        true
    }

    /// Makes a batch durable, has it cosigned as the manifest asks, releases it.
    async fn commit(&mut self, mut batch: Batch) -> Result<(), HaltReason> {
        let wrote = !batch.records.is_empty();
        if wrote {
            let records = std::mem::take(&mut batch.records);
            self.stall
                .patiently(On::Store, self.store.append(records))
                .await?;
        }
        let asks = wrote || !batch.releases.is_empty() || !self.readings.is_empty();
        let (core, store) = (&mut self.core, &mut self.store);
        if asks {
            let released = core.release(store, &mut self.witnessing, wrote);
            self.stall.patiently(On::Witnesses, released).await?;
        } else if self.witnessing.present() {
            let note = || core.appliance_note();
            self.witnessing.renew(&core.appliance_book, &note)?;
        }
        let heads = core.sign(&mut batch)?;
        for release in batch.releases {
            release(&heads);
        }
        Ok(())
    }

    fn begin(&mut self, rotate: Option<Box<Rotate>>, done: Option<Answer<()>>) {
        if self.way.is_some() {
            if let Some(done) = done {
                let _ = done.send(Err(CommitError::Snapshot(SnapshotFailed::UnderWay)));
            }
            return;
        }
        self.way = Some(self.core.begin_snapshot(rotate, done));
    }

    /// Records once a day how far ledgers have come.
    async fn look_after_marks(&mut self, now_ms: u64) -> Result<(), HaltReason> {
        if !self.keeper.looks(now_ms) {
            return Ok(());
        }
        if let Some(mark) = self.core.mark(now_ms) {
            let batch = self.core.write_events(vec![mark])?;
            self.commit(batch).await?;
        }
        let covered = self.core.sizes();
        let expired = self.keeper.expired(&self.core, now_ms, &covered);
        self.keeper.due = !expired.is_empty();
        Ok(())
    }

    /// Lets go what a finished snapshot makes superfluous: in a rotation the ones
    /// before it, and entries that are old enough and before the oldest snapshot kept.
    async fn let_go(&mut self, now_ms: u64, way: UnderWay) -> Result<(), HaltReason> {
        let mut covered = self.keeper.covered.replace(way.covers.clone());
        if way.rotates {
            let kept = self.core.keep_only_last(&mut self.store);
            match self.stall.patiently(On::Store, kept).await {
                Ok(()) => covered = Some(way.covers),
                Err(error) => tracing::warn!(%error, "older snapshots were not let go"),
            }
        }
        let Some(covered) = covered else {
            return Ok(());
        };
        let below = self.keeper.expired(&self.core, now_ms, &covered);
        if !below.is_empty() {
            let event = ApplianceEvent::Dropped { below };
            let batch = self.core.write_events(vec![event])?;
            self.commit(batch).await?;
        }
        self.drop_bodies().await;
        Ok(())
    }

    /// Again those let go before: a crash may have kept the store from hearing it.
    async fn drop_bodies(&mut self) {
        let kept = self.core.appliance.kept_from.iter();
        let mut kept: Vec<_> = kept.map(|(ledger, first)| (*ledger, *first)).collect();
        if kept.is_empty() {
            return;
        }
        kept.extend(self.core.envelopes());
        let dropped = self.store.drop_below(kept);
        if let Err(error) = self.stall.patiently(On::Store, dropped).await {
            tracing::warn!(%error, "old entries were not let go; the next snapshot asks again");
        }
    }

    /// One step of the snapshot under way, or all that are left near its end;
    /// begins one when enough was written since the last.
    async fn look_after_snapshot(&mut self, now_ms: u64) -> Result<(), HaltReason> {
        let due = self.snapshot_bytes.max(2 * self.last_snapshot);
        if self.way.is_none() && (self.core.unsnapshotted >= due || self.keeper.due) {
            self.keeper.due = false;
            self.begin(None, None);
        }
        while let Some(mut way) = self.way.take() {
            let step = self.core.step_snapshot(&mut way, &mut self.store, now_ms);
            match self.stall.patiently(On::Store, step).await? {
                Step::More if way.ending => self.way = Some(way),
                Step::More => {
                    self.way = Some(way);
                    return Ok(());
                }
                Step::Failed => return Ok(()),
                Step::Over(batch, done) => {
                    self.last_snapshot = way.bytes;
                    self.commit(batch).await?;
                    self.let_go(now_ms, way).await?;
                    if let Some(done) = done {
                        let _ = done.send(Ok(()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Answers some of what needs the store. Nothing leaves without a lease.
    async fn read_some(&mut self) -> Result<(), HaltReason> {
        for _ in 0..READINGS.min(self.readings.len()) {
            let Some((reading, arrived)) = self.readings.pop_front() else {
                break;
            };
            // A caller that went away needs no answer.
            match reading {
                Reading::Fetch {
                    tenant,
                    receipt,
                    done,
                } => {
                    let claim = self.core.fetch(&mut self.store, &tenant, receipt);
                    let claim = self.stall.patiently(On::Store, claim).await;
                    self.still_fresh().await?;
                    let _ = done.send(claim);
                }
                Reading::Page {
                    tenant,
                    from,
                    limit,
                    done,
                } => {
                    let page = self.core.page(&mut self.store, &tenant, from, limit);
                    let page = self.stall.patiently(On::Store, page).await;
                    self.still_fresh().await?;
                    let _ = done.send(page);
                }
                Reading::RootAt { tenant, size, done } => {
                    let root = self.root_at(tenant.as_ref(), size).await;
                    self.still_fresh().await?;
                    let _ = done.send(root);
                }
                Reading::Prove { anchor, done } => {
                    let cosigned = self.witnessing.best();
                    let index = anchor.header.index;
                    let covered = cosigned.is_some_and(|cosigned| cosigned.size > index);
                    if covered || !self.witnessing.present() {
                        let cosigned = cosigned.cloned();
                        let proof = self
                            .core
                            .anchored(&mut self.store, &anchor, cosigned.as_ref())
                            .await;
                        self.still_fresh().await?;
                        let _ = done.send(proof);
                    } else if arrived.elapsed() > PROOF_WITHIN {
                        let _ = done.send(Err(CommitError::NotFresh));
                    } else {
                        let again = Reading::Prove { anchor, done };
                        self.readings.push_back((again, arrived));
                        tokio::time::sleep(STEP).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reading may have taken longer than the lease: waits for another.
    async fn still_fresh(&mut self) -> Result<(), HaltReason> {
        let released = self
            .core
            .release(&mut self.store, &mut self.witnessing, false);
        self.stall.patiently(On::Witnesses, released).await
    }

    async fn root_at(
        &mut self,
        tenant: Option<&TenantId>,
        size: u64,
    ) -> Result<Option<Hash>, CommitError> {
        self.core.bring(&mut self.store, tenant, &[size]).await?;
        let book = match tenant {
            None => &self.core.appliance_book,
            Some(tenant) => {
                let core = self.core.tenants.get(tenant);
                &core.ok_or(CommitError::UnknownTenant)?.book
            }
        };
        Ok(book.tree().root_at(size))
    }
}
