//! Relays the enclave's session to a worker that runs elsewhere, such as in an
//! image of its own.
//!
//! Protects against two sessions at one worker: they are relayed one after the
//! other. Who starts and ends that worker is not this host's matter; nothing is
//! believed of it but that bytes come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redoubt_shared::{Endpoint, Stream};
use tokio::sync::mpsc;

use super::{WorkerHealth, WorkerState, until_either_closes};
use crate::capture::Capture;
use crate::metrics::{Metrics, Relay};
use crate::relay::Tap;

/// Time the other machine has to take a stream.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A worker behind an address.
#[derive(Debug)]
pub struct Elsewhere {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Where to say how it goes.
    pub state: WorkerState,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where to write every relayed byte, if at all.
    pub capture: Option<Capture>,
}

impl Elsewhere {
    /// Relays until there are no more sessions. One that finds no worker is closed:
    /// the enclave asks again, at its own pace.
    pub async fn run(self, mut sessions: mpsc::Receiver<Stream>) {
        self.state.set(WorkerHealth::Ready, None);
        while let Some(enclave) = sessions.recv().await {
            match self.connect().await {
                Ok(worker) => {
                    self.one(enclave, worker).await;
                    self.state.set(WorkerHealth::Ready, None);
                }
                Err(error) => {
                    tracing::warn!(%error, endpoint = %self.endpoint, "no worker answers");
                    self.state.set(WorkerHealth::BackingOff, None);
                }
            }
        }
    }

    async fn connect(&self) -> std::io::Result<Stream> {
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.endpoint.connect()).await;
        connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    async fn one(&self, enclave: Stream, worker: Stream) {
        self.state.set(WorkerHealth::InUse, None);
        self.metrics.worker_sessions.fetch_add(1, Relaxed);
        let capture = self.capture.as_ref();
        let tap = Tap::new(enclave, Relay::Worker, self.metrics.clone(), capture);
        until_either_closes(tap, worker).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::worker::{accept, queue};

    #[tokio::test]
    async fn sessions_reach_the_other_worker_one_by_one_and_outlive_its_absence() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Endpoint::Unix(dir.path().join(name));
        let (sender, sessions) = queue();
        tokio::spawn(accept(at("enclave").listen().await.unwrap(), sender));
        let state = WorkerState::none();
        let elsewhere = Elsewhere {
            endpoint: at("worker"),
            state: state.clone(),
            metrics: Arc::default(),
            capture: None,
        };
        tokio::spawn(elsewhere.run(sessions));
        // Nobody is there: the session is closed and the relay goes on.
        let mut early = at("enclave").connect().await.unwrap();
        assert_eq!(early.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(state.health(), WorkerHealth::BackingOff);

        let mut worker = at("worker").listen().await.unwrap();
        for round in 0..2_u8 {
            let mut enclave = at("enclave").connect().await.unwrap();
            enclave.write_all(&[round]).await.unwrap();
            let mut served = worker.accept().await.unwrap();
            let mut byte = [9];
            served.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [round]);
            assert_eq!(state.health(), WorkerHealth::InUse);
            served.write_all(&[round + 10]).await.unwrap();
            enclave.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [round + 10]);
            drop(enclave);
            assert_eq!(served.read(&mut byte).await.unwrap(), 0);
        }
    }
}
