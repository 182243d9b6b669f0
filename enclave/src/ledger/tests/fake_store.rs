//! A store in memory that does as it is told, lies included.

use super::*;

/// What the fake store does with the next append.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mood {
    Honest,
    /// Keeps it, then drops the connection without an answer.
    KeepsSilently,
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
}

#[derive(Default)]
pub(super) struct Disk {
    pub(super) records: HashMap<LedgerId, Vec<StoredRecord>>,
    pub(super) moods: Vec<Mood>,
    pub(super) blobs: HashMap<[u8; 32], Vec<u8>>,
    pub(super) latest: Vec<[u8; 32]>,
    pub(super) refuses_snapshots: bool,
    pub(super) says_everything_twice: bool,
}

#[derive(Clone, Default)]
pub(super) struct FakeStore(pub(super) Arc<Mutex<Disk>>);

impl FakeStore {
    /// Serves on a socket in `dir`.
    pub(super) async fn serve(&self, dir: &std::path::Path) -> StoreClient {
        // A socket of its own per boot: the last one's may still be open.
        let nth = std::fs::read_dir(dir).unwrap().count();
        let endpoint = Endpoint::Unix(dir.join(format!("store-{nth}")));
        let mut listener = endpoint.listen().await.unwrap();
        let store = self.clone();
        tokio::spawn(async move {
            loop {
                let mut stream = listener.accept().await.unwrap();
                while let Ok(request) = read_frame(&mut stream).await {
                    let Numbered { number, body } = request;
                    let Some(body) = store.answer(body) else {
                        break;
                    };
                    let response = Numbered { number, body };
                    if write_frame(&mut stream, &response).await.is_err() {
                        break;
                    }
                    let again = store.0.lock().unwrap().says_everything_twice;
                    if again && write_frame(&mut stream, &response).await.is_err() {
                        break;
                    }
                }
            }
        });
        StoreClient::new(endpoint)
    }

    pub(super) fn answer(&self, request: StoreRequest) -> Option<StoreResponse> {
        let mut disk = self.0.lock().unwrap();
        match request {
            StoreRequest::Boot => None,
            StoreRequest::PutBlob { name, bytes } => {
                disk.blobs.insert(name, bytes);
                Some(StoreResponse::Stored)
            }
            StoreRequest::GetBlob { name } => Some(match disk.blobs.get(&name) {
                Some(bytes) => StoreResponse::Blob {
                    bytes: bytes.clone(),
                },
                None => refusal(StoreRefusal::Missing),
            }),
            StoreRequest::SetSnapshot { .. } if disk.refuses_snapshots => {
                Some(refusal(StoreRefusal::Storage))
            }
            StoreRequest::SetSnapshot { latest, keep } => {
                disk.latest = latest;
                disk.blobs.retain(|name, _| keep.contains(name));
                Some(StoreResponse::Stored)
            }
            StoreRequest::Snapshot => Some(StoreResponse::Snapshot {
                latest: disk.latest.clone(),
            }),
            StoreRequest::Drop { .. } => Some(StoreResponse::Stored),
            StoreRequest::Heads => Some(StoreResponse::Heads(
                disk.records
                    .iter()
                    .map(|(l, r)| (*l, r.len() as u64))
                    .collect(),
            )),
            StoreRequest::Read {
                ledger,
                from,
                limit,
            } => {
                let all = disk.records.get(&ledger).cloned().unwrap_or_default();
                let some = all
                    .into_iter()
                    .skip(from as usize)
                    .take(limit as usize)
                    .collect();
                Some(StoreResponse::Records(some))
            }
            StoreRequest::Append { records } => match disk.moods.pop().unwrap_or(Mood::Honest) {
                Mood::Honest => disk.keep(records),
                Mood::KeepsSilently => {
                    disk.keep(records);
                    None
                }
                Mood::Loses => None,
                Mood::Full => Some(refusal(StoreRefusal::Storage)),
                Mood::ClaimsDifferent => Some(refusal(StoreRefusal::Different)),
                Mood::AnswersAnother => Some(StoreResponse::Heads(Vec::new())),
                Mood::KeepsAnother => {
                    let other = records.into_iter().map(|r| StoredRecord {
                        bytes: vec![1],
                        ..r
                    });
                    disk.keep(other.collect());
                    Some(refusal(StoreRefusal::Different))
                }
            },
            // This disk keeps no snapshots.
        }
    }

    /// The same disk, copied.
    pub(super) fn copy(&self) -> Self {
        let disk = self.0.lock().unwrap();
        Self(Arc::new(Mutex::new(Disk {
            records: disk.records.clone(),
            blobs: disk.blobs.clone(),
            latest: disk.latest.clone(),
            ..Disk::default()
        })))
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut HashMap<LedgerId, Vec<StoredRecord>>)) {
        edit(&mut self.0.lock().unwrap().records);
    }

    pub(super) fn moods(&self, moods: &[Mood]) {
        self.0.lock().unwrap().moods = moods.iter().rev().copied().collect();
    }
}

pub(super) fn refusal(reason: StoreRefusal) -> StoreResponse {
    StoreResponse::Refused {
        reason,
        detail: "as told".into(),
    }
}

impl Disk {
    pub(super) fn keep(&mut self, records: Vec<StoredRecord>) -> Option<StoreResponse> {
        for record in records {
            let kept = self.records.entry(record.ledger).or_default();
            match kept.get(record.index as usize) {
                Some(old) if *old == record => {}
                Some(_) => return Some(refusal(StoreRefusal::Different)),
                None if kept.len() as u64 == record.index => kept.push(record),
                None => return Some(refusal(StoreRefusal::OutOfOrder)),
            }
        }
        Some(StoreResponse::Appended)
    }
}
