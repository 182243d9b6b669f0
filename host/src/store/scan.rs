//! Reads every segment from first to last and decides what may be cut.
//!
//! Protects against silent loss: only bytes behind the last whole batch of the
//! last segment may go, and only when no whole batch follows them and the index
//! does not know them as acknowledged. Everything else is damage and refused,
//! naming segment and offset.

use std::collections::BTreeMap;
use std::io;

use redoubt_shared::ids::LedgerId;

use super::base::Base;
use super::disk::{Disk, DiskFile};
use super::index::{Location, Position};
use super::segment::{self, Fault, HEADER_LEN, RecordRef, SEGMENT_MAX};

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused.
    #[error("cannot read the store: {0}")]
    Io(#[from] io::Error),
    /// Bytes in the middle of the log are not what was written.
    #[error("segment {name} is damaged at offset {offset}: {fault}; restore this file from a copy")]
    Damaged {
        /// File name of the segment.
        name: String,
        /// Where the damaged batch or header begins.
        offset: u64,
        /// What is wrong there.
        #[source]
        fault: Fault,
    },
    /// A segment is not there.
    #[error("segment {name} is missing; restore this file from a copy")]
    Missing {
        /// File name of the segment.
        name: String,
    },
    /// The bytes that say where the log begins are not what was written.
    #[error("the file `base` is damaged; restore it from a copy")]
    DamagedBase,
    /// A segment is larger than any this store writes.
    #[error("segment {name} has {len} bytes, more than the {SEGMENT_MAX} a segment can have")]
    TooLong {
        /// File name of the segment.
        name: String,
        /// Its size.
        len: u64,
    },
}

/// What was cut from the end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// File name of the last segment.
    pub name: String,
    /// The end of the last whole batch.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
    /// What was wrong with them.
    pub fault: Fault,
}

/// The last segment, open for appending.
pub(super) struct Tail {
    pub(super) number: u64,
    pub(super) file: Box<dyn DiskFile>,
    /// Behind the last whole batch; 0 if even the header is to be written again.
    pub(super) end: u64,
}

/// What the segments hold.
pub(super) struct Scan {
    pub(super) tail: Option<Tail>,
    pub(super) reached: Position,
    pub(super) heads: BTreeMap<LedgerId, u64>,
    pub(super) cut: Option<Cut>,
    /// Whether `acknowledged` lies between two batches of this log.
    pub(super) acknowledged_seen: bool,
    /// What stands before each segment; before the log where there is none.
    pub(super) starts: Vec<Base>,
}

/// Called for every batch: its records, where it begins, what is reached behind it.
pub(super) type Visit<'v> = dyn FnMut(&[RecordRef<'_>], Location, Position) + 'v;

/// Reads all segments. `acknowledged` is what the index remembers.
pub(super) fn scan(
    disk: &dyn Disk,
    acknowledged: Position,
    visit: &mut Visit<'_>,
) -> Result<Scan, OpenError> {
    let base = Base::load(disk)?;
    let last = last_segment(disk, base.segment, acknowledged)?;
    let mut scan = Scan {
        tail: None,
        reached: base.position(),
        heads: base.heads.clone(),
        cut: None,
        acknowledged_seen: acknowledged == Position::default() || acknowledged == base.position(),
        starts: vec![base.clone()],
    };
    for number in base.segment..last {
        if number > base.segment {
            scan.starts.push(scan.base_of(number));
        }
        let file = disk.open(&segment::file_name(number), false)?;
        let is_last = number + 1 == last;
        let end = scan.segment(number, &*file, is_last, acknowledged, visit)?;
        if is_last {
            scan.tail = Some(Tail { number, file, end });
        }
    }
    Ok(scan)
}

/// One more than the number of the last segment; every one from `first` on must be there.
fn last_segment(disk: &dyn Disk, first: u64, acknowledged: Position) -> Result<u64, OpenError> {
    let mut numbers: Vec<u64> = numbers(disk)?
        .into_iter()
        .filter(|number| *number >= first)
        .collect();
    numbers.sort_unstable();
    let next = first + numbers.len() as u64;
    // The segment that a base names was there, durably, before the base was written.
    let known = acknowledged.sequence > 0 && next <= acknowledged.segment;
    let missing = (first..)
        .zip(&numbers)
        .find_map(|(expected, found)| (expected != *found).then_some(expected))
        .or((known || (first > 0 && numbers.is_empty())).then_some(next));
    match missing {
        Some(number) => Err(OpenError::Missing {
            name: segment::file_name(number),
        }),
        None => Ok(next),
    }
}

/// The numbers of all segments in the folder.
pub(super) fn numbers(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let names = disk.list()?;
    Ok(names
        .iter()
        .filter_map(|name| segment::number_of(name))
        .collect())
}

impl Scan {
    fn base_of(&self, number: u64) -> Base {
        Base {
            segment: number,
            sequence: self.reached.sequence,
            end: self.reached.end,
            heads: self.heads.clone(),
        }
    }

    /// Reads one segment; returns the end of its last whole batch.
    fn segment(
        &mut self,
        number: u64,
        file: &dyn DiskFile,
        is_last: bool,
        acknowledged: Position,
        visit: &mut Visit<'_>,
    ) -> Result<u64, OpenError> {
        let name = segment::file_name(number);
        let bytes = read_all(file, &name)?;
        let mut at = 0;
        let fault = loop {
            match self.step(number, &bytes, at, acknowledged, visit) {
                Ok(size) => at += size,
                Err(fault) => break fault,
            }
            if at == bytes.len() {
                return Ok(at as u64);
            }
        };
        let torn = is_last && self.is_torn(number, &bytes, at, &fault, acknowledged);
        if !torn {
            let known = is_last && acknowledged_covers(acknowledged, number, at, bytes.len());
            return Err(OpenError::Damaged {
                name,
                offset: at as u64,
                fault: if known { Fault::Acknowledged } else { fault },
            });
        }
        self.cut = Some(Cut {
            name,
            offset: at as u64,
            bytes: (bytes.len() - at) as u64,
            fault,
        });
        Ok(at as u64)
    }

    /// Takes the header or the next batch; returns its size.
    fn step(
        &mut self,
        number: u64,
        bytes: &[u8],
        at: usize,
        acknowledged: Position,
        visit: &mut Visit<'_>,
    ) -> Result<usize, Fault> {
        if at == 0 {
            segment::check_header(bytes, number, self.reached.sequence)?;
            return Ok(HEADER_LEN as usize);
        }
        let batch = segment::take_batch(&bytes[at..])?;
        if batch.sequence != self.reached.sequence {
            return Err(Fault::Sequence {
                found: batch.sequence,
                expected: self.reached.sequence,
            });
        }
        let records = batch.records()?;
        self.advance_heads(&records)?;
        self.reached = Position {
            sequence: batch.sequence + 1,
            segment: number,
            end: (at + batch.size) as u64,
        };
        self.acknowledged_seen |= self.reached == acknowledged;
        let location = Location {
            segment: number,
            offset: at as u64,
        };
        visit(&records, location, self.reached);
        Ok(batch.size)
    }

    fn advance_heads(&mut self, records: &[RecordRef<'_>]) -> Result<(), Fault> {
        for record in records {
            let head = self.heads.entry(record.ledger).or_default();
            if record.index != *head {
                return Err(Fault::Record {
                    ledger: record.ledger,
                    found: record.index,
                    expected: *head,
                });
            }
            *head += 1;
        }
        Ok(())
    }

    /// Whether the bytes from `at` on may be what an interrupted write left behind.
    fn is_torn(
        &self,
        number: u64,
        bytes: &[u8],
        at: usize,
        fault: &Fault,
        acknowledged: Position,
    ) -> bool {
        match fault {
            // The header is durable before the first batch is written.
            Fault::Short | Fault::Header(_) if at == 0 => bytes.len() <= HEADER_LEN as usize,
            Fault::Short | Fault::Length(_) | Fault::Crc => {
                !acknowledged_covers(acknowledged, number, at, bytes.len())
                    && !segment::holds_later_batch(&bytes[at + 1..], self.reached.sequence)
            }
            _ => false,
        }
    }
}

/// Whether the index knows the bytes from `at` on as acknowledged, and all of them are there.
fn acknowledged_covers(acknowledged: Position, number: u64, at: usize, len: usize) -> bool {
    acknowledged.segment == number
        && (at as u64) < acknowledged.end
        && acknowledged.end <= len as u64
}

fn read_all(file: &dyn DiskFile, name: &str) -> Result<Vec<u8>, OpenError> {
    let len = file.len()?;
    if len > SEGMENT_MAX {
        return Err(OpenError::TooLong {
            name: name.to_owned(),
            len,
        });
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
