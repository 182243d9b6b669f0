//! Starts a worker for every session of the enclave, and ends it after.
//!
//! Protects against a worker that keeps something between sessions: each serves one.
//! While none is in use one stands ready, started in advance; a session that comes
//! while another is served gets a process of its own, so that the enclave can renew
//! its worker, and ask a second one, without a moment in which there is none.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use redoubt_shared::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{
    BACK_OFF_MIN, Parent, WORKERS_MAX, Worker, WorkerHealth, WorkerState, until_either_closes,
};
use crate::capture::Capture;
use crate::metrics::{Metrics, Relay};
use crate::relay::Tap;

/// Time a worker has to end once its session is closed.
const GRACE: Duration = Duration::from_secs(1);
/// A worker that lived shorter than this has crashed.
const CRASHED_WITHIN: Duration = Duration::from_secs(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(15);

/// Everything the supervisor of workers needs.
#[derive(Debug)]
pub struct Supervisor {
    /// Starts processes.
    pub parent: Parent,
    /// Where to say how it goes.
    pub state: WorkerState,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where to write every relayed byte, if at all.
    pub capture: Option<Capture>,
}

/// Workers and what is known of them.
struct Workers {
    /// Started in advance, with the time it was.
    ready: Option<(Worker, Instant)>,
    /// In use: process ids, the newest last.
    in_use: Vec<u32>,
    /// Sessions; each returns its worker's process id and whether it went well.
    sessions: JoinSet<(u32, bool)>,
    started: bool,
    back_off: Duration,
}

impl Supervisor {
    /// Keeps a worker ready or in use until `stop` turns true.
    pub async fn run(self, mut sessions: mpsc::Receiver<Stream>, mut stop: watch::Receiver<bool>) {
        let mut workers = Workers {
            ready: None,
            in_use: Vec::new(),
            sessions: JoinSet::new(),
            started: false,
            back_off: BACK_OFF_MIN,
        };
        tokio::select! {
            () = self.supervise(&mut workers, &mut sessions) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        // Dropping a worker ends its process.
        workers.sessions.shutdown().await;
        drop(workers);
        self.state.set(WorkerHealth::None, None);
    }

    async fn supervise(&self, workers: &mut Workers, sessions: &mut mpsc::Receiver<Stream>) {
        loop {
            if workers.in_use.is_empty() && workers.ready.is_none() {
                workers.ready = self.start(workers).await;
                if workers.ready.is_none() {
                    self.pause(workers, false).await;
                    continue;
                }
            }
            self.tell(workers);
            let Workers {
                ready,
                sessions: served,
                ..
            } = &mut *workers;
            tokio::select! {
                Some(session) = sessions.recv() => self.serve(workers, session).await,
                Some(ended) = served.join_next() => self.ended(workers, ended.ok()).await,
                (status, began) = exited(ready) => {
                    tracing::warn!(%status, "the worker ended before it was used");
                    workers.ready = None;
                    self.pause(workers, began.elapsed() >= CRASHED_WITHIN).await;
                }
            }
        }
    }

    async fn start(&self, workers: &mut Workers) -> Option<(Worker, Instant)> {
        if std::mem::replace(&mut workers.started, true) {
            self.metrics.worker_restarts.fetch_add(1, Relaxed);
        }
        match self.parent.start().await {
            Ok(worker) => Some((worker, Instant::now())),
            Err(error) => {
                tracing::error!(%error, "the worker does not start");
                None
            }
        }
    }

    /// Gives a session a worker of its own, or closes it.
    async fn serve(&self, workers: &mut Workers, enclave: Stream) {
        if workers.in_use.len() >= WORKERS_MAX {
            tracing::warn!("closed a worker session: too many workers are in use");
            return;
        }
        let worker = match workers.ready.take() {
            Some(ready) => Some(ready),
            None => self.start(workers).await,
        };
        let Some((mut worker, began)) = worker else {
            return self.pause(workers, false).await;
        };
        self.metrics.worker_sessions.fetch_add(1, Relaxed);
        workers.in_use.push(worker.pid());
        let (metrics, capture) = (self.metrics.clone(), self.capture.clone());
        workers.sessions.spawn(async move {
            let opened = Instant::now();
            let tap = Tap::new(enclave, Relay::Worker, metrics, capture.as_ref());
            until_either_closes(tap, worker.stream()).await;
            let pid = worker.pid();
            worker.end(GRACE).await;
            // A worker that dies at once in every session is crashing, not serving.
            let served = opened.elapsed() >= BACK_OFF_MIN;
            (pid, served || began.elapsed() >= CRASHED_WITHIN)
        });
    }

    async fn ended(&self, workers: &mut Workers, ended: Option<(u32, bool)>) {
        let served = ended.is_some_and(|(_, served)| served);
        match ended {
            Some((pid, _)) => workers.in_use.retain(|one| *one != pid),
            // A session that panicked says no process id: they end together.
            None => workers.in_use.clear(),
        }
        self.pause(workers, served).await;
    }

    /// Waits before the next start where the last one came to nothing.
    async fn pause(&self, workers: &mut Workers, served: bool) {
        if served {
            workers.back_off = BACK_OFF_MIN;
            return;
        }
        if workers.in_use.is_empty() {
            self.state.set(WorkerHealth::BackingOff, None);
        }
        tokio::time::sleep(workers.back_off).await;
        workers.back_off = (workers.back_off * 2).min(BACK_OFF_MAX);
    }

    fn tell(&self, workers: &Workers) {
        let ready = workers.ready.as_ref().map(|(worker, _)| worker.pid());
        match (workers.in_use.last(), ready) {
            (Some(pid), _) => self.state.set(WorkerHealth::InUse, Some(*pid)),
            (None, ready) => self.state.set(WorkerHealth::Ready, ready),
        }
    }
}

/// How the worker ended that stands ready, if one does.
async fn exited(ready: &mut Option<(Worker, Instant)>) -> (String, Instant) {
    match ready {
        Some((worker, began)) => (worker.exited().await, *began),
        None => std::future::pending().await,
    }
}
