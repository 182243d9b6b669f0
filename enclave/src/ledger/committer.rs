//! The committer: the one task that owns state and ledgers.
//!
//! Protects against two truths: concurrent commands share a batch, at most one
//! batch is outstanding, reads go through the same queue, and whatever ends the
//! task, a panic included, halts the enclave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::{ReceiptId, TenantId};
use tokio::sync::{mpsc, oneshot};

use super::appliance::ApplianceEvent;
use super::book::Anchor;
use super::claim::{Anchored, Claim};
use super::commit::{Answer, Batch, CommitError, Core, HaltReason, Job, Outcome, Reading};
use super::page::Page;
use super::rotation::{Rotate, SnapshotFailed, Step, UnderWay};
use super::store::StoreClient;
use super::witnessing::Witnessing;
use crate::core::Command;

/// Most jobs one batch takes.
const BATCH_JOBS: usize = 512;
/// Jobs that may wait for the next batch.
const QUEUE: usize = 4096;
/// Answers read back from the store between two batches.
const READINGS: usize = 8;
/// Entries of one page.
const PAGE_ENTRIES: u64 = 64;
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            witnessing: Witnessing::none(),
            snapshot_bytes: SNAPSHOT_BYTES,
        }
    }
}

/// The handle everyone else holds.
#[derive(Clone)]
pub struct Ledgers {
    jobs: mpsc::Sender<Job>,
    stall: Arc<AtomicU8>,
}

/// Nothing is waited for unusually long.
const FLOWING: u8 = 0;
/// The store has not answered for [`PATIENCE`].
const STORE: u8 = 1;
/// Too few witnesses have answered for [`PATIENCE`].
const WITNESSES: u8 = 2;
/// After this long new requests are refused instead of queued.
const PATIENCE: Duration = Duration::from_secs(2);

impl Ledgers {
    /// Starts the committer. `now` is trusted time in Unix milliseconds;
    /// `halted` is called once, if the committer ends while handles are left.
    pub fn start(
        core: Core,
        store: StoreClient,
        settings: Settings,
        now: impl Fn() -> Option<u64> + Send + 'static,
        halted: impl FnOnce(HaltReason) + Send + 'static,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let stall = Arc::new(AtomicU8::new(FLOWING));
        let committer = Committer {
            stall: stall.clone(),
            core,
            store,
            witnessing: settings.witnessing,
            snapshot_bytes: settings.snapshot_bytes,
            last_snapshot: 0,
            way: None,
            waiting: VecDeque::new(),
            readings: VecDeque::new(),
        };
        let committer = tokio::spawn(committer.run(queue, now));
        tokio::spawn(async move {
            match committer.await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => halted(reason),
                Err(_) => halted(HaltReason::Panicked),
            }
        });
        Self { jobs, stall }
    }

    /// Decides one command and waits until its batch is durable.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        command: Command,
    ) -> Result<Outcome, CommitError> {
        self.ask(|done| Job::Decide {
            tenant: tenant.clone(),
            command: Box::new(command),
            done,
        })
        .await
    }

    /// Looks at the state; the answer leaves when everything it may show is durable.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, CommitError> {
        let (done, answer) = oneshot::channel();
        self.submit(Job::Look(Box::new(move |core| {
            let seen = look(core);
            Box::new(move || {
                let _ = done.send(seen);
            })
        })))?;
        answer.await.map_err(|_| CommitError::Halted)
    }

    /// A claim from the store with a proof under the present head.
    pub async fn fetch(&self, tenant: &TenantId, receipt: ReceiptId) -> Result<Claim, CommitError> {
        let tenant = tenant.clone();
        self.read(|done| Reading::Fetch {
            tenant,
            receipt,
            done,
        })
        .await
    }

    /// Where the appliance's ledger records a head, under a head that witnesses cosigned.
    pub async fn prove(&self, anchor: Arc<Anchor>) -> Result<Anchored, CommitError> {
        self.read(|done| Reading::Prove { anchor, done }).await
    }

    /// Entries of a tenant's ledger, at most 64.
    pub async fn page(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: u64,
    ) -> Result<Page, CommitError> {
        let (tenant, limit) = (tenant.clone(), limit.min(PAGE_ENTRIES));
        self.read(|done| Reading::Page {
            tenant,
            from,
            limit,
            done,
        })
        .await
    }

    /// The root of a ledger (without tenant: the appliance's) at a size; `None` beyond its end.
    pub async fn root_at(
        &self,
        tenant: Option<TenantId>,
        size: u64,
    ) -> Result<Option<Hash>, CommitError> {
        self.read(|done| Reading::RootAt { tenant, size, done })
            .await
    }

    /// Records an event of the appliance.
    pub async fn record(&self, event: ApplianceEvent) -> Result<(), CommitError> {
        let event = Box::new(event);
        self.ask(|done| Job::Record { event, done }).await
    }

    /// Writes a snapshot now.
    pub async fn snapshot(&self) -> Result<(), CommitError> {
        self.ask(Job::Snapshot).await
    }

    /// Goes on in the next epoch; on return nothing new is sealed under the last one.
    pub async fn rotate(&self, rotate: Rotate) -> Result<(), CommitError> {
        self.ask(|done| Job::Rotate(Box::new(rotate), done)).await
    }

    async fn read<T>(&self, reading: impl FnOnce(Answer<T>) -> Reading) -> Result<T, CommitError> {
        self.ask(|done| Job::Read(reading(done))).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, CommitError> {
        let (done, answer) = oneshot::channel();
        self.submit(job(done))?;
        answer.await.map_err(|_| CommitError::Halted)?
    }

    fn submit(&self, job: Job) -> Result<(), CommitError> {
        match self.stall.load(Ordering::Relaxed) {
            STORE => return Err(CommitError::NoStore),
            WITNESSES => return Err(CommitError::NotFresh),
            _ => {}
        }
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Halted,
        })
    }
}

/// Waits for what may take long, and says so meanwhile: what is under way
/// waits on, new requests are told.
async fn patiently<T>(stall: &AtomicU8, what: u8, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    stall.store(what, Ordering::Relaxed);
    let done = work.await;
    stall.store(FLOWING, Ordering::Relaxed);
    done
}

/// The one task.
struct Committer {
    stall: Arc<AtomicU8>,
    core: Core,
    store: StoreClient,
    witnessing: Witnessing,
    snapshot_bytes: u64,
    /// Bytes of the last snapshot, about.
    last_snapshot: u64,
    way: Option<UnderWay>,
    waiting: VecDeque<Job>,
    readings: VecDeque<(Reading, Instant)>,
}

impl Committer {
    async fn run(
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
            self.commit(batch).await?;
            for (rotate, done) in snapshots {
                self.begin(rotate, Some(done));
            }
            self.read_some().await?;
            // What is recorded of a snapshot has a time; without one it waits.
            if let Some(now_ms) = now() {
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
            patiently(&self.stall, STORE, self.store.append(records)).await?;
        }
        let asks = wrote || !batch.releases.is_empty() || !self.readings.is_empty();
        let (core, store) = (&mut self.core, &mut self.store);
        if asks {
            let released = core.release(store, &mut self.witnessing, wrote);
            patiently(&self.stall, WITNESSES, released).await?;
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

    /// One step of the snapshot under way, or all that are left near its end;
    /// begins one when enough was written since the last.
    async fn look_after_snapshot(&mut self, now_ms: u64) -> Result<(), HaltReason> {
        let due = self.snapshot_bytes.max(2 * self.last_snapshot);
        if self.way.is_none() && self.core.unsnapshotted >= due {
            self.begin(None, None);
        }
        while let Some(mut way) = self.way.take() {
            let step = self.core.step_snapshot(&mut way, &mut self.store, now_ms);
            match patiently(&self.stall, STORE, step).await? {
                Step::More if way.ending => self.way = Some(way),
                Step::More => {
                    self.way = Some(way);
                    return Ok(());
                }
                Step::Failed => return Ok(()),
                Step::Over(batch, done) => {
                    self.last_snapshot = way.bytes;
                    self.commit(batch).await?;
                    if way.rotates
                        && let Err(error) = self.core.keep_only_last(&mut self.store).await
                    {
                        tracing::warn!(%error, "older snapshots were not let go");
                    }
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
                    let claim = patiently(&self.stall, STORE, claim).await;
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
                    let page = patiently(&self.stall, STORE, page).await;
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
        patiently(&self.stall, WITNESSES, released).await
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
