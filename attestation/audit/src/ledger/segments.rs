//! A copy of the host's store folder (`host/SPEC.md`), segment by segment.
//!
//! Protects against damage that passes for an end: only bytes behind which no
//! whole batch stands, in the last segment, count as a torn tail.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use redoubt_shared::LedgerId;
use serde::Serialize;

use super::record::{Fields, Record, Wrapped};
use super::{Finding, Heads, History, LedgerError, Progress};

const SEGMENT_MAGIC: &[u8; 8] = b"RDBTSEG\0";
const BASE_MAGIC: &[u8; 8] = b"RDBTBAS\0";
const LAYOUT: u32 = 1;
const HEADER_LEN: usize = 32;
/// Largest segment, in bytes.
const SEGMENT_MAX: u64 = 64 * 1024 * 1024;
/// Largest `base` file, in bytes.
const BASE_MAX: u64 = 1024 * 1024;
/// Length and checksum before each payload, in bytes.
const FRAME: usize = 8;
/// Length of a payload, in bytes.
const PAYLOAD: std::ops::RangeInclusive<usize> = 9..=16_777_280;
/// How far ahead a sequence number may lie and still count as one of this log.
const SEQUENCE_WINDOW: u64 = 1 << 32;

/// What a folder holds besides its ledgers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FolderFacts {
    /// Segments read.
    pub segments: u64,
    /// Batches in them.
    pub batches: u64,
    /// First segment and sequence number, where earlier ones were dropped.
    pub base: Option<BaseFacts>,
    /// Bytes behind the last whole batch.
    pub torn_tail: Option<TornTail>,
}

/// Where the kept part of a log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BaseFacts {
    /// First kept segment.
    pub segment: u64,
    /// Sequence number of its first batch.
    pub sequence: u64,
}

/// An append that was interrupted: never acknowledged, or cut off later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// In which segment.
    pub segment: u64,
    /// Behind which byte.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A folder and what was found.
pub struct Folder {
    /// About the log.
    pub facts: FolderFacts,
    /// About its ledgers.
    pub history: History,
    /// How long it took.
    pub progress: Progress,
}

/// Checks every record of a store folder. What was known until then is in the
/// folder, whatever the verdict.
pub fn verify_folder(
    path: &Path,
    heads: Heads,
    show_progress: bool,
) -> Result<(Folder, Result<(), LedgerError>), LedgerError> {
    let base = read_base(path)?;
    let segments = list(path, base.as_ref().map_or(0, |base| base.at.segment))?;
    let total = segments.iter().map(|(_, _, bytes)| bytes).sum();
    let mut folder = Folder {
        facts: FolderFacts {
            base: base.as_ref().map(|base| base.at),
            ..FolderFacts::default()
        },
        history: History::new(
            heads,
            base.as_ref()
                .map_or_else(BTreeMap::new, |base| base.heads.clone()),
        ),
        progress: Progress::new(total, show_progress),
    };
    let verdict = folder.read(base.as_ref(), &segments);
    Ok((folder, verdict))
}

struct Base {
    at: BaseFacts,
    heads: BTreeMap<LedgerId, u64>,
}

fn read_base(folder: &Path) -> Result<Option<Base>, LedgerError> {
    let path = folder.join("base");
    if !path.exists() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    read_up_to(&path, BASE_MAX, &mut bytes)?;
    let damaged = || Finding::new("base_damaged", "base: damaged, or of another layout");
    Ok(Some(parse_base(&bytes).ok_or_else(damaged)?))
}

fn parse_base(bytes: &[u8]) -> Option<Base> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut fields = Fields(body);
    let number = |fields: &mut Fields<'_>| Some(u64::from_be_bytes(*fields.array()?));
    let small = |fields: &mut Fields<'_>| Some(u32::from_be_bytes(*fields.array()?));
    if fields.array()? != BASE_MAGIC || small(&mut fields)? != LAYOUT {
        return None;
    }
    let at = BaseFacts {
        segment: number(&mut fields)?,
        sequence: number(&mut fields)?,
    };
    number(&mut fields)?;
    let mut heads = BTreeMap::new();
    let mut last = None;
    for _ in 0..small(&mut fields)? {
        let ledger = LedgerId::from_bytes(*fields.array()?);
        if last.is_some_and(|last| last >= ledger) {
            return None;
        }
        last = Some(ledger);
        heads.insert(ledger, number(&mut fields)?);
    }
    fields.0.is_empty().then_some(Base { at, heads })
}

type Listed = (u64, PathBuf, u64);

/// The segments from the first kept one on, without gaps.
fn list(folder: &Path, first: u64) -> Result<Vec<Listed>, LedgerError> {
    let io = |error: std::io::Error| LedgerError::Io(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".segment"))
            .filter(|digits| digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        // Those before the first are leftovers of an interrupted drop.
        if let Some(number) = number.filter(|number| *number >= first) {
            found.push((number, entry.path(), entry.metadata().map_err(io)?.len()));
        }
    }
    found.sort_unstable();
    if found.is_empty() {
        let text = format!("{}: no segment {first:010}.segment", folder.display());
        return Err(Finding::new("segment_missing", text).into());
    }
    for ((number, _, _), wanted) in found.iter().zip(first..) {
        if *number != wanted {
            let text = format!("{wanted:010}.segment is missing");
            return Err(Finding::new("segment_missing", text).into());
        }
    }
    Ok(found)
}

fn read_up_to(path: &Path, most: u64, bytes: &mut Vec<u8>) -> Result<(), LedgerError> {
    let io = |error: std::io::Error| LedgerError::Io(format!("{}: {error}", path.display()));
    bytes.clear();
    let file = File::open(path).map_err(io)?;
    file.take(most + 1).read_to_end(bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        let text = format!("{}: larger than {most} bytes", path.display());
        return Err(Finding::new("segment_damaged", text).into());
    }
    Ok(())
}

impl Folder {
    fn read(&mut self, base: Option<&Base>, segments: &[Listed]) -> Result<(), LedgerError> {
        let mut sequence = base.map_or(0, |base| base.at.sequence);
        let mut bytes = Vec::new();
        for (at, (number, path, _)) in segments.iter().enumerate() {
            read_up_to(path, SEGMENT_MAX, &mut bytes)?;
            let last = at + 1 == segments.len();
            let place = |finding: Finding| finding.at(format_args!("{number:010}.segment"));
            let next = self.read_segment(*number, sequence, &bytes, last);
            sequence = next.map_err(place)?;
            self.facts.segments += 1;
        }
        Ok(self.history.finish()?)
    }

    /// Checks one segment; returns the sequence number that follows.
    fn read_segment(
        &mut self,
        number: u64,
        mut sequence: u64,
        bytes: &[u8],
        last: bool,
    ) -> Result<u64, Finding> {
        if !is_header(bytes, number, sequence) {
            if last && bytes.len() <= HEADER_LEN {
                self.tear(number, 0, bytes);
                return Ok(sequence);
            }
            let text = "the header is damaged, or of another segment or layout";
            return Err(Finding::new("segment_damaged", text));
        }
        self.progress.add(HEADER_LEN as u64);
        let mut at = HEADER_LEN;
        while at < bytes.len() {
            let Some(payload) = frame(&bytes[at..]) else {
                let rest = &bytes[at..];
                if last && !holds_whole_batch(rest, sequence) {
                    self.tear(number, at, rest);
                    return Ok(sequence);
                }
                let text = format!("offset {at}: a batch is damaged, and it is not the last");
                return Err(Finding::new("batch_damaged", text));
            };
            self.read_batch(payload, sequence)
                .map_err(|finding| finding.at(format_args!("offset {at}")))?;
            self.progress.add((FRAME + payload.len()) as u64);
            at += FRAME + payload.len();
            sequence += 1;
            self.facts.batches += 1;
        }
        Ok(sequence)
    }

    fn tear(&mut self, segment: u64, at: usize, rest: &[u8]) {
        self.facts.torn_tail = Some(TornTail {
            segment,
            offset: at as u64,
            bytes: rest.len() as u64,
        });
    }

    fn read_batch(&mut self, payload: &[u8], sequence: u64) -> Result<(), Finding> {
        let malformed = |text: &str| Finding::new("malformed", text);
        let mut fields = Fields(payload);
        let found = fields.array().map(|bytes| u64::from_be_bytes(*bytes));
        if found != Some(sequence) {
            let text = format!(
                "batch {} stands where {sequence} belongs",
                found.unwrap_or(0)
            );
            return Err(Finding::new("sequence", text));
        }
        let count = fields.number();
        let count = count.ok_or_else(|| malformed("the batch has no count of records"))?;
        for _ in 0..count {
            let wrapped = Wrapped::read(&mut fields);
            let wrapped = wrapped.ok_or_else(|| malformed("a record of the batch is cut"))?;
            let record = Record::read(wrapped.bytes);
            let record = record.ok_or_else(|| {
                let Wrapped { ledger, index, .. } = wrapped;
                let text = format!("ledger {ledger}: the record at {index} is no sealed entry");
                Finding::new("malformed", text)
            })?;
            self.history.take(wrapped.ledger, wrapped.index, &record)?;
        }
        match fields.0 {
            [] => Ok(()),
            _ => Err(malformed("bytes follow the batch's last record")),
        }
    }
}

fn is_header(bytes: &[u8], number: u64, sequence: u64) -> bool {
    let expected = [
        &SEGMENT_MAGIC[..],
        &LAYOUT.to_be_bytes(),
        &number.to_be_bytes(),
        &sequence.to_be_bytes(),
    ]
    .concat();
    let crc = crc32c::crc32c(&expected).to_be_bytes();
    bytes.get(..HEADER_LEN) == Some(&[&expected[..], &crc].concat())
}

/// The payload of the whole batch that begins these bytes.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.first_chunk::<4>()?;
    let crc = bytes.get(4..FRAME)?;
    let count = u32::from_be_bytes(*length) as usize;
    if !PAYLOAD.contains(&count) {
        return None;
    }
    let payload = bytes.get(FRAME..FRAME + count)?;
    let found = crc32c::crc32c_append(crc32c::crc32c(length), payload);
    (found.to_be_bytes() == crc).then_some(payload)
}

/// Whether a whole batch with this or a later sequence number begins anywhere in these bytes.
fn holds_whole_batch(bytes: &[u8], sequence: u64) -> bool {
    (0..bytes.len()).any(|at| {
        let rest = &bytes[at..];
        let found = rest.get(FRAME..FRAME + 8).and_then(|bytes| {
            let bytes: [u8; 8] = bytes.try_into().ok()?;
            Some(u64::from_be_bytes(bytes))
        });
        let near =
            found.is_some_and(|found| found >= sequence && found - sequence < SEQUENCE_WINDOW);
        near && frame(rest).is_some()
    })
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
