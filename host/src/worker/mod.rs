//! Runs the sealed worker and relays the enclave's session to it.
//!
//! Protects against a worker that keeps something between sessions or outlives
//! its host: every session gets a fresh process; when either side closes, the
//! process is ended; when the host dies, the kernel ends it.

mod child;
mod elsewhere;
mod supervisor;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redoubt_shared::{Listener, Stream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::sync::mpsc;

pub use child::{Launch, Parent, Worker};
pub use elsewhere::Elsewhere;
pub use supervisor::Supervisor;

/// Time a worker has to say its last words once one side closed.
const GRACE: Duration = Duration::from_secs(1);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// Enclave sessions that may wait to be looked at.
const WAITING_MAX: usize = 4;
/// Workers in use at once: an enclave has one or two and a moment long one more, and
/// so has another that takes over.
const WORKERS_MAX: usize = 6;

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

    /// Its process id, while there is one; of several in use, the newest's.
    pub fn pid(&self) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn set(&self, health: WorkerHealth, pid: Option<u32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (health, pid);
    }
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
