//! The handle through which everyone else asks the committer.

use std::sync::Arc;

use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::{ReceiptId, TenantId};
use tokio::sync::{mpsc, oneshot};

use super::appliance::ApplianceEvent;
use super::book::Anchor;
use super::claim::{Anchored, Claim};
use super::commit::{Core, Outcome, TenantCore};
use super::committer::{Committer, Settings};
use super::errors::{CommitError, HaltReason};
use super::handover::{HandOver, Handed};
use super::jobs::{Answer, Job, Reading};
use super::page::Page;
use super::rotation::Rotate;
use super::stall::Stall;
use super::store::StoreClient;
use crate::core::Command;

/// Jobs that may wait for the next batch.
const QUEUE: usize = 4096;
/// Entries of one page.
const PAGE_ENTRIES: u64 = 64;

/// The handle everyone else holds.
#[derive(Clone)]
pub struct Ledgers {
    jobs: mpsc::Sender<Job>,
    stall: Stall,
}

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
        let stall = Stall::default();
        let committer = Committer::new(core, store, settings, stall.clone());
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
        self.decide_from(tenant, move |_| command).await
    }

    /// The same of a command that is made when it is its turn: of what was worked out
    /// beside the state and what happened to the state since. It is made by the one task
    /// that owns all of them, which nobody else has meanwhile: little may be done there.
    pub async fn decide_from(
        &self,
        tenant: &TenantId,
        make: impl FnOnce(&TenantCore) -> Command + Send + 'static,
    ) -> Result<Outcome, CommitError> {
        self.ask(|done| Job::Decide {
            tenant: tenant.clone(),
            command: Box::new(make),
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
        answer.await.map_err(|_| self.lost())
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

    /// Writes the last entry and gives the secret away. On success nothing is taken
    /// any more.
    pub async fn hand_over(&self, order: HandOver) -> Result<Handed, CommitError> {
        self.ask(|done| Job::HandOver(Box::new(order), done)).await
    }

    async fn read<T>(&self, reading: impl FnOnce(Answer<T>) -> Reading) -> Result<T, CommitError> {
        self.ask(|done| Job::Read(reading(done))).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, CommitError> {
        let (done, answer) = oneshot::channel();
        self.submit(job(done))?;
        answer.await.map_err(|_| self.lost())?
    }

    /// What it means that nobody answers any more.
    fn lost(&self) -> CommitError {
        match self.stall.check() {
            Err(CommitError::HandedOver) => CommitError::HandedOver,
            _ => CommitError::Halted,
        }
    }

    fn submit(&self, job: Job) -> Result<(), CommitError> {
        self.stall.check()?;
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => self.lost(),
        })
    }
}
