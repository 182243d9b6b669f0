//! The append-only log over the segment files.
//!
//! Protects against a batch that is half there: a batch counts only once
//! `fdatasync` returned; after any failure the file is cut back to the last
//! acknowledged end, durably, before anything else is written.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;

use redoubt_shared::ids::LedgerId;

use super::base::Base;
use super::disk::{Disk, DiskFile};
use super::index::{Location, Position};
use super::scan::{Tail, numbers};
use super::segment::{self, Batch, FRAME_HEAD, HEADER_LEN, RecordRef};

const OPEN_FILES_MAX: usize = 64;

pub(super) struct Log {
    disk: Box<dyn Disk>,
    tail: Option<Tail>,
    reached: Position,
    /// The tail is not known to be durable up to `tail.end`, and empty behind it.
    untidy: bool,
    older: HashMap<u64, Box<dyn DiskFile>>,
    last_read: Option<(Location, Vec<u8>)>,
    /// What stands before each kept segment; never empty.
    starts: VecDeque<Base>,
    segment_max: u64,
}

impl Log {
    /// A log as found. It is untidy: a killed process may have left a whole batch,
    /// or a whole segment, that only the page cache holds.
    pub(super) fn new(
        disk: Box<dyn Disk>,
        tail: Option<Tail>,
        reached: Position,
        starts: Vec<Base>,
        segment_max: u64,
    ) -> Self {
        let log = Self {
            disk,
            tail,
            reached,
            untidy: true,
            older: HashMap::new(),
            last_read: None,
            starts: starts.into(),
            segment_max,
        };
        // An interrupted drop may have left some.
        log.delete_below_base();
        log
    }

    /// Where the kept part begins.
    pub(super) fn base(&self) -> &Base {
        &self.starts[0]
    }

    /// The latest base before which every record is below these indices; `None`
    /// if no segment can go. The last segment always stays.
    pub(super) fn base_for(&self, below: &BTreeMap<LedgerId, u64>) -> Option<Base> {
        let pairs = self.starts.iter().zip(self.starts.iter().skip(1));
        pairs
            .take_while(|(start, next)| start.is_below(next, below))
            .last()
            .map(|(_, next)| next.clone())
    }

    /// Makes the new base durable, then deletes what stands before it.
    pub(super) fn raise_base(&mut self, base: Base) -> io::Result<u64> {
        self.tidy()?;
        base.save(&*self.disk)?;
        self.starts.retain(|start| start.segment >= base.segment);
        self.older.retain(|number, _| *number >= base.segment);
        self.last_read = None;
        Ok(self.delete_below_base())
    }

    /// Deletes dropped segments; what the disk keeps now goes at the next opening.
    fn delete_below_base(&self) -> u64 {
        let mut deleted = 0;
        let outcome = numbers(&*self.disk).and_then(|mut numbers| {
            numbers.retain(|number| *number < self.base().segment);
            for number in numbers {
                self.disk.remove(&segment::file_name(number))?;
                deleted += 1;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            tracing::warn!(%error, "dropped segments stay until the store is opened again");
        }
        deleted
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn reached(&self) -> Position {
        self.reached
    }

    pub(super) fn segments(&self) -> u64 {
        self.tail.as_ref().map_or(0, |_| self.starts.len() as u64)
    }

    pub(super) fn bytes(&self) -> u64 {
        let closed: u64 = self.starts.iter().skip(1).map(|start| start.end).sum();
        closed + self.tail.as_ref().map_or(0, |tail| tail.end)
    }

    /// Makes one batch durable, or leaves nothing of it.
    /// `heads` is what the log holds before it.
    pub(super) fn append(
        &mut self,
        records: &[RecordRef<'_>],
        heads: &BTreeMap<LedgerId, u64>,
    ) -> io::Result<Location> {
        self.tidy()?;
        let sequence = self.reached.sequence;
        let frame = segment::encode_batch(sequence, records).map_err(io::Error::other)?;
        self.make_room(frame.len() as u64, heads)?;
        let Some(tail) = &mut self.tail else {
            return Err(io::Error::other("no segment is open"));
        };
        let location = Location {
            segment: tail.number,
            offset: tail.end,
        };
        let written = tail
            .file
            .write_all_at(&frame, tail.end)
            .and_then(|()| tail.file.sync_data());
        if let Err(error) = written {
            self.untidy = true;
            // A failure here is met again, and reported, at the next append.
            let _ = self.tidy();
            return Err(error);
        }
        tail.end += frame.len() as u64;
        self.reached = Position {
            sequence: sequence + 1,
            segment: tail.number,
            end: tail.end,
        };
        Ok(location)
    }

    /// Cuts what a failed or interrupted write left behind, writes a missing
    /// header, and makes what is kept durable.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        if !self.untidy {
            return Ok(());
        }
        if let Some(tail) = &mut self.tail {
            tail.file.truncate(tail.end)?;
            if tail.end == 0 {
                let header = segment::encode_header(tail.number, self.reached.sequence);
                tail.file.write_all_at(&header, 0)?;
            }
            tail.file.sync_data()?;
            self.disk.sync_dir()?;
            tail.end = tail.end.max(HEADER_LEN);
        }
        self.untidy = false;
        Ok(())
    }

    /// Opens the next segment if `more` bytes do not fit into this one.
    fn make_room(&mut self, more: u64, heads: &BTreeMap<LedgerId, u64>) -> io::Result<()> {
        let number = match &self.tail {
            Some(tail) if tail.end == HEADER_LEN || tail.end + more <= self.segment_max => {
                return Ok(());
            }
            Some(tail) => tail.number + 1,
            None => 0,
        };
        let file = self.disk.open(&segment::file_name(number), true)?;
        if let Some(tail) = &self.tail {
            self.starts.push_back(Base {
                segment: number,
                sequence: self.reached.sequence,
                end: tail.end,
                heads: heads.clone(),
            });
        }
        self.tail = Some(Tail {
            number,
            file,
            end: 0,
        });
        self.untidy = true;
        self.tidy()
    }

    /// Reads and checks the batch that begins here.
    pub(super) fn read(&mut self, at: Location) -> io::Result<Batch<'_>> {
        if self.last_read.as_ref().is_none_or(|(seen, _)| *seen != at) {
            let frame = read_frame(self.file(at.segment)?, at)?;
            self.last_read = Some((at, frame));
        }
        let frame = self.last_read.as_ref().map_or(&[][..], |(_, frame)| frame);
        segment::take_batch(frame).map_err(|fault| damaged(at, fault))
    }

    fn file(&mut self, number: u64) -> io::Result<&dyn DiskFile> {
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.number == number) {
            return Ok(&*tail.file);
        }
        if self.older.len() > OPEN_FILES_MAX {
            self.older.clear();
        }
        if let std::collections::hash_map::Entry::Vacant(slot) = self.older.entry(number) {
            slot.insert(self.disk.open(&segment::file_name(number), false)?);
        }
        Ok(&*self.older[&number])
    }
}

fn read_frame(file: &dyn DiskFile, at: Location) -> io::Result<Vec<u8>> {
    let mut head = [0; FRAME_HEAD];
    file.read_exact_at(&mut head, at.offset)?;
    let length = segment::declared_length(&head).map_err(|fault| damaged(at, fault))?;
    let mut frame = vec![0; FRAME_HEAD + length];
    file.read_exact_at(&mut frame, at.offset)?;
    segment::take_batch(&frame).map_err(|fault| damaged(at, fault))?;
    Ok(frame)
}

fn damaged(at: Location, fault: segment::Fault) -> io::Error {
    let name = segment::file_name(at.segment);
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("segment {name} is damaged at offset {}: {fault}", at.offset),
    )
}
