//! The committer: the one task that owns state and ledgers.
//!
//! Protects against two truths: concurrent commands share a batch, at most one
//! batch is outstanding, reads go through the same queue, and whatever ends the
//! task, a panic included, halts the enclave.

use std::collections::VecDeque;

use redoubt_shared::{ReceiptId, TenantId};
use tokio::sync::{mpsc, oneshot};

use super::claim::Claim;
use super::commit::{CommitError, Core, HaltReason, Job, Outcome};
use super::store::StoreClient;
use crate::core::Command;

/// Most jobs one batch takes.
const BATCH_JOBS: usize = 512;
/// Jobs that may wait for the next batch.
const QUEUE: usize = 4096;
/// Claims read back from the store between two batches.
const FETCHES: usize = 8;

/// The handle everyone else holds.
#[derive(Clone)]
pub struct Ledgers {
    jobs: mpsc::Sender<Job>,
}

impl Ledgers {
    /// Starts the committer. `now` is trusted time in Unix milliseconds;
    /// `halted` is called once, if the committer ends while handles are left.
    pub fn start(
        core: Core,
        store: StoreClient,
        now: impl Fn() -> Option<u64> + Send + 'static,
        halted: impl FnOnce(HaltReason) + Send + 'static,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let committer = tokio::spawn(run(core, store, queue, now));
        tokio::spawn(async move {
            match committer.await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => halted(reason),
                Err(_) => halted(HaltReason::Panicked),
            }
        });
        Self { jobs }
    }

    /// Decides one command and waits until its batch is durable.
    pub async fn decide(
        &self,
        tenant: &TenantId,
        command: Command,
    ) -> Result<Outcome, CommitError> {
        let (done, answer) = oneshot::channel();
        self.submit(Job::Decide {
            tenant: tenant.clone(),
            command: Box::new(command),
            done,
        })?;
        answer.await.map_err(|_| CommitError::Halted)?
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
        let (done, answer) = oneshot::channel();
        self.submit(Job::Fetch {
            tenant: tenant.clone(),
            receipt,
            done,
        })?;
        answer.await.map_err(|_| CommitError::Halted)?
    }

    fn submit(&self, job: Job) -> Result<(), CommitError> {
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Halted,
        })
    }
}

async fn run(
    mut core: Core,
    mut store: StoreClient,
    mut queue: mpsc::Receiver<Job>,
    now: impl Fn() -> Option<u64>,
) -> Result<(), HaltReason> {
    let mut waiting: VecDeque<Job> = VecDeque::new();
    let mut fetches: VecDeque<_> = VecDeque::new();
    loop {
        if waiting.is_empty() && fetches.is_empty() {
            match queue.recv().await {
                Some(job) => waiting.push_back(job),
                None => return Ok(()),
            }
        }
        while waiting.len() < BATCH_JOBS
            && let Ok(job) = queue.try_recv()
        {
            waiting.push_back(job);
        }
        let mut batch = core.batch(&mut waiting, now())?;
        fetches.extend(std::mem::take(&mut batch.fetches));
        if !batch.records.is_empty() {
            store.append(std::mem::take(&mut batch.records)).await?;
        }
        let heads = core.sign(&mut batch)?;
        for release in batch.releases {
            release(&heads);
        }
        for _ in 0..FETCHES {
            let Some((tenant, receipt, done)) = fetches.pop_front() else {
                break;
            };
            let claim = core.fetch(&mut store, &tenant, receipt).await;
            // A caller that went away needs no answer.
            let _ = done.send(claim);
        }
    }
}
