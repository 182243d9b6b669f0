//! The append-only log over the segment files.
//!
//! Protects against a batch that is half there: a batch counts only once
//! `fdatasync` returned; after any failure the file is cut back to the last
//! acknowledged end, durably, before anything else is written.

use std::collections::HashMap;
use std::io;

use super::disk::{Disk, DiskFile};
use super::index::{Location, Position};
use super::scan::Tail;
use super::segment::{self, Batch, FRAME_HEAD, HEADER_LEN, RecordRef, SEGMENT_MAX};

const OPEN_FILES_MAX: usize = 64;

pub(super) struct Log {
    disk: Box<dyn Disk>,
    tail: Option<Tail>,
    reached: Position,
    /// The tail is not known to be durable up to `tail.end`, and empty behind it.
    untidy: bool,
    older: HashMap<u64, Box<dyn DiskFile>>,
    last_read: Option<(Location, Vec<u8>)>,
    closed_bytes: u64,
}

impl Log {
    /// A log as found. It is untidy: a killed process may have left a whole batch,
    /// or a whole segment, that only the page cache holds.
    pub(super) fn new(
        disk: Box<dyn Disk>,
        tail: Option<Tail>,
        reached: Position,
        closed_bytes: u64,
    ) -> Self {
        Self {
            disk,
            tail,
            reached,
            untidy: true,
            older: HashMap::new(),
            last_read: None,
            closed_bytes,
        }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn reached(&self) -> Position {
        self.reached
    }

    pub(super) fn segments(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.number + 1)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.closed_bytes + self.tail.as_ref().map_or(0, |tail| tail.end)
    }

    /// Makes one batch durable, or leaves nothing of it.
    pub(super) fn append(&mut self, records: &[RecordRef<'_>]) -> io::Result<Location> {
        self.tidy()?;
        let sequence = self.reached.sequence;
        let frame = segment::encode_batch(sequence, records).map_err(io::Error::other)?;
        self.make_room(frame.len() as u64)?;
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
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        let number = match &self.tail {
            Some(tail) if tail.end == HEADER_LEN || tail.end + more <= SEGMENT_MAX => return Ok(()),
            Some(tail) => tail.number + 1,
            None => 0,
        };
        let file = self.disk.open(&segment::file_name(number), true)?;
        self.closed_bytes = self.bytes();
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
