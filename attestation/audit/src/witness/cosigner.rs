//! The witness's half: terms are introduced, heads cosigned, each log a file.
//!
//! Protects against an answer that a crash forgets: every record is on disk
//! before the answer that depends on it exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use redoubt_attestation::jwk::OkpEd25519Jwk;
use redoubt_attestation::ledger::checkpoint::{
    Checkpoint, NoteAlgorithms, NoteError, NoteKey, open, origin, read_unverified,
};
use redoubt_attestation::ledger::cosignature::cosign;
use redoubt_attestation::ledger::witness_wire::AddCheckpoint;
use redoubt_attestation::peers::TermReply;
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::LedgerId;

use super::answer::{Answer, Refused};
use super::files;
use super::log::{Growth, Log, LogRecord, LogRefusal};
use super::pinned::Believed;
use crate::fetch::now_ms;

const FOLDER: &str = "logs";
/// Ledgers one witness keeps; each needs evidence of the pinned appliance.
const LOGS_MAX: usize = 64;

type Shared = Arc<Mutex<Log>>;

pub(super) struct Cosigner {
    dir: PathBuf,
    logs: Mutex<BTreeMap<LedgerId, Shared>>,
    started: Instant,
}

impl Cosigner {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let dir = dir.join(FOLDER);
        files::make_dir(&dir).with_context(|| dir.display().to_string())?;
        let mut logs = BTreeMap::new();
        for item in std::fs::read_dir(&dir)? {
            let path = item?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let record = read(&path).with_context(|| path.display().to_string())?;
                ensure!(
                    path == file(&dir, record.ledger),
                    "{}: holds the record of another ledger",
                    path.display()
                );
                let ledger = record.ledger;
                logs.insert(ledger, Arc::new(Mutex::new(Log::restored(record))));
            }
        }
        Ok(Self {
            dir,
            logs: Mutex::new(logs),
            started: Instant::now(),
        })
    }

    /// The newest term introduced for a ledger; 0 if none.
    pub(super) fn term(&self, ledger: LedgerId) -> u64 {
        self.find(ledger).map_or(0, |log| lock(&log).record().term)
    }

    /// A term introduces its key.
    pub(super) fn introduce(&self, believed: &Believed) -> Result<Answer, Answer> {
        let ledger = believed.appliance;
        let key = &believed.binding.boot_keys.checkpoint_ed25519;
        let term = believed.binding.term.ok_or_else(|| {
            Refused::forbidden("evidence: the document was made before its term was opened")
        })?;
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = logs.get(&ledger).cloned() else {
            if logs.len() >= LOGS_MAX {
                return Err(Refused::forbidden("too many ledgers are kept here").into());
            }
            let record = Log::first(ledger, term, key.clone());
            self.write(&record)?;
            let log = Log::restored(record);
            let answer = self.state(&log);
            logs.insert(ledger, Arc::new(Mutex::new(log)));
            return answer;
        };
        drop(logs);
        let mut log = lock(&log);
        let record = log.introduce(term, key)?;
        if record != *log.record() {
            self.write(&record)?;
            log.introduced(record);
        }
        self.state(&log)
    }

    /// A ledger ends for good: no term of it is believed again.
    pub(super) fn close(&self, ledger: LedgerId, key: &OkpEd25519Jwk) -> Result<(), Answer> {
        const CLOSED: u64 = u64::MAX;
        let Some(log) = self.find(ledger) else {
            return Ok(());
        };
        let mut log = lock(&log);
        if log.record().term != CLOSED {
            let record = log.introduce(CLOSED, key)?;
            self.write(&record)?;
            log.introduced(record);
        }
        match log.wait_ms(self.uptime_ms()) {
            0 => Ok(()),
            wait_ms => Err(LogRefusal::Wait { wait_ms }.into()),
        }
    }

    /// C2SP `add-checkpoint`.
    pub(super) fn add_checkpoint(
        &self,
        body: &[u8],
        lease_ms: u64,
        name: &str,
        key: &Ed25519Signer,
    ) -> Result<Answer, Answer> {
        let request = AddCheckpoint::parse(body).map_err(|e| Refused::bad(e.to_string()))?;
        let claimed = read_unverified(&request.note).map_err(|e| Refused::bad(e.to_string()))?;
        let log = self.find(claimed.ledger).ok_or_else(|| {
            let name = origin(claimed.ledger);
            Refused::new(StatusCode::NOT_FOUND, format!("unknown log {name}"))
        })?;
        let mut log = lock(&log);
        let checkpoint = verify(&request.note, log.record())?;
        let growth = Growth {
            checkpoint: &checkpoint,
            old_size: request.old_size,
            proof: &request.proof,
        };
        let record = log.cosign(growth, lease_ms, self.uptime_ms())?;
        if record != *log.record() {
            self.write(&record)?;
        }
        let line = cosign(&checkpoint, name, now_ms() / 1000, key)
            .map_err(|e| Refused::failed(e.to_string()))?;
        // The lease counts from here, rounded up: never earlier than the enclave's
        // own count, which began before it asked.
        log.cosigned(record, self.uptime_ms() + 1);
        Ok(Answer::text(line))
    }

    fn state(&self, log: &Log) -> Result<Answer, Answer> {
        Ok(Answer::json(&TermReply {
            head: log.record().head,
            wait_ms: log.wait_ms(self.uptime_ms()),
        })?)
    }

    fn find(&self, ledger: LedgerId) -> Option<Shared> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.get(&ledger).cloned()
    }

    fn write(&self, record: &LogRecord) -> Result<(), Refused> {
        let json = serde_json::to_vec_pretty(record).map_err(|e| Refused::failed(e.to_string()))?;
        files::replace(&file(&self.dir, record.ledger), &json).map_err(Refused::disk)
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn lock(log: &Shared) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file(dir: &Path, ledger: LedgerId) -> PathBuf {
    dir.join(format!("{ledger}.json"))
}

fn read(path: &Path) -> Result<LogRecord> {
    let bytes = files::read(path)?.context("it vanished")?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Only the newest term's key counts. Other keys' lines are passed over, so a
/// checkpoint of an older term is one without a signature that counts.
fn verify(note: &str, record: &LogRecord) -> Result<Checkpoint, Refused> {
    let key = NoteKey {
        ed25519: *record.key.as_bytes(),
        // Its ML-DSA-65 line, if there is one, is for later readers.
        mldsa65: Vec::new(),
    };
    match open(note, &[key], NoteAlgorithms::NATIVE) {
        Ok(verified) => Ok(verified.checkpoint),
        Err(error @ NoteError::Malformed(_)) => Err(Refused::bad(error.to_string())),
        Err(error @ NoteError::WrongSignature(_)) => Err(Refused::forbidden(error.to_string())),
        Err(NoteError::Unsigned | NoteError::NotPostQuantum) => Err(Refused::forbidden(format!(
            "superseded by term {}: no signature by its key",
            record.term
        ))),
    }
}
