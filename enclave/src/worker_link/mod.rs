//! The enclave's side of the sealed worker.
//!
//! Protects against the host, which relays this stream and starts the worker:
//! no sample leaves before the other end has proven, bound to this very TLS
//! session, that it is a measured worker of an accepted tier with our models;
//! and no answer is believed that is not well-formed. The worker is told a
//! random job id and a sample, nothing else.
//!
//! Not covered: at tier `process` root on the host can read samples and choose
//! embeddings, whatever is checked here.

mod check;
pub mod manifest;
mod session;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use redoubt_attestation::entropy::{Entropy, draw};
use redoubt_attestation::genesis::{Tier, VerifiedGenesis};
use redoubt_shared::worker::{FaceSample, FrameSample, SampleRefusal, SpokenSample, VoiceSample};
use redoubt_shared::{Endpoint, JobId};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use manifest::Manifest;
use session::{Handed, Kind, Measured, Session};

/// Time to connect, shake hands and prove.
const PROVE_WITHIN: Duration = Duration::from_secs(20);
/// How long a job waits for a worker that is just being started.
const WAIT_FOR_WORKER: Duration = Duration::from_secs(5);
/// Longest time from handing a sample in to an embedding, or to none.
pub const LONGEST_JOB: Duration = WAIT_FOR_WORKER.saturating_add(session::ANSWER_WITHIN);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Oldest evidence accepted. It is made on request for our nonce, which is what
/// proves it fresh; this only refuses where there is no trusted time at all, and
/// leaves room for emulated clocks that were moved.
const EVIDENCE_AGE_MAX_MS: u64 = 7 * 24 * 3600 * 1000;

/// Why there is no embedding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// No worker is connected. The host's matter: try again later.
    #[error("no sealed worker is connected; look at the host's worker log")]
    Unavailable,
    /// Too many jobs at once: try again later.
    #[error("the sealed worker's queue is full")]
    Busy,
    /// The worker looked at the sample and refused it.
    #[error("the sample was refused: {0:?}")]
    Refused(SampleRefusal),
    /// The worker refused one of several frames, counted from zero.
    #[error("frame {0} was refused: {1:?}")]
    FrameRefused(u8, SampleRefusal),
    /// The other end is not what it should be, or does not behave like it.
    #[error("the sealed worker is not trusted: {0}")]
    Untrusted(String),
    /// No answer in time.
    #[error("the sealed worker did not answer in time")]
    Deadline,
}

/// The session ends before this can be.
fn mixed_up() -> WorkerError {
    WorkerError::Untrusted("it answered something else than it was asked".into())
}

/// What a worker must be, and what this side needs to judge it.
#[derive(Clone)]
pub struct WorkerTrust {
    /// Roots, allowed measurements, environment.
    pub genesis: Arc<VerifiedGenesis>,
    /// Tiers that policy accepts.
    pub accepted_tiers: Vec<Tier>,
    /// Random job ids and nonces.
    pub entropy: Arc<dyn Entropy + Send + Sync>,
    /// The enclave's time, Unix milliseconds.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// Keeps one attested session to a worker, and reconnects when it ends.
pub struct WorkerLink {
    entropy: Arc<dyn Entropy + Send + Sync>,
    state: watch::Receiver<State>,
    keeper: JoinHandle<()>,
}

#[derive(Clone)]
enum State {
    Down(WorkerError),
    Up(Arc<Session>),
}

impl State {
    fn session(self) -> Result<Arc<Session>, WorkerError> {
        match self {
            State::Up(session) => Ok(session),
            State::Down(why) => Err(why),
        }
    }
}

impl WorkerLink {
    /// Starts connecting at once, in the background. Call within a runtime.
    pub fn new(
        endpoint: Endpoint,
        trust: WorkerTrust,
        manifest: &Manifest,
    ) -> Result<Self, rustls::Error> {
        let (publish, state) = watch::channel(State::Down(WorkerError::Unavailable));
        let keeper = Keeper {
            endpoint,
            config: tls::config()?,
            manifest: Arc::new(manifest.clone()),
            trust,
            publish,
        };
        Ok(Self {
            entropy: Arc::clone(&keeper.trust.entropy),
            state,
            keeper: tokio::spawn(keeper.run()),
        })
    }

    /// One face of one picture, and the tier of the worker that saw it. With a passive
    /// `liveness` exactly where one is asked for, which takes a model of that role.
    pub async fn face(
        &self,
        image: Zeroizing<Vec<u8>>,
        liveness: bool,
    ) -> Result<(FaceSample, Tier), WorkerError> {
        let kind = Kind::Face { liveness };
        match self.measure(kind, Handed::One(image)).await? {
            (Measured::Face(sample), tier) => Ok((sample, tier)),
            _ => Err(mixed_up()),
        }
    }

    /// The one voice of a recording, and the tier of the worker that heard it.
    pub async fn voice(
        &self,
        audio: Zeroizing<Vec<u8>>,
    ) -> Result<(VoiceSample, Tier), WorkerError> {
        match self.measure(Kind::Voice, Handed::One(audio)).await? {
            (Measured::Voice(sample), tier) => Ok((sample, tier)),
            _ => Err(mixed_up()),
        }
    }

    /// The one voice of a recording, cut into words, and the tier of the worker that heard
    /// it; which digits the words are takes models of those roles.
    pub async fn spoken(
        &self,
        audio: Zeroizing<Vec<u8>>,
    ) -> Result<(SpokenSample, Tier), WorkerError> {
        match self.measure(Kind::Spoken, Handed::One(audio)).await? {
            (Measured::Spoken(sample), tier) => Ok((sample, tier)),
            _ => Err(mixed_up()),
        }
    }

    /// One face through frames, in their order, and the tier of the worker that saw them.
    /// With a passive `liveness` of each exactly where one is asked for.
    pub async fn frames(
        &self,
        frames: Zeroizing<Vec<Vec<u8>>>,
        liveness: bool,
    ) -> Result<(Vec<FrameSample>, Tier), WorkerError> {
        let count = frames.len();
        let kind = Kind::Frames { liveness, count };
        match self.measure(kind, Handed::Frames(frames)).await? {
            (Measured::Frames(frames), tier) => Ok((frames, tier)),
            _ => Err(mixed_up()),
        }
    }

    async fn measure(&self, kind: Kind, sample: Handed) -> Result<(Measured, Tier), WorkerError> {
        let session = self.session().await?;
        let id = draw(&*self.entropy).map_err(|_| WorkerError::Unavailable)?;
        let measured = session.measure(JobId::from_bytes(id), kind, sample);
        Ok((measured.await?, session.tier()))
    }

    /// The session, waiting a little for one that is being made. Where the last
    /// one was refused, the reason at once.
    async fn session(&self) -> Result<Arc<Session>, WorkerError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Up(session) => !session.is_over(),
            State::Down(why) => *why != WorkerError::Unavailable,
        });
        match tokio::time::timeout(WAIT_FOR_WORKER, settled).await {
            Ok(Ok(state)) => state.clone().session(),
            Ok(Err(_)) | Err(_) => Err(WorkerError::Unavailable),
        }
    }

    /// The tier of the worker now connected, if one is.
    pub fn tier(&self) -> Option<Tier> {
        match &*self.state.borrow() {
            State::Up(session) => Some(session.tier()),
            State::Down(_) => None,
        }
    }
}

impl Drop for WorkerLink {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

struct Keeper {
    endpoint: Endpoint,
    config: Arc<ClientConfig>,
    manifest: Arc<Manifest>,
    trust: WorkerTrust,
    publish: watch::Sender<State>,
}

impl Keeper {
    async fn run(self) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let connected = tokio::time::timeout(PROVE_WITHIN, self.connect()).await;
            let why = match connected.unwrap_or(Err(WorkerError::Unavailable)) {
                Ok(session) => {
                    back_off = BACK_OFF_MIN;
                    self.serve(session).await
                }
                Err(why) => why,
            };
            if let WorkerError::Untrusted(problem) = &why {
                tracing::warn!(problem, "a sealed worker was refused");
            }
            self.publish.send_replace(State::Down(why));
            tokio::time::sleep(back_off).await;
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    async fn connect(&self) -> Result<Session, WorkerError> {
        let unavailable = |_| WorkerError::Unavailable;
        let stream = self.endpoint.connect().await.map_err(unavailable)?;
        let unproven = tls::handshake(Arc::clone(&self.config), stream).await;
        session::prove(unproven.map_err(unavailable)?, &self.trust, &self.manifest).await
    }

    async fn serve(&self, session: Session) -> WorkerError {
        let session = Arc::new(session);
        tracing::info!(tier = session.tier().name(), "a sealed worker is connected");
        self.publish.send_replace(State::Up(Arc::clone(&session)));
        session.ended().await
    }
}
