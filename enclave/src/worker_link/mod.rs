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

pub mod canary;
mod check;
mod keeper;
mod keys;
pub mod manifest;
mod rules;
mod second;
mod session;
#[cfg(test)]
mod tests;
mod tls;

pub use rules::{Counts, Rules};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::future::BoxFuture;

use redoubt_attestation::entropy::{Entropy, draw};
use redoubt_attestation::genesis::{Tier, VerifiedGenesis};
use redoubt_shared::worker::{FaceSample, FrameSample, SampleRefusal, SpokenSample, VoiceSample};
use redoubt_shared::{Endpoint, JobId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use keeper::{Common, Keeper};
use keys::Keys;
use manifest::Manifest;
use session::{Handed, Kind, Measured, Place, Session};

/// How long a job waits for a worker that is just being started.
const WAIT_FOR_WORKER: Duration = Duration::from_secs(10);
/// Longest time from handing a sample in to an embedding, or to none.
pub const LONGEST_JOB: Duration = WAIT_FOR_WORKER.saturating_add(session::ANSWER_WITHIN);
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
    /// Two workers measured one sample differently: neither is believed.
    #[error("two sealed workers disagree about a sample, and neither is believed")]
    Disagreed,
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

/// Told that two workers disagreed, with the tier of the one that was asked first;
/// the request is answered when what this returns is done.
pub type Disagreed = Arc<dyn Fn(Tier) -> BoxFuture<'static, ()> + Send + Sync>;

/// How workers are renewed and doubted, and who learns of it.
#[derive(Clone)]
pub struct Watching {
    /// When.
    pub rules: Rules,
    /// What is counted.
    pub counts: Arc<Counts>,
    /// Who learns of a disagreement.
    pub disagreed: Disagreed,
}

impl Watching {
    /// For whoever measures one worker: it is neither renewed nor doubted.
    pub fn none() -> Self {
        Self {
            rules: Rules::NONE,
            counts: Arc::default(),
            disagreed: Arc::new(|_| Box::pin(async {})),
        }
    }
}

/// Keeps an attested session to a worker, or to two where policy asks for second
/// opinions; renews them, and reconnects when they end.
pub struct WorkerLink {
    common: Arc<Common>,
    disagreed: Disagreed,
    seats: Vec<Seat>,
    /// Whether a second opinion did not come: the next sample needs one.
    owed: AtomicBool,
}

/// A worker's place, and who keeps it filled.
struct Seat {
    state: watch::Receiver<State>,
    keeper: JoinHandle<()>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.keeper.abort();
    }
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
        watching: Watching,
    ) -> Result<Self, rustls::Error> {
        let Watching {
            rules,
            counts,
            disagreed,
        } = watching;
        let common = Arc::new(Common {
            endpoint,
            config: tls::config()?,
            manifest: Arc::new(manifest.clone()),
            trust,
            rules,
            keys: Keys::default(),
            counts,
            renewing: Default::default(),
        });
        let workers = if rules.recompute_one_in > 0 { 2 } else { 1 };
        Ok(Self {
            seats: (0..workers).map(|_| Seat::new(&common)).collect(),
            common,
            disagreed,
            owed: AtomicBool::new(false),
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
        let until = Instant::now() + WAIT_FOR_WORKER;
        match self.seats.as_slice() {
            [one, another] => self.doubted([one, another], kind, sample, until).await,
            seats => {
                let only = seats.first().ok_or(WorkerError::Unavailable)?;
                let (session, answer) = self.ask(only, kind, sample, until).await?;
                Ok((answer?, session.tier()))
            }
        }
    }

    /// One job at one worker, waiting until then for a worker that is being made or
    /// replaced: what was not handed in is not lost. The inner error is the answer.
    async fn ask(
        &self,
        seat: &Seat,
        kind: Kind,
        sample: Handed,
        until: Instant,
    ) -> Result<(Arc<Session>, Result<Measured, WorkerError>), WorkerError> {
        let (session, place) = self.place(seat, kind, until).await?;
        let answer = session.measure(place, sample).await;
        Ok((session, answer))
    }

    async fn place(
        &self,
        seat: &Seat,
        kind: Kind,
        until: Instant,
    ) -> Result<(Arc<Session>, Place), WorkerError> {
        loop {
            let session = seat.session(until).await?;
            let id = draw(&*self.common.trust.entropy).map_err(|_| WorkerError::Unavailable)?;
            match session.enlist(JobId::from_bytes(id), kind) {
                Ok(place) => return Ok((session, place)),
                // It ended, or was replaced, just now.
                Err(WorkerError::Unavailable) => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// The tier of the worker now connected, if one is.
    pub fn tier(&self) -> Option<Tier> {
        match &*self.seats.first()?.state.borrow() {
            State::Up(session) => Some(session.tier()),
            State::Down(_) => None,
        }
    }
}

impl Seat {
    fn new(common: &Arc<Common>) -> Self {
        let (publish, state) = watch::channel(State::Down(WorkerError::Unavailable));
        let common = Arc::clone(common);
        Self {
            state,
            keeper: tokio::spawn(Keeper { common, publish }.run()),
        }
    }

    /// The session, waiting until then for one that is being made. Where the last one
    /// was refused, the reason at once.
    async fn session(&self, until: Instant) -> Result<Arc<Session>, WorkerError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Up(session) => !session.is_over(),
            State::Down(why) => *why != WorkerError::Unavailable,
        });
        match tokio::time::timeout_at(until, settled).await {
            Ok(Ok(state)) => state.clone().session(),
            Ok(Err(_)) | Err(_) => Err(WorkerError::Unavailable),
        }
    }
}
