//! The host's disk, in memory: copied, restored and edited at will.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_shared::LedgerId;
use redoubt_shared::limits::READ_MAX;
use redoubt_shared::store::{StoreRefusal, StoreRequest, StoreResponse, StoredRecord};

/// Name of a blob: SHA-256 of its bytes.
pub type BlobName = [u8; 32];

/// Everything the host keeps. A clone is a snapshot of the whole disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// `genesis.json`
    pub genesis: Vec<u8>,
    /// `config.json`
    pub config: Vec<u8>,
    /// Records by ledger, without gaps from 0.
    pub ledgers: BTreeMap<LedgerId, Vec<StoredRecord>>,
    /// Blobs by name.
    pub blobs: BTreeMap<BlobName, Vec<u8>>,
    /// What the last `SetSnapshot` named.
    pub latest: Vec<BlobName>,
    /// Indices below which records may be gone. They are kept here, so that
    /// rolling back has something to roll back to, but no longer shown.
    pub dropped: BTreeMap<LedgerId, u64>,
}

impl Disk {
    /// What the honest store of `host/SPEC.md` answers.
    pub fn answer(&mut self, request: &StoreRequest) -> StoreResponse {
        match request {
            StoreRequest::Boot => StoreResponse::Boot {
                genesis: self.genesis.clone(),
                config: self.config.clone(),
            },
            StoreRequest::Heads => {
                let count = |(id, records): (&LedgerId, &Vec<_>)| (*id, records.len() as u64);
                StoreResponse::Heads(self.ledgers.iter().map(count).collect())
            }
            StoreRequest::Append { records } => self.append(records),
            StoreRequest::Read {
                ledger,
                from,
                limit,
            } => self.read(*ledger, *from, *limit),
            StoreRequest::PutBlob { name, bytes } => {
                self.blobs.insert(*name, bytes.clone());
                StoreResponse::Stored
            }
            StoreRequest::GetBlob { name } => match self.blobs.get(name) {
                Some(bytes) => StoreResponse::Blob {
                    bytes: bytes.clone(),
                },
                None => refused(StoreRefusal::Missing, "no such blob"),
            },
            StoreRequest::SetSnapshot { latest, keep } => {
                self.latest = latest.clone();
                let keep: BTreeSet<_> = keep.iter().collect();
                self.blobs.retain(|name, _| keep.contains(name));
                StoreResponse::Stored
            }
            StoreRequest::Snapshot => StoreResponse::Snapshot {
                latest: self.latest.clone(),
            },
            StoreRequest::Drop { below } => {
                self.dropped.extend(below.iter().copied());
                StoreResponse::Stored
            }
        }
    }

    fn append(&mut self, records: &[StoredRecord]) -> StoreResponse {
        let mut ends: BTreeMap<LedgerId, u64> = BTreeMap::new();
        let mut fresh = Vec::new();
        for record in records {
            let kept = self
                .ledgers
                .get(&record.ledger)
                .map_or(&[][..], Vec::as_slice);
            let end = ends.entry(record.ledger).or_insert(kept.len() as u64);
            match kept.get(record.index as usize) {
                Some(same) if same == record => {}
                Some(_) => return refused(StoreRefusal::Different, "another record is kept"),
                None if record.index == *end => {
                    *end += 1;
                    fresh.push(record.clone());
                }
                None => return refused(StoreRefusal::OutOfOrder, "not the next of its ledger"),
            }
        }
        for record in fresh {
            self.edit(record.ledger).push(record);
        }
        StoreResponse::Appended
    }

    fn read(&self, ledger: LedgerId, from: u64, limit: u32) -> StoreResponse {
        if self.dropped.get(&ledger).is_some_and(|below| from < *below) {
            return refused(StoreRefusal::Missing, "the record was dropped");
        }
        let mut bytes = 0;
        let rest = self.records(ledger).get(from as usize..).unwrap_or(&[]);
        let fitting = rest.iter().take(limit as usize).take_while(|record| {
            bytes += record.bytes.len();
            bytes <= READ_MAX
        });
        StoreResponse::Records(fitting.cloned().collect())
    }

    /// The records of a ledger.
    pub fn records(&self, ledger: LedgerId) -> &[StoredRecord] {
        self.ledgers.get(&ledger).map_or(&[], Vec::as_slice)
    }

    /// The records of a ledger, to be edited.
    pub fn edit(&mut self, ledger: LedgerId) -> &mut Vec<StoredRecord> {
        self.ledgers.entry(ledger).or_default()
    }

    /// Makes the outer indices count up again after an edit.
    pub fn renumber(&mut self, ledger: LedgerId) {
        for (index, record) in self.edit(ledger).iter_mut().enumerate() {
            (record.ledger, record.index) = (ledger, index as u64);
        }
    }
}

fn refused(reason: StoreRefusal, detail: &str) -> StoreResponse {
    let detail = detail.to_owned();
    StoreResponse::Refused { reason, detail }
}
