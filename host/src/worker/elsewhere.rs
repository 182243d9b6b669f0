//! Relays the enclave's sessions to workers that run elsewhere, such as in images of
//! their own.
//!
//! Protects against two sessions at one worker: one that is in use is not tried again
//! before its session ended, and a session for which none is free is closed. Who
//! starts and ends workers there is not this host's matter; nothing is believed of them
//! but that bytes come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redoubt_shared::{Endpoint, Stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{WorkerHealth, WorkerState, until_either_closes};
use crate::capture::Capture;
use crate::metrics::{Metrics, Relay};
use crate::relay::Tap;

/// Time the other machine has to take a stream.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Workers behind addresses.
#[derive(Debug)]
pub struct Elsewhere {
    /// Where they listen.
    pub endpoints: Vec<Endpoint>,
    /// Where to say how it goes.
    pub state: WorkerState,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where to write every relayed byte, if at all.
    pub capture: Option<Capture>,
}

impl Elsewhere {
    /// Relays until there are no more sessions. One that finds no worker that is free
    /// is closed: the enclave asks again, at its own pace.
    pub async fn run(self, mut sessions: mpsc::Receiver<Stream>) {
        self.state.set(WorkerHealth::Ready, None);
        let (mut busy, mut relayed) = (vec![false; self.endpoints.len()], JoinSet::new());
        loop {
            tokio::select! {
                session = sessions.recv() => {
                    let Some(enclave) = session else { return };
                    if let Some((at, worker)) = self.connect(&busy).await {
                        busy[at] = true;
                        let (metrics, capture) = (self.metrics.clone(), self.capture.clone());
                        self.metrics.worker_sessions.fetch_add(1, Relaxed);
                        relayed.spawn(async move {
                            let capture = capture.as_ref();
                            let tap = Tap::new(enclave, Relay::Worker, metrics, capture);
                            until_either_closes(tap, worker).await;
                            at
                        });
                    }
                }
                Some(ended) = relayed.join_next() => match ended {
                    Ok(at) => busy[at] = false,
                    Err(error) => tracing::error!(%error, "a relay to a worker failed"),
                },
            }
            let health = match (busy.contains(&true), self.state.health()) {
                (true, _) => WorkerHealth::InUse,
                (false, WorkerHealth::BackingOff) => WorkerHealth::BackingOff,
                (false, _) => WorkerHealth::Ready,
            };
            self.state.set(health, None);
        }
    }

    /// The first worker that is free and answers.
    async fn connect(&self, busy: &[bool]) -> Option<(usize, Stream)> {
        let all = self.endpoints.iter().enumerate();
        for (at, endpoint) in all.filter(|(at, _)| !busy[*at]) {
            let connected = tokio::time::timeout(CONNECT_WITHIN, endpoint.connect()).await;
            match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(worker) => return Some((at, worker)),
                Err(error) => tracing::warn!(%error, %endpoint, "no worker answers"),
            }
        }
        if !busy.contains(&true) {
            self.state.set(WorkerHealth::BackingOff, None);
        }
        None
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
            endpoints: vec![at("worker")],
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
            // The one worker is in use: another session is closed, not kept waiting.
            let mut second = at("enclave").connect().await.unwrap();
            assert_eq!(second.read(&mut byte).await.unwrap(), 0);
            drop(enclave);
            assert_eq!(served.read(&mut byte).await.unwrap(), 0);
            drop(served);
            while state.health() != WorkerHealth::Ready {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    #[tokio::test]
    async fn two_sessions_reach_two_workers_and_never_one_twice() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Endpoint::Unix(dir.path().join(name));
        let (sender, sessions) = queue();
        tokio::spawn(accept(at("enclave").listen().await.unwrap(), sender));
        let elsewhere = Elsewhere {
            endpoints: vec![at("one"), at("two")],
            state: WorkerState::none(),
            metrics: Arc::default(),
            capture: None,
        };
        let mut one = at("one").listen().await.unwrap();
        let mut two = at("two").listen().await.unwrap();
        tokio::spawn(elsewhere.run(sessions));
        let _first = at("enclave").connect().await.unwrap();
        let _served = one.accept().await.unwrap();
        let mut second = at("enclave").connect().await.unwrap();
        let mut served = two.accept().await.unwrap();
        second.write_all(&[7]).await.unwrap();
        assert_eq!(served.read_u8().await.unwrap(), 7);
        let mut third = at("enclave").connect().await.unwrap();
        assert_eq!(third.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
