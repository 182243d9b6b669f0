//! A disk that forgets what no completed `fdatasync` covers, and fails on order.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
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

#[derive(Debug, Default, Clone)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
}

/// Names and what they mean; a name counts once its folder was synced.
type Names = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: Names,
    durable_names: Names,
    trouble: Trouble,
    syncs: usize,
    /// Changes that still succeed, if the power is to go after so many.
    changes_left: Option<usize>,
}

impl State {
    fn content(&mut self, name: &str) -> io::Result<&mut Content> {
        let number = self.names.get(name).copied();
        let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(&mut self.contents[number])
    }

    /// Every change asks here first.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => return Err(broken()),
            Some(left) => *left -= 1,
            None => {}
        }
        match self.trouble {
            Trouble::ReadOnly => Err(read_only()),
            _ => Ok(()),
        }
    }
}

/// Shared by all handles, as a disk is; one handle sees one folder of it.
#[derive(Debug, Clone, Default)]
pub struct MemDisk(Arc<Mutex<State>>, String);

/// Tosses for [`MemDisk::crash`], the same ones for the same seed.
pub fn coin(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 63 == 1
    }
}

impl MemDisk {
    pub fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// Lets so many more changes happen and none after, until [`Self::crash`].
    pub fn dies_after(&self, changes: usize) {
        self.state().changes_left = Some(changes);
    }

    /// Whether the change that was not allowed has been tried.
    pub fn died(&self) -> bool {
        self.state().changes_left == Some(0)
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.state().content(name).unwrap().live.clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Somebody edits the file while the host is down.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let number = state.contents.len();
        state.contents.push(Content {
            live: bytes.clone(),
            durable: bytes,
        });
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
    }

    pub fn remove(&self, name: &str) {
        self.state().names.remove(name);
        self.state().durable_names.remove(name);
    }

    /// Power is cut: of what was not synced, each 64-byte sector, and each name that
    /// was made, changed or removed, survives or not, as `choice` says.
    pub fn crash(&self, mut choice: impl FnMut() -> bool) {
        let mut state = self.state();
        state.trouble = Trouble::None;
        state.changes_left = None;
        let (live, durable) = (state.names.clone(), state.durable_names.clone());
        let every: BTreeSet<String> = live.keys().chain(durable.keys()).cloned().collect();
        for name in every {
            let changed = live.get(&name) != durable.get(&name);
            let found = if changed && !choice() {
                &durable
            } else {
                &live
            };
            match found.get(&name) {
                Some(number) => state.names.insert(name, *number),
                None => state.names.remove(&name),
            };
        }
        state.durable_names = state.names.clone();
        for content in &mut state.contents {
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
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.1)
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
        let names = self.names();
        let here = names.iter().filter_map(|name| name.strip_prefix(&self.1));
        Ok(here
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let name = self.path(name);
        let mut state = self.state();
        let number = match state.names.get(&name) {
            Some(number) => *number,
            None if !create => return Err(io::Error::from(io::ErrorKind::NotFound)),
            None => {
                state.change()?;
                let number = state.contents.len();
                state.contents.push(Content::default());
                state.names.insert(name, number);
                number
            }
        };
        Ok(Box::new(MemFile {
            disk: self.clone(),
            number,
        }))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.change().or_else(|error| match state.trouble {
            Trouble::ReadOnly => Ok(()),
            _ => Err(error),
        })?;
        if matches!(state.trouble, Trouble::Sync | Trouble::SyncAndTruncate) {
            return Err(broken());
        }
        let here = |name: &String| {
            let rest = name.strip_prefix(&self.1);
            rest.is_some_and(|rest| !rest.contains('/'))
        };
        let now: Names = state.names.clone();
        state.durable_names.retain(|name, _| !here(name));
        let synced = now.into_iter().filter(|(name, _)| here(name));
        state.durable_names.extend(synced);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        let mut state = self.state();
        state.change()?;
        let number = state.names.remove(&from);
        let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to, number);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = self.path(name);
        let mut state = self.state();
        state.change()?;
        match state.names.remove(&name) {
            Some(_) => Ok(()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn folder(&self, name: &str, _create: bool) -> io::Result<Box<dyn Disk>> {
        let prefix = format!("{}/", self.path(name));
        Ok(Box::new(MemDisk(self.0.clone(), prefix)))
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
    number: usize,
}

impl MemFile {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        work(&mut self.disk.state())
    }
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.contents[self.number].live.len() as u64))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state| {
            let live = &state.contents[self.number].live;
            let from = offset as usize;
            let bytes = live.get(from..from + buffer.len());
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state| {
            state.change()?;
            let (fit, outcome) = match &mut state.trouble {
                Trouble::Full(left) if *left < bytes.len() => (std::mem::take(left), Err(full())),
                Trouble::Full(left) => {
                    *left -= bytes.len();
                    (bytes.len(), Ok(()))
                }
                _ => (bytes.len(), Ok(())),
            };
            let live = &mut state.contents[self.number].live;
            let end = offset as usize + fit;
            live.resize(live.len().max(end), 0);
            live[offset as usize..end].copy_from_slice(&bytes[..fit]);
            outcome
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            if matches!(state.trouble, Trouble::Sync | Trouble::SyncAndTruncate) {
                return Err(broken());
            }
            state.syncs += 1;
            let content = &mut state.contents[self.number];
            content.durable = content.live.clone();
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            state.change()?;
            if state.trouble == Trouble::SyncAndTruncate {
                return Err(broken());
            }
            state.contents[self.number].live.truncate(len as usize);
            Ok(())
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
