//! The ledger store: sealed records in append-only segment files.
//!
//! Protects against accidents of an honest host: a power cut, a full disk, a
//! torn write, a lost index. It does not protect against the host itself (the
//! enclave does), so it holds no key and judges no content. `host/SPEC.md` has
//! the layout.

pub mod base;
pub mod blobs;
pub mod disk;
pub mod index;
mod log;
pub mod scan;
pub mod segment;
pub mod service;
pub mod session;

use std::collections::BTreeMap;
use std::io;

use redoubt_shared::ids::LedgerId;
use redoubt_shared::limits::{BATCH_MAX, READ_MAX};
use redoubt_shared::store::{BLOB_MAX, StoreRefusal, StoredRecord};

use disk::Disk;
use index::{Entry, Index, IndexError, Location, Position};
use log::Log;
use scan::{Cut, OpenError, Scan, scan};
use segment::{RecordRef, SEGMENT_MAX};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A record is neither the next of its ledger nor one already kept.
    #[error("ledger {ledger}: record {found} came where {expected} is next")]
    OutOfOrder {
        /// The ledger.
        ledger: LedgerId,
        /// The index sent.
        found: u64,
        /// The index expected.
        expected: u64,
    },
    /// Another record is kept at this index.
    #[error("ledger {ledger}: another record is already kept at {index}")]
    Different {
        /// The ledger.
        ledger: LedgerId,
        /// The index sent.
        index: u64,
    },
    /// The disk refused.
    #[error("the store cannot be used: {0}")]
    Storage(#[from] io::Error),
    /// The batch exceeds the bound.
    #[error("the batch has {0} bytes of records; {BATCH_MAX} are allowed")]
    TooLarge(usize),
    /// The record was dropped with its segment.
    #[error("ledger {ledger}: record {index} was dropped; the first one kept is {first}")]
    Dropped {
        /// The ledger.
        ledger: LedgerId,
        /// The index asked for.
        index: u64,
        /// The first index kept.
        first: u64,
    },
    /// The blob exceeds the bound.
    #[error("the blob has {0} bytes; {BLOB_MAX} are allowed")]
    BlobTooLarge(usize),
    /// The blob's name is not the digest of its bytes.
    #[error("blob {}: other bytes were sent under this name", hex::encode(name))]
    Misnamed {
        /// The name sent.
        name: blobs::Name,
    },
    /// No such blob.
    #[error("blob {} is not kept", hex::encode(name))]
    NoBlob {
        /// The name asked for.
        name: blobs::Name,
    },
    /// The disk no longer holds what was put.
    #[error(
        "blob {} is damaged on disk; restore this file from a copy",
        hex::encode(name)
    )]
    Rotten {
        /// The name asked for.
        name: blobs::Name,
    },
    /// A pointer names more than it can.
    #[error("{0} snapshots are named; {max} are allowed", max = blobs::LATEST_MAX)]
    TooManySnapshots(usize),
    /// The pointer's bytes are not what was written.
    #[error("the file `snapshot` is damaged; restore it from a copy")]
    DamagedPointer,
}

impl Refusal {
    /// The stable code for the wire.
    pub fn code(&self) -> StoreRefusal {
        match self {
            Refusal::OutOfOrder { .. } => StoreRefusal::OutOfOrder,
            Refusal::Different { .. } | Refusal::Misnamed { .. } => StoreRefusal::Different,
            Refusal::Storage(_) => StoreRefusal::Storage,
            Refusal::TooLarge(_) | Refusal::BlobTooLarge(_) | Refusal::TooManySnapshots(_) => {
                StoreRefusal::TooLarge
            }
            Refusal::Dropped { .. }
            | Refusal::NoBlob { .. }
            | Refusal::Rotten { .. }
            | Refusal::DamagedPointer => StoreRefusal::Missing,
        }
    }
}

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The torn tail that was cut, if there was one.
    pub cut: Option<Cut>,
    /// Batches the index knew as acknowledged that the segments no longer hold.
    pub acknowledged_lost: u64,
    /// Whether the index had to be made anew or completed.
    pub index_rebuilt: bool,
}

/// An open store.
pub struct Store {
    log: Log,
    index: Index,
    heads: BTreeMap<LedgerId, u64>,
}

impl Store {
    /// Reads and checks every segment, cuts a torn tail, brings the index up to date.
    pub fn open(disk: Box<dyn Disk>, index: Index) -> Result<(Self, OpenReport), OpenError> {
        Self::open_sized(disk, index, SEGMENT_MAX)
    }

    /// The same, with segments of at most `segment_max` bytes from here on.
    pub fn open_sized(
        disk: Box<dyn Disk>,
        index: Index,
        segment_max: u64,
    ) -> Result<(Self, OpenReport), OpenError> {
        let acknowledged = index.position();
        let found = scan(&*disk, acknowledged, &mut |_, _, _| {})?;
        let Scan { reached, .. } = found;
        let report = OpenReport {
            cut: found.cut,
            acknowledged_lost: acknowledged.sequence.saturating_sub(reached.sequence),
            index_rebuilt: acknowledged != reached,
        };
        let mut store = Self {
            log: Log::new(disk, found.tail, reached, found.starts, segment_max),
            index,
            heads: found.heads,
        };
        if store.log.tidy().is_err() {
            // The last batch may yet be lost: the index on disk must not call it acknowledged.
            store.index = Index::in_memory();
            store.rebuild_index(Position::default())?;
            return Ok((store, report));
        }
        if acknowledged != reached {
            let known = if found.acknowledged_seen {
                acknowledged
            } else {
                Position::default()
            };
            store.rebuild_index(known)?;
        }
        Ok((store, report))
    }

    /// Ledgers and their record counts.
    pub fn heads(&self) -> Vec<(LedgerId, u64)> {
        self.heads
            .iter()
            .map(|(ledger, head)| (*ledger, *head))
            .collect()
    }

    /// Bytes in segments.
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Number of segments.
    pub fn segments(&self) -> u64 {
        self.log.segments()
    }

    /// Makes the records durable, all or none. Returns how many were new.
    pub fn append(&mut self, records: &[StoredRecord]) -> Result<usize, Refusal> {
        let bytes = records.iter().map(|record| record.bytes.len()).sum();
        if bytes > BATCH_MAX {
            return Err(Refusal::TooLarge(bytes));
        }
        let fresh = self.fresh(records)?;
        if fresh.is_empty() {
            return Ok(0);
        }
        let location = self.log.append(&fresh, &self.heads)?;
        for record in &fresh {
            self.heads.insert(record.ledger, record.index + 1);
        }
        self.remember(&fresh, location);
        Ok(fresh.len())
    }

    /// The records not yet kept; refuses what cannot follow or differs from what is.
    fn fresh<'r>(&mut self, records: &'r [StoredRecord]) -> Result<Vec<RecordRef<'r>>, Refusal> {
        let mut fresh: Vec<RecordRef<'r>> = Vec::new();
        let mut next: BTreeMap<LedgerId, u64> = BTreeMap::new();
        for record in records {
            let (ledger, index) = (record.ledger, record.index);
            let kept = self.heads.get(&ledger).copied().unwrap_or(0);
            let expected = next.entry(ledger).or_insert(kept);
            if index == *expected {
                *expected += 1;
                fresh.push(record.into());
                continue;
            }
            if index > *expected {
                return Err(Refusal::OutOfOrder {
                    ledger,
                    found: index,
                    expected: *expected,
                });
            }
            let same = if index < kept {
                self.one(ledger, index)?.bytes == record.bytes
            } else {
                fresh.contains(&record.into())
            };
            if !same {
                return Err(Refusal::Different { ledger, index });
            }
        }
        Ok(fresh)
    }

    fn remember(&mut self, fresh: &[RecordRef<'_>], location: Location) {
        let entries = entries(fresh, location);
        if let Err(error) = self.index.insert(&entries, self.log.reached()) {
            // The records are durable; only finding them needs a new index.
            tracing::warn!(%error, "making a new index from the segments");
            if let Err(error) = self.rebuild_index(Position::default()) {
                tracing::error!(%error, "the index could not be made; reads will try again");
            }
        }
    }

    /// Consecutive records from `from` on: at most `limit`, about [`READ_MAX`] bytes,
    /// at least one if there is one.
    pub fn read(
        &mut self,
        ledger: LedgerId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, Refusal> {
        let head = self.heads.get(&ledger).copied().unwrap_or(0);
        let mut records: Vec<StoredRecord> = Vec::new();
        self.is_kept(ledger, from)?;
        let mut bytes = 0;
        let mut at = from;
        while at < head && records.len() < limit as usize {
            for record in self.run(ledger, at)? {
                bytes += record.bytes.len();
                let full = bytes > READ_MAX && !records.is_empty();
                if full || records.len() == limit as usize {
                    return Ok(records);
                }
                at = record.index + 1;
                records.push(record);
            }
        }
        Ok(records)
    }

    fn one(&mut self, ledger: LedgerId, index: u64) -> Result<StoredRecord, Refusal> {
        self.is_kept(ledger, index)?;
        let run = self.run(ledger, index)?;
        run.into_iter()
            .next()
            .ok_or_else(|| not_found(ledger, index).into())
    }

    /// The records of one ledger from `index` to the end of its batch.
    fn run(&mut self, ledger: LedgerId, index: u64) -> Result<Vec<StoredRecord>, Refusal> {
        if let Ok(run) = self.run_by_index(ledger, index) {
            return Ok(run);
        }
        tracing::warn!("the index does not lead to a record that is kept; making a new one");
        self.rebuild_index(Position::default())
            .map_err(|error| match error {
                OpenError::Io(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            })?;
        Ok(self.run_by_index(ledger, index)?)
    }

    fn run_by_index(&mut self, ledger: LedgerId, index: u64) -> io::Result<Vec<StoredRecord>> {
        let location = self
            .index
            .find(ledger, index)
            .map_err(io::Error::other)?
            .ok_or_else(|| not_found(ledger, index))?;
        let records = self
            .log
            .read(location)?
            .records()
            .map_err(io::Error::other)?;
        let run: Vec<StoredRecord> = records
            .into_iter()
            .filter(|record| record.ledger == ledger && record.index >= index)
            .map(StoredRecord::from)
            .collect();
        match run.first() {
            Some(first) if first.index == index => Ok(run),
            _ => Err(not_found(ledger, index)),
        }
    }

    /// Fills the index from the segments, from the batch behind `known` on.
    fn rebuild_index(&mut self, known: Position) -> Result<(), OpenError> {
        if known == Position::default() {
            self.index.clear();
        }
        let Err(error) = self.fill_index(known.sequence)? else {
            return Ok(());
        };
        tracing::warn!(%error, "the index is kept in memory until the next start");
        self.index = Index::in_memory();
        // Memory takes every entry.
        let _ = self.fill_index(0)?;
        Ok(())
    }

    /// Indexes the acknowledged batches from sequence number `from` on.
    fn fill_index(&mut self, from: u64) -> Result<Result<(), IndexError>, OpenError> {
        let (log, index) = (&self.log, &mut self.index);
        let wanted = from..log.reached().sequence;
        let mut outcome = Ok(());
        scan(
            log.disk(),
            Position::default(),
            &mut |records, at, reached| {
                if wanted.contains(&(reached.sequence - 1)) && outcome.is_ok() {
                    outcome = index.insert(&entries(records, at), reached);
                }
            },
        )?;
        Ok(outcome)
    }

    /// Makes a blob durable under its name.
    pub fn put_blob(&mut self, name: blobs::Name, bytes: &[u8]) -> Result<(), Refusal> {
        blobs::put(self.log.disk(), name, bytes)
    }

    /// A blob by its name.
    pub fn get_blob(&self, name: blobs::Name) -> Result<Vec<u8>, Refusal> {
        blobs::get(self.log.disk(), name)
    }

    /// Remembers the first blobs of snapshots, then deletes blobs not in `keep`;
    /// returns how many.
    pub fn set_snapshot(
        &mut self,
        latest: &[blobs::Name],
        keep: &[blobs::Name],
    ) -> Result<u64, Refusal> {
        blobs::set_latest(self.log.disk(), latest, keep)
    }

    /// What the last [`Self::set_snapshot`] named.
    pub fn snapshot(&self) -> Result<Vec<blobs::Name>, Refusal> {
        blobs::latest(self.log.disk())
    }

    /// Deletes whole segments of which every record is below these indices; the
    /// last segment stays. Returns how many were deleted.
    pub fn drop_below(&mut self, below: &[(LedgerId, u64)]) -> Result<u64, Refusal> {
        let Some(base) = self.log.base_for(&below.iter().copied().collect()) else {
            return Ok(0);
        };
        let before = self.log.base().clone();
        let deleted = self.log.raise_base(base)?;
        let forgotten = self
            .log
            .base()
            .heads
            .iter()
            .try_for_each(|(ledger, first)| {
                self.index.forget(*ledger, before.first(*ledger)..*first)
            });
        if let Err(error) = forgotten {
            tracing::warn!(%error, "the index still names dropped records");
        }
        Ok(deleted)
    }

    fn is_kept(&self, ledger: LedgerId, index: u64) -> Result<(), Refusal> {
        let first = self.log.base().first(ledger);
        if index >= first {
            return Ok(());
        }
        Err(Refusal::Dropped {
            ledger,
            index,
            first,
        })
    }

    /// Tries whether the disk takes writes again: cuts leftovers, then writes `bytes` on trial.
    pub fn mend(&mut self, bytes: usize) -> io::Result<()> {
        self.log.tidy()?;
        self.log.disk().probe(bytes)
    }
}

fn entries(records: &[RecordRef<'_>], location: Location) -> Vec<Entry> {
    records
        .iter()
        .map(|record| (record.ledger, record.index, location))
        .collect()
}

fn not_found(ledger: LedgerId, index: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("ledger {ledger}: record {index} is kept but was not found"),
    )
}
