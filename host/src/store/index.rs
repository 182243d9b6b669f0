//! Where each record stands in the segments: (ledger, index) to (segment, offset).
//!
//! A cache and nothing more. It is rebuilt from the segments when it is
//! missing, damaged or behind, and whatever it points at is checked (CRC, the
//! record's own ledger and index) before use. sled keeps it on disk; where
//! sled cannot, it lives in memory until the next start.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redoubt_shared::ids::LedgerId;

/// Where a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Segment number.
    pub segment: u64,
    /// Offset of the batch in the segment's file.
    pub offset: u64,
}

/// Just behind the last batch that was acknowledged as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Sequence number of the next batch.
    pub sequence: u64,
    /// Segment of the last batch.
    pub segment: u64,
    /// Offset behind the last batch.
    pub end: u64,
}

/// A record's key and where its batch begins.
pub type Entry = (LedgerId, u64, Location);

/// The index failed; it can be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index failed: {0}")]
pub struct IndexError(String);

/// The index, on disk or in memory.
#[derive(Debug)]
pub struct Index(Kind);

#[derive(Debug)]
enum Kind {
    Disk(sled::Db),
    Memory {
        records: BTreeMap<[u8; 24], Location>,
        position: Position,
    },
}

const POSITION: &[u8] = b"position";

impl Index {
    /// Opens the index in `dir`, or an empty one if that is damaged.
    pub fn open(dir: &Path) -> Self {
        if let Ok(db) = open_sled(dir) {
            return Self(Kind::Disk(db));
        }
        tracing::warn!("the store's index is damaged or cannot be opened; making a new one");
        let again = std::fs::remove_dir_all(dir)
            .map_err(|error| IndexError(error.to_string()))
            .and_then(|()| open_sled(dir));
        match again {
            Ok(db) => Self(Kind::Disk(db)),
            Err(error) => {
                tracing::warn!(%error, "the index is kept in memory until the next start");
                Self::in_memory()
            }
        }
    }

    /// An empty index that lives as long as this process.
    pub fn in_memory() -> Self {
        Self(Kind::Memory {
            records: BTreeMap::new(),
            position: Position::default(),
        })
    }

    /// How far this index follows the segments; the start if it does not know.
    pub fn position(&self) -> Position {
        match &self.0 {
            Kind::Disk(db) => guarded(|| db.get(POSITION))
                .ok()
                .flatten()
                .and_then(|value| decode_position(&value))
                .unwrap_or_default(),
            Kind::Memory { position, .. } => *position,
        }
    }

    /// Adds the records of one durable batch.
    pub fn insert(&mut self, entries: &[Entry], reached: Position) -> Result<(), IndexError> {
        match &mut self.0 {
            Kind::Disk(db) => {
                let mut batch = sled::Batch::default();
                for (ledger, index, location) in entries {
                    batch.insert(&key(*ledger, *index), &encode_location(*location));
                }
                batch.insert(POSITION, &encode_position(reached));
                guarded(|| db.apply_batch(batch))
            }
            Kind::Memory { records, position } => {
                records.extend(entries.iter().map(|(l, i, at)| (key(*l, *i), *at)));
                *position = reached;
                Ok(())
            }
        }
    }

    /// Where the batch with this record begins, as far as the index knows.
    pub fn find(&self, ledger: LedgerId, index: u64) -> Result<Option<Location>, IndexError> {
        let key = key(ledger, index);
        match &self.0 {
            Kind::Disk(db) => {
                Ok(guarded(|| db.get(key))?.and_then(|value| decode_location(&value)))
            }
            Kind::Memory { records, .. } => Ok(records.get(&key).copied()),
        }
    }

    /// Forgets dropped records.
    pub fn forget(&mut self, ledger: LedgerId, dropped: Range<u64>) -> Result<(), IndexError> {
        match &mut self.0 {
            Kind::Disk(db) => dropped
                .into_iter()
                .try_for_each(|index| guarded(|| db.remove(key(ledger, index))).map(|_| ())),
            Kind::Memory { records, .. } => {
                dropped.for_each(|index| {
                    records.remove(&key(ledger, index));
                });
                Ok(())
            }
        }
    }

    /// Forgets everything; falls back to memory where the disk refuses even that.
    pub fn clear(&mut self) {
        if let Kind::Disk(db) = &self.0 {
            match guarded(|| db.clear()) {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the index is kept in memory from here on"),
            }
        }
        *self = Self::in_memory();
    }
}

fn open_sled(dir: &Path) -> Result<sled::Db, IndexError> {
    guarded(|| {
        sled::Config::new()
            .path(dir)
            .cache_capacity(64 * 1024 * 1024)
            .flush_every_ms(Some(1000))
            .open()
    })
}

/// sled panics on some kinds of damage; for a cache that is an error like any other.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| IndexError(error.to_string())),
        Err(_) => Err(IndexError("it panicked on damaged files".into())),
    }
}

fn key(ledger: LedgerId, index: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(ledger.as_bytes());
    key[16..].copy_from_slice(&index.to_be_bytes());
    key
}

fn encode_location(at: Location) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&at.segment.to_be_bytes());
    out[8..].copy_from_slice(&at.offset.to_be_bytes());
    out
}

fn decode_location(value: &[u8]) -> Option<Location> {
    let (segment, offset) = value.split_first_chunk::<8>()?;
    Some(Location {
        segment: u64::from_be_bytes(*segment),
        offset: u64::from_be_bytes(offset.try_into().ok()?),
    })
}

fn encode_position(at: Position) -> [u8; 24] {
    let mut out = [0; 24];
    out[..8].copy_from_slice(&at.sequence.to_be_bytes());
    out[8..16].copy_from_slice(&at.segment.to_be_bytes());
    out[16..].copy_from_slice(&at.end.to_be_bytes());
    out
}

fn decode_position(value: &[u8]) -> Option<Position> {
    let (sequence, rest) = value.split_first_chunk::<8>()?;
    let at = decode_location(rest)?;
    Some(Position {
        sequence: u64::from_be_bytes(*sequence),
        segment: at.segment,
        end: at.offset,
    })
}
