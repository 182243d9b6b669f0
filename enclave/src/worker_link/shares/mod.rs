//! Each tenant's share of a worker: jobs wait here for their turn, and few at the worker.
//!
//! Protects tenants from one that floods: whose turn is next goes round by what jobs cost
//! ([`fair`]), no more is at the worker than keeps it busy ([`pace`]), and a tenant whose
//! own jobs would wait too long is refused the next one, whatever others do. The worker
//! learns of no tenant. A job that nobody waits for any longer gives its turn up at once,
//! one that the worker has when it was answered.
//!
//! Not covered: a job that the worker has begun is not interrupted, so that one that comes
//! waits for a part of the longest of others; and a host that delays answers, which makes
//! everybody wait.

mod fair;
mod pace;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redoubt_shared::TenantId;
use redoubt_shared::limits::JOBS_IN_FLIGHT;
use redoubt_shared::work::{Work, bearable};
use tokio::sync::oneshot;

use super::WorkerError;
use fair::Fair;
use pace::Pace;

/// Who waits for the turns of one worker's place.
#[derive(Default)]
pub(super) struct Shares(Mutex<State>);

#[derive(Default)]
struct State {
    tickets: u64,
    waiting: Fair<Caller>,
    /// What has its turn, by its ticket.
    at_work: HashMap<u64, AtWork>,
    pace: Pace,
}

struct Caller {
    ticket: u64,
    work: Work,
    called: oneshot::Sender<()>,
}

struct AtWork {
    work: Work,
    alone: bool,
    since: Instant,
}

/// A turn at the worker, or the wait for it: given up where it is dropped.
pub(super) struct Turn {
    shares: Arc<Shares>,
    ticket: u64,
}

/// Whether a job can be refused its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// As one of its tenant's.
    First,
    /// It had its place already: another worker's opinion is wanted.
    Again,
}

impl Shares {
    /// Waits for a turn. Busy at once where the tenant's own jobs before it would make it
    /// wait too long.
    pub(super) async fn turn(
        self: &Arc<Self>,
        tenant: &TenantId,
        work: Work,
        asks: Asks,
    ) -> Result<Turn, WorkerError> {
        let (called, call) = oneshot::channel();
        let ticket = {
            let mut state = self.lock();
            let ticket = state.admit(tenant, (work, asks), called)?;
            state.call(Instant::now());
            ticket
        };
        let shares = Arc::clone(self);
        let turn = Turn { shares, ticket };
        call.await.map_err(|_| WorkerError::Unavailable)?;
        Ok(turn)
    }

    /// How many have their turn.
    #[cfg(test)]
    pub(super) fn at_work(&self) -> usize {
        self.lock().at_work.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(
        &mut self,
        tenant: &TenantId,
        (work, asks): (Work, Asks),
        called: oneshot::Sender<()>,
    ) -> Result<u64, WorkerError> {
        let (jobs, tenants) = self.waiting.of(tenant);
        let tenants = u32::try_from(tenants).unwrap_or(u32::MAX);
        let count = jobs.len();
        let cost = jobs.map(|job| self.pace.cost(job.work)).sum();
        let wait = self.pace.lasts(cost).saturating_mul(tenants);
        let own = self.pace.own(work);
        // Before anything was measured their number is the bound.
        let bears = own.is_zero() || bearable(wait, own);
        if asks == Asks::First && (count >= JOBS_IN_FLIGHT || !bears) {
            return Err(WorkerError::Busy);
        }
        self.tickets += 1;
        let caller = Caller {
            ticket: self.tickets,
            work,
            called,
        };
        self.waiting.push(tenant, caller);
        Ok(self.tickets)
    }

    /// What those that have their turn cost together.
    fn sent(&self) -> Duration {
        let each = self.at_work.values();
        each.map(|job| self.pace.cost(job.work)).sum()
    }

    /// Calls whoever is next, as long as there is room.
    fn call(&mut self, now: Instant) {
        while self.pace.has_room(self.at_work.len(), self.sent()) {
            let cost = |job: &Caller| self.pace.cost(job.work);
            let Some((cost, next)) = self.waiting.pop(cost) else {
                return;
            };
            self.pace.sent(cost, !self.waiting.is_empty(), now);
            let at_work = AtWork {
                work: next.work,
                alone: self.at_work.is_empty(),
                since: now,
            };
            self.at_work.insert(next.ticket, at_work);
            // Whoever went away gives it back at once.
            let _ = next.called.send(());
        }
    }
}

/// What became of a job at the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It was measured: its time tells what such work takes.
    Measured,
    /// It was too much for the worker.
    TooMuch,
    /// Anything else.
    Other,
}

impl Turn {
    /// The job is sent now.
    pub(super) fn begins(&self) {
        if let Some(job) = self.shares.lock().at_work.get_mut(&self.ticket) {
            job.since = Instant::now();
        }
    }

    /// The job is answered.
    pub(super) fn answered(self, came: Came) {
        let mut state = self.shares.lock();
        let state = &mut *state;
        match (came, state.at_work.get(&self.ticket)) {
            (Came::Measured, Some(job)) => {
                let met = (job.alone, !state.waiting.is_empty());
                state.pace.measured(job.work, job.since.elapsed(), met);
            }
            (Came::TooMuch, _) => state.pace.refused(),
            (Came::Measured | Came::Other, _) => {}
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shares.lock();
        if state.at_work.remove(&self.ticket).is_none() {
            state.waiting.remove(|one| one.ticket == self.ticket);
        }
        state.call(Instant::now());
    }
}
