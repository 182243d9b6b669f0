//! Runs the sealed worker and relays the enclave's session to it.
//!
//! Protects against a worker that keeps something between sessions or outlives
//! its host: every session gets a fresh process, started in advance; when either
//! side closes, the process is ended; when the host dies, the kernel ends it.

mod child;
mod elsewhere;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redoubt_shared::{Listener, Stream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::sync::{mpsc, watch};

pub use child::{Launch, Parent, Worker};
pub use elsewhere::Elsewhere;

use crate::capture::Capture;
use crate::metrics::{Metrics, Relay};
use crate::relay::Tap;

/// Time a worker has to say its last words once one side closed.
const GRACE: Duration = Duration::from_secs(1);
/// A worker that lived shorter than this has crashed.
const CRASHED_WITHIN: Duration = Duration::from_secs(10);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(15);
/// Enclave sessions that may wait for a worker.
const WAITING_MAX: usize = 4;

/// What `/healthz` says about the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerHealth {
    /// This host runs none and knows of none.
    None,
    /// Started, waiting for the enclave. Of a worker elsewhere: none is in use.
    Ready,
    /// Serving an enclave session.
    InUse,
    /// It crashed, did not start or did not answer; waiting before the next try.
    BackingOff,
}

/// The worker's state, shared with the admin pages.
#[derive(Debug, Clone)]
pub struct WorkerState(Arc<Mutex<(WorkerHealth, Option<u32>)>>);

impl WorkerState {
    /// Before the first start, or for good where there is no worker.
    pub fn none() -> Self {
        Self(Arc::new(Mutex::new((WorkerHealth::None, None))))
    }

    /// How the worker is.
    pub fn health(&self) -> WorkerHealth {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Its process id, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn set(&self, health: WorkerHealth, pid: Option<u32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (health, pid);
    }
}

/// Everything the supervisor of one worker needs.
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

/// Accepts enclave sessions; more than a few waiting ones are closed.
pub async fn accept(mut listener: Listener, sessions: mpsc::Sender<Stream>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                if sessions.try_send(stream).is_err() {
                    tracing::warn!("closed a worker session: too many are waiting");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the worker endpoint did not accept");
                tokio::time::sleep(BACK_OFF_MIN).await;
            }
        }
    }
}

/// A queue for [`accept`] and [`Supervisor::run`].
pub fn queue() -> (mpsc::Sender<Stream>, mpsc::Receiver<Stream>) {
    mpsc::channel(WAITING_MAX)
}

impl Supervisor {
    /// Keeps one worker ready or in use until `stop` turns true.
    pub async fn run(self, mut sessions: mpsc::Receiver<Stream>, mut stop: watch::Receiver<bool>) {
        let mut back_off = BACK_OFF_MIN;
        let mut first = true;
        while !*stop.borrow() {
            if !std::mem::take(&mut first) {
                self.metrics.worker_restarts.fetch_add(1, Relaxed);
            }
            let began = Instant::now();
            let served = tokio::select! {
                served = self.one(&mut sessions) => served,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if served || began.elapsed() >= CRASHED_WITHIN {
                back_off = BACK_OFF_MIN;
                continue;
            }
            self.state.set(WorkerHealth::BackingOff, None);
            tokio::select! {
                () = tokio::time::sleep(back_off) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
        self.state.set(WorkerHealth::None, None);
    }

    /// One worker's life. Dropping the future ends the process.
    async fn one(&self, sessions: &mut mpsc::Receiver<Stream>) -> bool {
        let mut worker = match self.parent.start().await {
            Ok(worker) => worker,
            Err(error) => {
                tracing::error!(%error, "the worker does not start");
                return false;
            }
        };
        self.state.set(WorkerHealth::Ready, Some(worker.pid()));
        let session = tokio::select! {
            status = worker.exited() => {
                tracing::warn!(%status, "the worker ended before it was used");
                return false;
            }
            session = sessions.recv() => session,
        };
        let Some(enclave) = session else {
            return std::future::pending().await;
        };
        self.state.set(WorkerHealth::InUse, Some(worker.pid()));
        self.metrics.worker_sessions.fetch_add(1, Relaxed);
        let began = Instant::now();
        let tap = Tap::new(
            enclave,
            Relay::Worker,
            self.metrics.clone(),
            self.capture.as_ref(),
        );
        until_either_closes(tap, worker.stream()).await;
        self.state.set(WorkerHealth::BackingOff, None);
        worker.end(GRACE).await;
        // A worker that dies at once in every session is crashing, not serving.
        began.elapsed() >= BACK_OFF_MIN
    }
}

/// Copies both ways; once one side closed, what the other still says has [`GRACE`].
async fn until_either_closes<A, B>(enclave: A, worker: B)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut from_enclave, mut to_enclave) = split(enclave);
    let (mut from_worker, mut to_worker) = split(worker);
    let inward = async {
        let _ = copy(&mut from_enclave, &mut to_worker).await;
        let _ = to_worker.shutdown().await;
    };
    let outward = async {
        let _ = copy(&mut from_worker, &mut to_enclave).await;
        let _ = to_enclave.shutdown().await;
    };
    tokio::pin!(inward, outward);
    tokio::select! {
        () = &mut inward => { let _ = tokio::time::timeout(GRACE, outward).await; }
        () = &mut outward => { let _ = tokio::time::timeout(GRACE, inward).await; }
    }
}
