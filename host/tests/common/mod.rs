//! A disk that forgets what no completed `fdatasync` covers, and fails on order.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redoubt_host::store::disk::{Disk, DiskFile};
use redoubt_shared::ids::LedgerId;
use redoubt_shared::store::StoredRecord;

/// What goes wrong with the next operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    #[default]
    None,
    /// Only so many more bytes fit.
    Full(usize),
    /// `fdatasync` fails.
    Sync,
    /// `fdatasync` and truncation fail.
    SyncAndTruncate,
    /// Every change is refused.
    ReadOnly,
}

#[derive(Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    name_durable: bool,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Content>,
    trouble: Trouble,
    syncs: usize,
}

/// Shared by all handles, as a disk is.
#[derive(Debug, Clone, Default)]
pub struct MemDisk(Arc<Mutex<State>>);

impl MemDisk {
    pub fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.state().files[name].live.clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    /// Somebody edits the file while the host is down.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let content = Content {
            live: bytes.clone(),
            durable: bytes,
            name_durable: true,
        };
        self.state().files.insert(name.to_owned(), content);
    }

    pub fn remove(&self, name: &str) {
        self.state().files.remove(name);
    }

    /// Power is cut: of what was not synced, each 64-byte sector survives or not, as `choice` says.
    pub fn crash(&self, mut choice: impl FnMut() -> bool) {
        let mut state = self.state();
        state.trouble = Trouble::None;
        state
            .files
            .retain(|_, content| content.name_durable || choice());
        for content in state.files.values_mut() {
            let (live, durable) = (&content.live, &content.durable);
            let len = if choice() { live.len() } else { durable.len() };
            let padded = |bytes: &[u8]| {
                let mut padded = bytes[..bytes.len().min(len)].to_vec();
                padded.resize(len, 0);
                padded
            };
            let (mut after, new) = (padded(durable), padded(live));
            for (kept, new) in after.chunks_mut(64).zip(new.chunks(64)) {
                if choice() {
                    kept.copy_from_slice(new);
                }
            }
            content.live = after.clone();
            content.durable = after;
            content.name_durable = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

fn broken() -> io::Error {
    io::Error::other("input/output error")
}

fn read_only() -> io::Error {
    io::Error::from(io::ErrorKind::ReadOnlyFilesystem)
}

impl Disk for MemDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if !state.files.contains_key(name) {
            if !create {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
            if state.trouble == Trouble::ReadOnly {
                return Err(read_only());
            }
            state.files.insert(name.to_owned(), Content::default());
        }
        Ok(Box::new(MemFile {
            disk: self.clone(),
            name: name.to_owned(),
        }))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.trouble {
            Trouble::Sync | Trouble::SyncAndTruncate => Err(broken()),
            _ => {
                state
                    .files
                    .values_mut()
                    .for_each(|content| content.name_durable = true);
                Ok(())
            }
        }
    }

    fn probe(&self, bytes: usize) -> io::Result<()> {
        match self.state().trouble {
            Trouble::None => Ok(()),
            Trouble::Full(left) if bytes <= left => Ok(()),
            Trouble::Full(_) => Err(full()),
            Trouble::ReadOnly => Err(read_only()),
            _ => Err(broken()),
        }
    }
}

struct MemFile {
    disk: MemDisk,
    name: String,
}

impl MemFile {
    fn with<T>(&self, work: impl FnOnce(&mut State, &str) -> io::Result<T>) -> io::Result<T> {
        work(&mut self.disk.state(), &self.name)
    }
}

fn content<'s>(state: &'s mut State, name: &str) -> io::Result<&'s mut Content> {
    state
        .files
        .get_mut(name)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state, name| Ok(content(state, name)?.live.len() as u64))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state, name| {
            let live = &content(state, name)?.live;
            let from = offset as usize;
            let bytes = live.get(from..from + buffer.len());
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, name| {
            let (fit, outcome) = match &mut state.trouble {
                Trouble::ReadOnly => return Err(read_only()),
                Trouble::Full(left) if *left < bytes.len() => (std::mem::take(left), Err(full())),
                Trouble::Full(left) => {
                    *left -= bytes.len();
                    (bytes.len(), Ok(()))
                }
                _ => (bytes.len(), Ok(())),
            };
            let live = &mut content(state, name)?.live;
            let end = offset as usize + fit;
            live.resize(live.len().max(end), 0);
            live[offset as usize..end].copy_from_slice(&bytes[..fit]);
            outcome
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, name| {
            if matches!(state.trouble, Trouble::Sync | Trouble::SyncAndTruncate) {
                return Err(broken());
            }
            state.syncs += 1;
            let content = content(state, name)?;
            content.durable = content.live.clone();
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|state, name| match state.trouble {
            Trouble::ReadOnly => Err(read_only()),
            Trouble::SyncAndTruncate => Err(broken()),
            _ => {
                content(state, name)?.live.truncate(len as usize);
                Ok(())
            }
        })
    }
}

pub fn ledger(number: u8) -> LedgerId {
    LedgerId::from_bytes([number; 16])
}

pub fn record(number: u8, index: u64, bytes: &[u8]) -> StoredRecord {
    StoredRecord {
        ledger: ledger(number),
        index,
        bytes: bytes.to_vec(),
    }
}
