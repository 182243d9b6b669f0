//! Archives in the kernel's "newc" format (`initramfs buffer format` in its
//! documentation): written in one way only, read strictly.
//!
//! Protects against two archives of the same files: owner, times and inode
//! numbers are fixed, names are sorted, folders are those that the names need.

use std::collections::{BTreeMap, BTreeSet};

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without a leading slash.
    pub path: String,
    /// May it be run? Files are readable by everybody and writable by nobody.
    pub executable: bool,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What is wrong with an archive or with what is to go into one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// A path that the kernel would read differently, or not at all.
    #[error("{0:?} is no path inside an archive: write it without leading slash, dots or spaces")]
    Path(String),
    /// Two files of one name, or a file where a folder must be.
    #[error("{0} stands twice in one archive")]
    Twice(String),
    /// More bytes than the format can say.
    #[error("{0} is 4 GiB or more; the archive format ends there")]
    TooLarge(String),
    /// The archive ends within an entry.
    #[error("the archive is cut short at byte {0}")]
    CutShort(usize),
    /// No entry begins where one must.
    #[error("no archive entry begins at byte {0}")]
    NoEntry(usize),
    /// Something that only other tools write: links, devices, owners, times.
    #[error("{0} is not as this program writes it: a file or folder of root, dated 1970")]
    Foreign(String),
    /// Bytes behind the end.
    #[error("bytes follow the end of the archive at {0}")]
    Trailing(usize),
}

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";
const FOLDER: u32 = 0o040_555;
const FILE: u32 = 0o100_444;
const PROGRAM: u32 = 0o100_555;

/// Writes an archive of `files` and `folders` (those that stay empty; the others
/// are made as the files need them).
pub(crate) fn write(files: &[Entry], folders: &[&str]) -> Result<Vec<u8>, CpioError> {
    let mut entries: BTreeMap<&str, Option<&Entry>> = BTreeMap::new();
    let mut needed = BTreeSet::new();
    for folder in folders {
        check(folder)?;
        needed.extend(parents(folder));
        needed.insert(*folder);
    }
    for file in files {
        check(&file.path)?;
        needed.extend(parents(&file.path));
        if entries.insert(&file.path, Some(file)).is_some() {
            return Err(CpioError::Twice(file.path.clone()));
        }
    }
    for folder in needed {
        if entries.insert(folder, None).flatten().is_some() {
            return Err(CpioError::Twice(folder.to_owned()));
        }
    }
    let mut out = Vec::new();
    for (number, (path, file)) in (1..).zip(&entries) {
        match file {
            None => entry(&mut out, number, FOLDER, path, &[])?,
            Some(file) => {
                let mode = if file.executable { PROGRAM } else { FILE };
                entry(&mut out, number, mode, path, &file.bytes)?;
            }
        }
    }
    entry(&mut out, 0, 0, TRAILER, &[])?;
    Ok(out)
}

fn check(path: &str) -> Result<(), CpioError> {
    let good = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_graphic())
    };
    match path != TRAILER && path.split('/').all(good) {
        true => Ok(()),
        false => Err(CpioError::Path(path.to_owned())),
    }
}

/// `a/b` of `a/b/c`, then `a`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn entry(
    out: &mut Vec<u8>,
    number: u32,
    mode: u32,
    path: &str,
    bytes: &[u8],
) -> Result<(), CpioError> {
    let size = u32::try_from(bytes.len()).map_err(|_| CpioError::TooLarge(path.to_owned()))?;
    let links = if mode == FOLDER { 2 } else { 1 };
    let fields = Fields {
        inode: number,
        mode,
        links,
        size,
        name: path.len() as u32 + 1,
    };
    out.extend_from_slice(&fields.header());
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(bytes);
    pad(out);
    Ok(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The fields that differ between entries; all others are zero.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    inode: u32,
    mode: u32,
    links: u32,
    size: u32,
    name: u32,
}

impl Fields {
    /// The format's thirteen numbers, in its order.
    fn header(&self) -> Vec<u8> {
        let Self {
            inode,
            mode,
            links,
            size,
            name,
        } = *self;
        let numbers = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name, 0];
        let mut header = MAGIC.to_vec();
        for number in numbers {
            header.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        header
    }

    /// Reads a header; `None` if it is not exactly what [`Self::header`] writes.
    fn read(header: &[u8]) -> Option<Self> {
        let number = |index: usize| {
            let digits = header.get(MAGIC.len() + 8 * index..)?.get(..8)?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let fields = Self {
            inode: number(0)?,
            mode: number(1)?,
            links: number(4)?,
            size: number(6)?,
            name: number(11)?,
        };
        (fields.header() == header).then_some(fields)
    }
}

/// Reads an archive back: its files, folders left out.
pub(crate) fn read(archive: &[u8]) -> Result<Vec<Entry>, CpioError> {
    let mut files = Vec::new();
    let mut at = 0;
    loop {
        let header = take(archive, &mut at, HEADER)?;
        let start = at - HEADER;
        if !header.starts_with(MAGIC) {
            return Err(CpioError::NoEntry(start));
        }
        let foreign = || CpioError::Foreign(format!("the entry at byte {start}"));
        let fields = Fields::read(header).ok_or_else(foreign)?;
        let name = take(archive, &mut at, fields.name as usize)?;
        let (name, end) = name.split_at(name.len().saturating_sub(1));
        let name = std::str::from_utf8(name).map_err(|_| foreign())?;
        skip_padding(archive, &mut at)?;
        let bytes = take(archive, &mut at, fields.size as usize)?;
        skip_padding(archive, &mut at)?;
        if end != [0] {
            return Err(foreign());
        }
        if name == TRAILER {
            break;
        }
        check(name)?;
        match fields.mode {
            FOLDER if bytes.is_empty() => {}
            FILE | PROGRAM => files.push(Entry {
                path: name.to_owned(),
                executable: fields.mode == PROGRAM,
                bytes: bytes.to_vec(),
            }),
            _ => return Err(CpioError::Foreign(name.to_owned())),
        }
    }
    match at == archive.len() {
        true => Ok(files),
        false => Err(CpioError::Trailing(at)),
    }
}

fn take<'a>(archive: &'a [u8], at: &mut usize, count: usize) -> Result<&'a [u8], CpioError> {
    let end = at.checked_add(count).ok_or(CpioError::CutShort(*at))?;
    let bytes = archive.get(*at..end).ok_or(CpioError::CutShort(*at))?;
    *at = end;
    Ok(bytes)
}

fn skip_padding(archive: &[u8], at: &mut usize) -> Result<(), CpioError> {
    let start = *at;
    let padding = take(archive, at, at.next_multiple_of(4) - start)?;
    match padding.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(CpioError::NoEntry(start)),
    }
}

#[cfg(test)]
#[path = "tests/cpio.rs"]
mod tests;
