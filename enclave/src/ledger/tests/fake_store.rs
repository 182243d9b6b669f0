//! A ledger store in memory that can be told to misbehave, to stop at any
//! step, and that remembers every nonce it was shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redoubt_shared::store::{Numbered, StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::{Endpoint, LedgerId, read_frame, write_frame};
use tokio::sync::Notify;

use crate::ledger::{SealedRecord, StoreClient};

/// What the fake store does with the next append.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mood {
    Honest,
    /// Keeps it, then drops the connection without an answer.
    KeepsSilently,
    /// Keeps it and answers twice.
    AnswersTwice,
    /// Loses it and drops the connection.
    Loses,
    /// Says the disk is full.
    Full,
    /// Says the record differs from one it keeps, though it keeps none.
    ClaimsDifferent,
    /// Answers another question.
    AnswersAnother,
    /// Keeps something else in its place and says so.
    KeepsAnother,
    /// Says it is kept, and keeps nothing.
    Forgets,
}

/// Where everything stops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Crash {
    /// Requests that write before it.
    pub(super) after: u32,
    /// Whether the one it stops at takes effect.
    pub(super) keeps: bool,
}

#[derive(Default)]
pub(super) struct Disk {
    pub(super) records: HashMap<LedgerId, Vec<StoredRecord>>,
    pub(super) moods: Vec<Mood>,
    pub(super) blobs: HashMap<[u8; 32], Vec<u8>>,
    pub(super) latest: Vec<[u8; 32]>,
    pub(super) refuses_snapshots: bool,
    /// So many readings are refused, for a reason that may pass.
    pub(super) refuses_reads: u32,
    /// First record kept of each ledger.
    pub(super) first: HashMap<LedgerId, u64>,
    crash: Option<Crash>,
    /// Boots up to this one get no answer any more.
    dead: u64,
    boots: u64,
}

/// Key and counter of every record anybody ever sealed, with its bytes.
type Seals = HashMap<([u8; 32], u64), Vec<u8>>;

#[derive(Clone, Default)]
pub(super) struct FakeStore {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) crashed: Arc<Notify>,
    seals: Arc<Mutex<Seals>>,
    reused: Arc<Mutex<bool>>,
}

enum Sent {
    Once(StoreResponse),
    Twice(StoreResponse),
    /// The connection ends.
    Nothing,
    /// Nothing is ever heard again.
    Never,
}

impl FakeStore {
    /// Serves one boot on a socket in `dir`.
    pub(super) async fn serve(&self, dir: &std::path::Path) -> StoreClient {
        // A socket of its own per boot: the last one's may still be open.
        let nth = std::fs::read_dir(dir).unwrap().count();
        let endpoint = Endpoint::Unix(dir.join(format!("store-{nth}")));
        let mut listener = endpoint.listen().await.unwrap();
        let store = self.clone();
        let boot = {
            let mut disk = self.disk.lock().unwrap();
            disk.boots += 1;
            disk.boots
        };
        tokio::spawn(async move {
            loop {
                let mut stream = listener.accept().await.unwrap();
                while let Ok(request) = read_frame(&mut stream).await {
                    let Numbered { number, body } = request;
                    let (body, twice) = match store.answer_to(boot, body) {
                        Sent::Once(response) => (response, false),
                        Sent::Twice(response) => (response, true),
                        Sent::Nothing => break,
                        Sent::Never => std::future::pending().await,
                    };
                    let response = Numbered { number, body };
                    if twice && write_frame(&mut stream, &response).await.is_err() {
                        break;
                    }
                    if write_frame(&mut stream, &response).await.is_err() {
                        break;
                    }
                }
            }
        });
        StoreClient::new(endpoint).trying_again_after(Duration::from_millis(2))
    }

    fn answer_to(&self, boot: u64, request: StoreRequest) -> Sent {
        let mut disk = self.disk.lock().unwrap();
        if boot <= disk.dead {
            return Sent::Never;
        }
        if let StoreRequest::Append { records } = &request {
            self.note_seals(records);
        }
        let writes = matches!(
            request,
            StoreRequest::Append { .. }
                | StoreRequest::PutBlob { .. }
                | StoreRequest::SetSnapshot { .. }
                | StoreRequest::Drop { .. }
        );
        match &mut disk.crash {
            Some(crash) if writes && crash.after == 0 => {
                if crash.keeps {
                    let _ = disk.answer(request);
                }
                disk.kill();
                self.crashed.notify_one();
                Sent::Never
            }
            Some(crash) if writes => {
                crash.after -= 1;
                disk.answer(request)
            }
            _ => disk.answer(request),
        }
    }

    fn note_seals(&self, records: &[StoredRecord]) {
        let mut seals = self.seals.lock().unwrap();
        for record in records {
            let id = SealedRecord::decode(&record.bytes).unwrap().nonce_id();
            let other = seals.insert(id, record.bytes.clone());
            if other.is_some_and(|other| other != record.bytes) {
                *self.reused.lock().unwrap() = true;
            }
        }
    }

    /// Whether a key and counter were ever used for two records.
    pub(super) fn saw_a_nonce_twice(&self) -> bool {
        *self.reused.lock().unwrap()
    }

    /// Stops everything at a step of whoever is served now.
    pub(super) fn crash_at(&self, crash: Option<Crash>) {
        self.disk.lock().unwrap().crash = crash;
    }

    /// Nobody served so far gets another answer.
    pub(super) fn kill(&self) {
        self.disk.lock().unwrap().kill();
    }

    /// The same disk, copied; what is sealed on either is remembered together.
    pub(super) fn copy(&self) -> Self {
        let disk = self.disk.lock().unwrap();
        let copy = Disk {
            records: disk.records.clone(),
            blobs: disk.blobs.clone(),
            latest: disk.latest.clone(),
            first: disk.first.clone(),
            ..Disk::default()
        };
        Self {
            disk: Arc::new(Mutex::new(copy)),
            crashed: Arc::default(),
            seals: self.seals.clone(),
            reused: self.reused.clone(),
        }
    }

    /// Whether whoever was served last gets no answer any more.
    pub(super) fn is_dead(&self) -> bool {
        let disk = self.disk.lock().unwrap();
        disk.dead == disk.boots
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut HashMap<LedgerId, Vec<StoredRecord>>)) {
        edit(&mut self.disk.lock().unwrap().records);
    }

    pub(super) fn moods(&self, moods: &[Mood]) {
        self.disk.lock().unwrap().moods = moods.iter().rev().copied().collect();
    }

    /// Records of a ledger, dropped ones among them.
    pub(super) fn count(&self, ledger: LedgerId) -> u64 {
        let disk = self.disk.lock().unwrap();
        disk.records
            .get(&ledger)
            .map_or(0, |kept| kept.len() as u64)
    }

    /// First record of a ledger that is kept.
    pub(super) fn first(&self, ledger: LedgerId) -> u64 {
        let disk = self.disk.lock().unwrap();
        disk.first.get(&ledger).copied().unwrap_or(0)
    }
}

fn refusal(reason: StoreRefusal) -> StoreResponse {
    StoreResponse::Refused {
        reason,
        detail: "as told".into(),
    }
}

impl Disk {
    fn kill(&mut self) {
        self.dead = self.boots;
        self.crash = None;
        self.moods.clear();
    }

    fn answer(&mut self, request: StoreRequest) -> Sent {
        let reads = matches!(
            request,
            StoreRequest::Read { .. }
                | StoreRequest::GetBlob { .. }
                | StoreRequest::Snapshot
                | StoreRequest::Heads
        );
        if reads && self.refuses_reads > 0 {
            self.refuses_reads -= 1;
            return Sent::Once(refusal(StoreRefusal::Storage));
        }
        let response = match request {
            StoreRequest::Boot => return Sent::Nothing,
            StoreRequest::Append { records } => return self.append(records),
            StoreRequest::PutBlob { name, bytes } => {
                self.blobs.insert(name, bytes);
                StoreResponse::Stored
            }
            StoreRequest::GetBlob { name } => match self.blobs.get(&name) {
                Some(bytes) => StoreResponse::Blob {
                    bytes: bytes.clone(),
                },
                None => refusal(StoreRefusal::Missing),
            },
            StoreRequest::SetSnapshot { .. } if self.refuses_snapshots => {
                refusal(StoreRefusal::Storage)
            }
            StoreRequest::SetSnapshot { latest, keep } => {
                self.latest = latest;
                self.blobs.retain(|name, _| keep.contains(name));
                StoreResponse::Stored
            }
            StoreRequest::Snapshot => StoreResponse::Snapshot {
                latest: self.latest.clone(),
            },
            StoreRequest::Drop { below } => {
                for (ledger, first) in below {
                    self.drop_below(ledger, first);
                }
                StoreResponse::Stored
            }
            StoreRequest::Heads => {
                let heads = self.records.iter();
                StoreResponse::Heads(heads.map(|(l, r)| (*l, r.len() as u64)).collect())
            }
            StoreRequest::Read {
                ledger,
                from,
                limit,
            } => self.read(ledger, from, limit),
        };
        Sent::Once(response)
    }

    fn read(&self, ledger: LedgerId, from: u64, limit: u32) -> StoreResponse {
        if from < self.first.get(&ledger).copied().unwrap_or(0) {
            return refusal(StoreRefusal::Missing);
        }
        let all = self.records.get(&ledger).map_or(&[][..], Vec::as_slice);
        let some = all.iter().skip(from as usize).take(limit as usize);
        StoreResponse::Records(some.cloned().collect())
    }

    /// Bodies below `first` are gone; their places stay counted.
    fn drop_below(&mut self, ledger: LedgerId, first: u64) {
        let known = self.first.entry(ledger).or_default();
        *known = first.max(*known);
        let kept = self.records.entry(ledger).or_default();
        for record in kept.iter_mut().take(first as usize) {
            record.bytes.clear();
        }
    }

    fn append(&mut self, records: Vec<StoredRecord>) -> Sent {
        match self.moods.pop().unwrap_or(Mood::Honest) {
            Mood::Honest => Sent::Once(self.keep(records)),
            Mood::AnswersTwice => Sent::Twice(self.keep(records)),
            Mood::KeepsSilently => {
                self.keep(records);
                Sent::Nothing
            }
            Mood::Loses => Sent::Nothing,
            Mood::Full => Sent::Once(refusal(StoreRefusal::Storage)),
            Mood::ClaimsDifferent => Sent::Once(refusal(StoreRefusal::Different)),
            Mood::AnswersAnother => Sent::Once(StoreResponse::Heads(Vec::new())),
            Mood::Forgets => Sent::Once(StoreResponse::Appended),
            Mood::KeepsAnother => {
                let other = records.into_iter().map(|r| StoredRecord {
                    bytes: vec![1],
                    ..r
                });
                self.keep(other.collect());
                Sent::Once(refusal(StoreRefusal::Different))
            }
        }
    }

    fn keep(&mut self, records: Vec<StoredRecord>) -> StoreResponse {
        for record in records {
            let kept = self.records.entry(record.ledger).or_default();
            match kept.get(record.index as usize) {
                Some(old) if *old == record => {}
                Some(_) => return refusal(StoreRefusal::Different),
                None if kept.len() as u64 == record.index => kept.push(record),
                None => return refusal(StoreRefusal::OutOfOrder),
            }
        }
        StoreResponse::Appended
    }
}
