//! One attested session: jobs multiplexed by random ids.
//!
//! Protects against a worker that answers a job nobody asked, answers twice, or
//! says anything that is not a well-formed answer: each ends the session and
//! every job on it, and the next session must prove itself anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redoubt_attestation::appraise::{Appraisal, appraise};
use redoubt_attestation::binding::{NonceInput, Purpose};
use redoubt_attestation::entropy::draw;
use redoubt_attestation::genesis::Tier;
use redoubt_shared::limits::{JOB_DEADLINE_MS, JOBS_IN_FLIGHT};
use redoubt_shared::worker::{
    FaceSample, FrameRefusal, FrameSample, SampleRefusal, SpokenSample, VoiceSample, WorkerRequest,
    WorkerResponse,
};
use redoubt_shared::{FrameError, JobId, encode, read_frame, write_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::client::TlsStream;
use zeroize::{Zeroize, Zeroizing};

use super::keys::{Key, Keys};
use super::manifest::Manifest;
use super::tls::Unproven;
use super::{WorkerError, WorkerTrust, check};

/// Added to a job's own deadline before the worker counts as hung.
const GRACE: Duration = Duration::from_secs(2);
/// How long one job waits for its answer.
pub(super) const ANSWER_WITHIN: Duration =
    Duration::from_millis(JOB_DEADLINE_MS as u64).saturating_add(GRACE);

/// What a worker makes of a sample.
#[derive(Debug)]
pub(super) enum Measured {
    Face(FaceSample),
    Voice(VoiceSample),
    Frames(Vec<FrameSample>),
    Spoken(SpokenSample),
}

/// What a job is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Face { liveness: bool },
    Voice,
    Frames { liveness: bool, count: usize },
    Spoken,
}

/// What is handed in.
#[derive(Clone)]
pub(super) enum Handed {
    One(Zeroizing<Vec<u8>>),
    Frames(Zeroizing<Vec<Vec<u8>>>),
}

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Face,
    Voice,
    Frames,
    Spoken,
}

impl Kind {
    /// Whether an answer about this is what was asked for.
    fn fits(self, about: About, answer: &Answer) -> bool {
        match (self, answer) {
            (Kind::Voice, _) => about == About::Voice,
            (Kind::Spoken, _) => about == About::Spoken,
            (Kind::Face { liveness }, Ok(Measured::Face(sample))) => {
                sample.liveness.is_some() == liveness
            }
            (Kind::Face { .. }, _) => about == About::Face,
            (Kind::Frames { liveness, count }, Ok(Measured::Frames(frames))) => {
                let asked = |frame: &FrameSample| frame.face.liveness.is_some() == liveness;
                frames.len() == count && frames.iter().all(asked)
            }
            (Kind::Frames { count, .. }, Err(refusal)) => {
                about == About::Frames && usize::from(refusal.frame) < count
            }
            (Kind::Frames { .. }, Ok(_)) => false,
        }
    }
}

type Answer = Result<Measured, FrameRefusal>;

/// What was asked, and who waits for the answer.
type Waiting = (Kind, oneshot::Sender<Answer>);

/// A place for one job: nothing was sent yet.
pub(super) struct Place {
    job: JobId,
    kind: Kind,
    answer: oneshot::Receiver<Answer>,
}

/// A worker that proved what it is.
pub(super) struct Session {
    tier: Tier,
    since: Instant,
    _key: Arc<Key>,
    frames: mpsc::Sender<Zeroizing<Vec<u8>>>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Jobs asked and not answered. An entry stays when its asker gave up, so
    /// that the late answer is known for what it is.
    waiting: Mutex<HashMap<JobId, Waiting>>,
    /// Answers so far: a worker that answers others is slow, not hung.
    answers: AtomicU64,
    /// Jobs taken so far.
    taken: watch::Sender<u64>,
    /// Whether it takes no more, and only answers what it has. Changes while `waiting`
    /// is held.
    retired: AtomicBool,
    /// Why the session ended, once it did.
    ended: watch::Sender<Option<WorkerError>>,
}

impl Shared {
    fn end(&self, why: WorkerError) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(why);
            first
        });
        self.jobs().clear();
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why(&self) -> WorkerError {
        self.ended
            .borrow()
            .clone()
            .unwrap_or(WorkerError::Unavailable)
    }
}

/// Appraises the peer of a fresh TLS session; only then there is a [`Session`].
pub(super) async fn prove<S>(
    unproven: Unproven<S>,
    trust: &WorkerTrust,
    manifest: &Arc<Manifest>,
    keys: &Keys,
) -> Result<Session, WorkerError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Unproven {
        mut stream,
        spki,
        exporter,
    } = unproven;
    let nonce: [u8; 32] = draw(&*trust.entropy).map_err(|_| WorkerError::Unavailable)?;
    let ask = WorkerRequest::Prove { nonce };
    write_frame(&mut stream, &ask).await.map_err(blame)?;
    let (document, preimage) = match read_frame(&mut stream).await.map_err(blame)? {
        WorkerResponse::Evidence { document, preimage } => (document, preimage),
        WorkerResponse::Face { .. }
        | WorkerResponse::Voice { .. }
        | WorkerResponse::Frames { .. }
        | WorkerResponse::Spoken { .. } => {
            return Err(untrusted("it answered before it was asked"));
        }
    };
    let appraisal = Appraisal {
        genesis: &trust.genesis,
        minimum_counter: 0,
        purpose: Purpose::Worker,
        nonce: NonceInput::Session {
            client_nonce: &nonce,
            exporter: &exporter,
        },
        session_spki: Some(&spki),
        models: Some(manifest.digest()),
        now_ms: (trust.now_ms)(),
        max_age_ms: Some(super::EVIDENCE_AGE_MAX_MS),
        allow_debug: false,
    };
    let appraised = appraise(&document, &preimage, &appraisal)
        .map_err(|refusal| untrusted(refusal.to_string()))?;
    if !trust.accepted_tiers.contains(&appraised.tier) {
        let tier = appraised.tier.name();
        return Err(untrusted(format!("policy does not accept the tier {tier}")));
    }
    let Some(key) = keys.take(&spki) else {
        return Err(untrusted(
            "its key is that of a worker that is connected already: one process cannot \
             stand for two",
        ));
    };
    let proven = (appraised.tier, key);
    Ok(Session::start(stream, proven, Arc::clone(manifest)))
}

impl Session {
    fn start<S>(
        stream: TlsStream<S>,
        (tier, key): (Tier, Arc<Key>),
        manifest: Arc<Manifest>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (reader, writer) = split(stream);
        let (frames, outbox) = mpsc::channel(JOBS_IN_FLIGHT);
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            answers: AtomicU64::new(0),
            taken: watch::Sender::new(0),
            retired: AtomicBool::new(false),
            ended: watch::Sender::new(None),
        });
        tokio::spawn(write(writer, outbox, Arc::clone(&shared)));
        tokio::spawn(read(reader, Arc::clone(&shared), manifest));
        Self {
            tier,
            since: Instant::now(),
            _key: key,
            frames,
            shared,
        }
    }

    /// What the evidence allows it to call itself.
    pub(super) fn tier(&self) -> Tier {
        self.tier
    }

    /// When it proved itself.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Whether it takes no job any more, even if nobody was told yet.
    pub(super) fn is_over(&self) -> bool {
        self.shared.retired.load(Ordering::Relaxed) || self.is_ended()
    }

    /// Whether nothing is answered any more.
    pub(super) fn is_ended(&self) -> bool {
        self.shared.ended.borrow().is_some()
    }

    /// Resolves when the session is over, with the reason.
    pub(super) async fn ended(&self) -> WorkerError {
        let mut ended = self.shared.ended.subscribe();
        let _ = ended.wait_for(Option::is_some).await;
        self.shared.why()
    }

    /// Resolves once it has taken so many jobs in all.
    pub(super) async fn took(&self, jobs: u64) {
        let mut taken = self.shared.taken.subscribe();
        if taken.wait_for(|taken| *taken >= jobs).await.is_err() {
            std::future::pending().await
        }
    }

    /// Jobs taken so far.
    pub(super) fn taken(&self) -> u64 {
        *self.shared.taken.borrow()
    }

    /// Takes no more jobs; those it has are answered.
    pub(super) fn retire(&self) {
        let _jobs = self.shared.jobs();
        self.shared.retired.store(true, Ordering::Relaxed);
    }

    /// Whether a job waits for its answer.
    pub(super) fn has_jobs(&self) -> bool {
        !self.shared.jobs().is_empty()
    }

    /// Ends it: what it says is not believed.
    pub(super) fn distrust(&self, problem: &str) {
        self.shared.end(untrusted(problem));
    }

    /// A place for one job. Where it takes none any more, nothing happened.
    pub(super) fn enlist(&self, job: JobId, kind: Kind) -> Result<Place, WorkerError> {
        let (reply, answer) = oneshot::channel();
        let mut jobs = self.shared.jobs();
        if self.is_over() {
            return Err(self.shared.why());
        }
        if jobs.len() >= JOBS_IN_FLIGHT {
            return Err(WorkerError::Busy);
        }
        jobs.insert(job, (kind, reply));
        self.shared.taken.send_modify(|taken| *taken += 1);
        Ok(Place { job, kind, answer })
    }

    /// Sends one job and waits for its answer, which is of the same kind.
    pub(super) async fn measure(
        &self,
        place: Place,
        sample: Handed,
    ) -> Result<Measured, WorkerError> {
        let Place { job, kind, answer } = place;
        let sent = match frame(job, kind, sample) {
            Ok(frame) => self.frames.try_send(frame).map_err(|unsent| match unsent {
                TrySendError::Full(_) => WorkerError::Busy,
                TrySendError::Closed(_) => self.shared.why(),
            }),
            Err(refused) => Err(refused),
        };
        if let Err(unsent) = sent {
            self.shared.jobs().remove(&job);
            return Err(unsent);
        }
        let before = self.shared.answers.load(Ordering::Relaxed);
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(Ok(sample))) => Ok(sample),
            Ok(Ok(Err(FrameRefusal { frame, why }))) => Err(match (why, kind) {
                (SampleRefusal::Busy, _) => WorkerError::Busy,
                (SampleRefusal::Deadline, _) => WorkerError::Deadline,
                (why, Kind::Frames { .. }) => WorkerError::FrameRefused(frame, why),
                (why, _) => WorkerError::Refused(why),
            }),
            Ok(Err(_)) => Err(self.shared.why()),
            Err(_) => {
                // It did not even say that it was late. If it answered nobody
                // in all that time, it hangs.
                if self.shared.answers.load(Ordering::Relaxed) == before {
                    self.shared.end(WorkerError::Unavailable);
                }
                Err(WorkerError::Deadline)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end(WorkerError::Unavailable);
    }
}

/// The job as a frame; both copies of the sample are wiped when dropped.
fn frame(job: JobId, kind: Kind, sample: Handed) -> Result<Zeroizing<Vec<u8>>, WorkerError> {
    let deadline_ms = JOB_DEADLINE_MS;
    let (bytes, frames) = match sample {
        Handed::One(mut bytes) => (std::mem::take(&mut *bytes), Vec::new()),
        Handed::Frames(mut frames) => (Vec::new(), std::mem::take(&mut *frames)),
    };
    // Only a sample above every limit of the gateway does not fit.
    let (mut request, too_large) = match kind {
        Kind::Face { liveness } => (
            WorkerRequest::Face {
                job,
                deadline_ms,
                liveness,
                image: bytes,
            },
            SampleRefusal::TooManyPixels,
        ),
        Kind::Voice => (
            WorkerRequest::Voice {
                job,
                deadline_ms,
                audio: bytes,
            },
            SampleRefusal::TooLong,
        ),
        Kind::Spoken => (
            WorkerRequest::Spoken {
                job,
                deadline_ms,
                audio: bytes,
            },
            SampleRefusal::TooLong,
        ),
        Kind::Frames { liveness, .. } => (
            WorkerRequest::Frames {
                job,
                deadline_ms,
                liveness,
                frames,
            },
            SampleRefusal::TooManyPixels,
        ),
    };
    let frame = encode(&request).map(Zeroizing::new);
    match &mut request {
        WorkerRequest::Face { image: sent, .. }
        | WorkerRequest::Voice { audio: sent, .. }
        | WorkerRequest::Spoken { audio: sent, .. } => {
            sent.zeroize();
        }
        WorkerRequest::Frames { frames, .. } => frames.zeroize(),
        WorkerRequest::Prove { .. } => {}
    }
    frame.map_err(|_| WorkerError::Refused(too_large))
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut writer: WriteHalf<TlsStream<S>>,
    mut outbox: mpsc::Receiver<Zeroizing<Vec<u8>>>,
    shared: Arc<Shared>,
) {
    let mut ended = shared.ended.subscribe();
    loop {
        let frame = tokio::select! {
            frame = outbox.recv() => frame,
            _ = ended.wait_for(Option::is_some) => None,
        };
        let Some(frame) = frame else { break };
        let sent = tokio::select! {
            sent = async { writer.write_all(&frame).await?; writer.flush().await } => sent.is_ok(),
            _ = ended.wait_for(Option::is_some) => false,
        };
        if !sent {
            break;
        }
    }
    let _ = tokio::time::timeout(GRACE, writer.shutdown()).await;
    shared.end(WorkerError::Unavailable);
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    mut reader: ReadHalf<TlsStream<S>>,
    shared: Arc<Shared>,
    manifest: Arc<Manifest>,
) {
    let mut ended = shared.ended.subscribe();
    let why = tokio::select! {
        why = answers(&mut reader, &shared, &manifest) => why,
        _ = ended.wait_for(Option::is_some) => return,
    };
    shared.end(why);
}

async fn answers<R: AsyncRead + Unpin>(
    reader: &mut R,
    shared: &Shared,
    manifest: &Manifest,
) -> WorkerError {
    loop {
        let whole = |why| FrameRefusal { frame: 0, why };
        let (job, about, outcome) = match read_frame(reader).await {
            Ok(WorkerResponse::Face { job, outcome }) => {
                let outcome = outcome.map(Measured::Face).map_err(whole);
                (job, About::Face, outcome)
            }
            Ok(WorkerResponse::Voice { job, outcome }) => {
                let outcome = outcome.map(Measured::Voice).map_err(whole);
                (job, About::Voice, outcome)
            }
            Ok(WorkerResponse::Frames { job, outcome }) => {
                (job, About::Frames, outcome.map(Measured::Frames))
            }
            Ok(WorkerResponse::Spoken { job, outcome }) => {
                let outcome = outcome.map(Measured::Spoken).map_err(whole);
                (job, About::Spoken, outcome)
            }
            Ok(WorkerResponse::Evidence { .. }) => return untrusted("it sent evidence unasked"),
            Err(error) => return blame(error),
        };
        let sound = match &outcome {
            Ok(Measured::Face(sample)) => check::face(sample, manifest),
            Ok(Measured::Voice(sample)) => check::voice(sample, manifest),
            Ok(Measured::Frames(frames)) => check::frames(frames, manifest),
            Ok(Measured::Spoken(sample)) => check::spoken(sample, manifest),
            Err(_) => Ok(()),
        };
        if let Err(problem) = sound {
            return untrusted(format!("it sent {problem}"));
        }
        shared.answers.fetch_add(1, Ordering::Relaxed);
        match shared.jobs().remove(&job) {
            // An asker that gave up is no fault of the worker's.
            Some((asked, reply)) if asked.fits(about, &outcome) => drop(reply.send(outcome)),
            Some(_) => return untrusted("it answered something else than it was asked"),
            None => return untrusted("it answered a job that is not waiting"),
        }
    }
}

fn untrusted(problem: impl Into<String>) -> WorkerError {
    WorkerError::Untrusted(problem.into())
}

/// Malformed frames are the worker's fault; a broken stream may be the host's.
fn blame(error: FrameError) -> WorkerError {
    match error {
        FrameError::Closed | FrameError::Io(_) => WorkerError::Unavailable,
        FrameError::Length { .. }
        | FrameError::Version(_)
        | FrameError::Malformed(_)
        | FrameError::NotCanonical => untrusted(error.to_string()),
    }
}
