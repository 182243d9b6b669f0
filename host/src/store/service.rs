//! The store's own thread: blocking file work, one request after another.
//!
//! Protects against two writers interleaving: what a session wants to write is
//! dropped once a later session wrote, and whatever had begun is over before the
//! next request is read. So an enclave that waits may read while another writes,
//! and takes the pen with its first entry. Also keeps trying to open or mend a store that failed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redoubt_shared::store::{StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use tokio::sync::oneshot;

use super::disk::Folder;
use super::index::Index;
use super::scan::OpenError;
use super::{Refusal, Store};
use crate::metrics::Metrics;

/// How often a failed store is tried again, at most.
const TICK: Duration = Duration::from_secs(1);
const REOPEN_MAX: Duration = Duration::from_secs(60);
/// Bytes a full disk must take on trial before new work is accepted.
const PROBE_MIN: usize = 64 * 1024;

/// Where the store keeps its files.
#[derive(Debug, Clone)]
pub struct StorePaths {
    /// Segments, index, lock.
    pub store_dir: PathBuf,
    /// `genesis.json` and `config.json`.
    pub boot_dir: PathBuf,
}

/// What `/healthz` says about the store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StoreHealth {
    /// Reading its segments.
    Opening,
    /// Taking appends.
    Open,
    /// Opened, but the disk takes no appends now.
    Failing {
        /// The disk's own words.
        detail: String,
    },
    /// Not opened.
    Refused {
        /// What is wrong and how to mend it.
        detail: String,
    },
}

/// Hands requests to the store's thread.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    jobs: mpsc::Sender<Message>,
    sessions: Arc<AtomicU64>,
    health: Arc<Mutex<StoreHealth>>,
}

#[derive(Debug)]
enum Message {
    Job(Job),
    Stop,
}

#[derive(Debug)]
struct Job {
    session: u64,
    request: StoreRequest,
    reply: oneshot::Sender<StoreResponse>,
}

impl StoreHandle {
    /// Starts the thread; it ends at [`Self::stop`], or when every handle is gone.
    pub fn start(
        paths: StorePaths,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::channel();
        let health = Arc::new(Mutex::new(StoreHealth::Opening));
        let mut worker = Worker {
            paths,
            metrics,
            health: health.clone(),
            store: None,
            reopen_after: Duration::ZERO,
            tried: Instant::now(),
            failed_bytes: None,
            writer: 0,
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || worker.run(&inbox))?;
        let handle = Self {
            jobs,
            sessions: Arc::new(AtomicU64::new(0)),
            health,
        };
        Ok((handle, thread))
    }

    /// Begins a session; from its first write on, no earlier one writes.
    pub fn begin_session(&self) -> u64 {
        self.sessions.fetch_add(1, SeqCst) + 1
    }

    /// Carries out one request. `None`: it writes, and a later session wrote.
    pub async fn call(&self, session: u64, request: StoreRequest) -> Option<StoreResponse> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            session,
            request,
            reply,
        };
        self.jobs.send(Message::Job(job)).ok()?;
        answer.await.ok()
    }

    /// Ends the thread once it has finished what it began.
    pub fn stop(&self) {
        let _ = self.jobs.send(Message::Stop);
    }

    /// How the store is.
    pub fn health(&self) -> StoreHealth {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

struct Worker {
    paths: StorePaths,
    metrics: Arc<Metrics>,
    health: Arc<Mutex<StoreHealth>>,
    store: Option<Store>,
    reopen_after: Duration,
    tried: Instant,
    /// Size of the batch the disk did not take, until it takes one again.
    failed_bytes: Option<usize>,
    /// The latest session that wrote.
    writer: u64,
}

impl Worker {
    fn run(&mut self, inbox: &mpsc::Receiver<Message>) {
        self.open();
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Message::Job(job)) if self.may(&job) => {
                    let answer = self.answer(job.request);
                    let _ = job.reply.send(answer);
                }
                Ok(Message::Job(_)) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if self.tried.elapsed() >= TICK.max(self.reopen_after) {
                self.try_again();
            }
        }
    }

    /// Whether nobody who came later has written.
    fn may(&mut self, job: &Job) -> bool {
        if !writes(&job.request) {
            return true;
        }
        self.writer = self.writer.max(job.session);
        self.writer == job.session
    }

    fn set_health(&self, health: StoreHealth) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    fn open(&mut self) {
        self.tried = Instant::now();
        match self.open_store() {
            Ok(store) => {
                self.reopen_after = Duration::ZERO;
                self.store = Some(store);
                self.gauge();
                self.failed_bytes = Some(PROBE_MIN);
                self.mend();
            }
            Err(error) => {
                tracing::error!(%error, "the store was not opened");
                // Finding damage again costs a reading of the whole log, a missing disk nothing.
                self.reopen_after = match error {
                    OpenError::Io(_) => TICK,
                    _ => (self.reopen_after * 2).clamp(TICK, REOPEN_MAX),
                };
                let detail = error.to_string();
                self.set_health(StoreHealth::Refused { detail });
            }
        }
    }

    fn open_store(&self) -> Result<Store, OpenError> {
        let disk = Folder::lock(&self.paths.store_dir)?;
        let index = Index::open(&self.paths.store_dir.join("index"));
        let (store, report) = Store::open(Box::new(disk), index)?;
        if let Some(cut) = &report.cut {
            self.metrics.torn_tail_cuts.fetch_add(1, Relaxed);
            tracing::warn!(
                segment = cut.name, offset = cut.offset, bytes = cut.bytes, fault = %cut.fault,
                "torn tail: cut at the last whole batch"
            );
        }
        if report.acknowledged_lost > 0 {
            let lost = report.acknowledged_lost;
            self.metrics.acknowledged_lost.fetch_add(lost, Relaxed);
            tracing::error!(
                batches = lost,
                "the segments end before what was acknowledged: somebody shortened or replaced them"
            );
        }
        if report.index_rebuilt {
            self.metrics.index_rebuilds.fetch_add(1, Relaxed);
        }
        tracing::info!(
            bytes = store.bytes(),
            segments = store.segments(),
            "the store is open"
        );
        Ok(store)
    }

    fn try_again(&mut self) {
        if self.store.is_none() {
            self.open();
        } else if self.failed_bytes.is_some() {
            self.mend();
        }
    }

    fn mend(&mut self) {
        self.tried = Instant::now();
        let (Some(store), Some(bytes)) = (&mut self.store, self.failed_bytes) else {
            return;
        };
        match store.mend(bytes.max(PROBE_MIN)) {
            Ok(()) => {
                self.failed_bytes = None;
                self.set_health(StoreHealth::Open);
            }
            Err(error) => {
                let detail = error.to_string();
                self.set_health(StoreHealth::Failing { detail });
            }
        }
    }

    fn answer(&mut self, request: StoreRequest) -> StoreResponse {
        if request == StoreRequest::Boot {
            return self.boot();
        }
        let Some(store) = &mut self.store else {
            let detail = match &*self.health.lock().unwrap_or_else(PoisonError::into_inner) {
                StoreHealth::Refused { detail } => detail.clone(),
                _ => "the store is not open".into(),
            };
            return refused(StoreRefusal::Storage, detail);
        };
        match request {
            StoreRequest::Boot => self.boot(),
            StoreRequest::Heads => StoreResponse::Heads(store.heads()),
            StoreRequest::Append { records } => self.append(&records),
            StoreRequest::PutBlob { name, bytes } => {
                let outcome = store.put_blob(name, &bytes);
                if outcome.is_ok() {
                    self.metrics.blobs_put.fetch_add(1, Relaxed);
                }
                self.stored(outcome, bytes.len())
            }
            StoreRequest::GetBlob { name } => match store.get_blob(name) {
                Ok(bytes) => StoreResponse::Blob { bytes },
                Err(refusal) => self.refuse(&refusal),
            },
            StoreRequest::SetSnapshot { latest, keep } => {
                let outcome = store.set_snapshot(&latest, &keep);
                self.stored(outcome.map(|_| ()), PROBE_MIN)
            }
            StoreRequest::Snapshot => match store.snapshot() {
                Ok(latest) => StoreResponse::Snapshot { latest },
                Err(refusal) => self.refuse(&refusal),
            },
            StoreRequest::Drop { below } => {
                let outcome = store.drop_below(&below);
                if let Ok(dropped) = outcome {
                    self.metrics.segments_dropped.fetch_add(dropped, Relaxed);
                    self.gauge();
                }
                self.stored(outcome.map(|_| ()), PROBE_MIN)
            }
            StoreRequest::Read {
                ledger,
                from,
                limit,
            } => match store.read(ledger, from, limit) {
                Ok(records) => StoreResponse::Records(records),
                Err(refusal @ Refusal::Dropped { .. }) => self.refuse(&refusal),
                Err(refusal) => {
                    tracing::error!(%refusal, "a read failed; checking all segments");
                    self.store = None;
                    self.open();
                    // What a new look at the disk mended is answered, not refused.
                    let again = self.store.as_mut();
                    match again.map(|store| store.read(ledger, from, limit)) {
                        Some(Ok(records)) => StoreResponse::Records(records),
                        Some(Err(refusal)) => self.refuse(&refusal),
                        None => refused(refusal.code(), refusal.to_string()),
                    }
                }
            },
        }
    }

    fn append(&mut self, records: &[StoredRecord]) -> StoreResponse {
        let Some(store) = &mut self.store else {
            return refused(StoreRefusal::Storage, "the store is not open".into());
        };
        let began = Instant::now();
        match store.append(records) {
            Ok(fresh) => {
                self.metrics.append_took(began.elapsed());
                self.metrics.appends.fetch_add(1, Relaxed);
                self.metrics.records.fetch_add(fresh as u64, Relaxed);
                self.disk_took_it();
                self.gauge();
                StoreResponse::Appended
            }
            Err(refusal) => {
                self.metrics.appends_refused.fetch_add(1, Relaxed);
                let bytes = records.iter().map(|record| record.bytes.len()).sum();
                self.refuse_write(&refusal, bytes)
            }
        }
    }

    fn stored(&mut self, outcome: Result<(), Refusal>, bytes: usize) -> StoreResponse {
        match outcome {
            Ok(()) => {
                self.disk_took_it();
                StoreResponse::Stored
            }
            Err(refusal) => self.refuse_write(&refusal, bytes),
        }
    }

    fn disk_took_it(&mut self) {
        if self.failed_bytes.take().is_some() {
            self.set_health(StoreHealth::Open);
        }
    }

    /// `bytes` is what the disk must take on trial before it counts as mended.
    fn refuse_write(&mut self, refusal: &Refusal, bytes: usize) -> StoreResponse {
        if let Refusal::Storage(error) = refusal {
            self.failed_bytes = Some(bytes);
            self.tried = Instant::now();
            let detail = error.to_string();
            self.set_health(StoreHealth::Failing { detail });
        }
        self.refuse(refusal)
    }

    fn refuse(&self, refusal: &Refusal) -> StoreResponse {
        if matches!(refusal, Refusal::Rotten { .. } | Refusal::DamagedPointer) {
            self.metrics.blobs_rotten.fetch_add(1, Relaxed);
        }
        tracing::warn!(%refusal, "a request was refused");
        refused(refusal.code(), refusal.to_string())
    }

    fn boot(&self) -> StoreResponse {
        let read = |name: &str| {
            let path = self.paths.boot_dir.join(name);
            std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        match (read("genesis.json"), read("config.json")) {
            (Ok(genesis), Ok(config)) => StoreResponse::Boot { genesis, config },
            (Err(detail), _) | (_, Err(detail)) => {
                tracing::error!(detail, "a boot file cannot be read");
                refused(StoreRefusal::Storage, detail)
            }
        }
    }

    fn gauge(&self) {
        if let Some(store) = &self.store {
            self.metrics.store_bytes.store(store.bytes(), Relaxed);
            self.metrics.store_segments.store(store.segments(), Relaxed);
        }
    }
}

fn writes(request: &StoreRequest) -> bool {
    match request {
        StoreRequest::Boot
        | StoreRequest::Heads
        | StoreRequest::Read { .. }
        | StoreRequest::GetBlob { .. }
        | StoreRequest::Snapshot => false,
        StoreRequest::Append { .. }
        | StoreRequest::PutBlob { .. }
        | StoreRequest::SetSnapshot { .. }
        | StoreRequest::Drop { .. } => true,
    }
}

fn refused(reason: StoreRefusal, detail: String) -> StoreResponse {
    StoreResponse::Refused { reason, detail }
}

#[cfg(test)]
mod tests {
    use redoubt_shared::LedgerId;

    use super::*;

    /// The store holds files that are gone; where it finds them anew they are whole.
    #[test]
    fn a_read_that_fails_is_made_again_once_the_store_was_opened_anew() {
        let ledger = LedgerId::from_bytes([1; 16]);
        let (stale, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let record = StoredRecord {
            ledger,
            index: 0,
            bytes: b"sealed".to_vec(),
        };
        let filled = |dir: &std::path::Path| {
            let disk = Folder::lock(dir).unwrap();
            let (mut store, _) = Store::open(Box::new(disk), Index::in_memory()).unwrap();
            store.append(std::slice::from_ref(&record)).unwrap();
            store
        };
        drop(filled(whole.path()));
        let store = filled(stale.path());
        for file in std::fs::read_dir(stale.path()).unwrap().flatten() {
            if file.file_type().unwrap().is_file() && file.file_name() != "lock" {
                std::fs::write(file.path(), b"").unwrap();
            }
        }
        let mut worker = Worker {
            paths: StorePaths {
                store_dir: whole.path().to_owned(),
                boot_dir: whole.path().to_owned(),
            },
            metrics: Arc::default(),
            health: Arc::new(Mutex::new(StoreHealth::Opening)),
            store: Some(store),
            reopen_after: Duration::ZERO,
            tried: Instant::now(),
            failed_bytes: None,
            writer: 0,
        };
        let read = StoreRequest::Read {
            ledger,
            from: 0,
            limit: 9,
        };
        let answer = worker.answer(read);
        assert_eq!(answer, StoreResponse::Records(vec![record]));
    }
}
