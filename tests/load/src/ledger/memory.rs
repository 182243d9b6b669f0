//! A store that keeps nothing on disk: what is left is the enclave's own work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use redoubt_enclave::ledger::StoreClient;
use redoubt_host::store::segment::{RecordRef, encode_batch};
use redoubt_shared::store::{Numbered, StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::{Endpoint, LedgerId, Listener, read_frame, write_frame};

use super::rig::{APPLIANCE, TENANT};

/// Bytes a store on disk would have written.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Bytes {
    /// In segments.
    pub(crate) segments: u64,
    /// In blobs of the last snapshot.
    pub(crate) blobs: u64,
}

#[derive(Default)]
struct Kept {
    counts: HashMap<LedgerId, u64>,
    blobs: HashMap<[u8; 32], usize>,
    segments: u64,
}

/// Served by a task of the runtime it was started in.
pub(crate) struct Memory {
    kept: Arc<Mutex<Kept>>,
    endpoint: Endpoint,
    _dir: tempfile::TempDir,
}

impl Memory {
    pub(crate) async fn start() -> Result<Self> {
        Self::behind(0).await
    }

    /// A store that says it has this many entries of each ledger.
    pub(crate) async fn behind(entries: u64) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let endpoint = Endpoint::Unix(dir.path().join("store"));
        let kept = Kept {
            counts: [APPLIANCE, TENANT].map(|ledger| (ledger, entries)).into(),
            ..Kept::default()
        };
        let kept = Arc::new(Mutex::new(kept));
        tokio::spawn(serve(endpoint.listen().await?, kept.clone()));
        Ok(Self {
            kept,
            endpoint,
            _dir: dir,
        })
    }

    pub(crate) fn client(&self) -> StoreClient {
        StoreClient::new(self.endpoint.clone())
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Bytes {
            segments: kept.segments,
            blobs: kept.blobs.values().map(|bytes| *bytes as u64).sum(),
        }
    }
}

async fn serve(mut listener: Listener, kept: Arc<Mutex<Kept>>) {
    while let Ok(mut stream) = listener.accept().await {
        while let Ok(Numbered { number, body }) = read_frame(&mut stream).await {
            let body = answer(&kept, body);
            let answer = Numbered { number, body };
            if write_frame(&mut stream, &answer).await.is_err() {
                break;
            }
        }
    }
}

fn answer(kept: &Mutex<Kept>, request: StoreRequest) -> StoreResponse {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    match request {
        StoreRequest::Append { records } => kept.append(&records),
        StoreRequest::PutBlob { name, bytes } => {
            kept.blobs.insert(name, bytes.len());
            StoreResponse::Stored
        }
        StoreRequest::SetSnapshot { keep, .. } => {
            kept.blobs.retain(|name, _| keep.contains(name));
            StoreResponse::Stored
        }
        StoreRequest::Snapshot => StoreResponse::Snapshot { latest: Vec::new() },
        StoreRequest::Heads => StoreResponse::Heads(kept.counts.clone().into_iter().collect()),
        StoreRequest::Read { ledger, from, .. }
            if from >= kept.counts.get(&ledger).copied().unwrap_or(0) =>
        {
            StoreResponse::Records(Vec::new())
        }
        StoreRequest::Drop { .. } => StoreResponse::Stored,
        StoreRequest::Read { .. } | StoreRequest::GetBlob { .. } | StoreRequest::Boot => {
            StoreResponse::Refused {
                reason: StoreRefusal::Missing,
                detail: "this store only counts".into(),
            }
        }
    }
}

impl Kept {
    fn append(&mut self, records: &[StoredRecord]) -> StoreResponse {
        for record in records {
            let count = self.counts.entry(record.ledger).or_default();
            if record.index != *count {
                return StoreResponse::Refused {
                    reason: StoreRefusal::OutOfOrder,
                    detail: format!("{} came where {count} is next", record.index),
                };
            }
            *count += 1;
        }
        let records: Vec<RecordRef<'_>> = records.iter().map(RecordRef::from).collect();
        let frame = encode_batch(0, &records).map_or(0, |frame| frame.len());
        self.segments += frame as u64;
        StoreResponse::Appended
    }
}
