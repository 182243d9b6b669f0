//! The host's store on disk, and the bare loop that its figures stand beside.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redoubt_enclave::ledger::StoreClient;
use redoubt_host::store::segment::{HEADER_LEN, number_of, take_batch};
use redoubt_host::store::service::{StoreHandle, StoreHealth, StorePaths};
use redoubt_host::store::session;
use redoubt_shared::Endpoint;

/// The store service of a host, in a folder.
pub(crate) struct Disk {
    dir: tempfile::TempDir,
    serving: Option<Serving>,
}

struct Serving {
    handle: StoreHandle,
    thread: JoinHandle<()>,
    sessions: tokio::task::JoinHandle<()>,
    endpoint: Endpoint,
}

impl Disk {
    pub(crate) async fn start() -> Result<Self> {
        let mut disk = Self {
            dir: tempfile::tempdir()?,
            serving: None,
        };
        disk.open().await?;
        Ok(disk)
    }

    /// Opens the store as a host does when it starts; how long that took.
    pub(crate) async fn open(&mut self) -> Result<Duration> {
        let paths = StorePaths {
            store_dir: self.dir.path().join("store"),
            boot_dir: self.dir.path().to_owned(),
        };
        let metrics = Arc::default();
        let began = Instant::now();
        let (handle, thread) = StoreHandle::start(paths, Arc::clone(&metrics))?;
        while handle.health() == StoreHealth::Opening {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = began.elapsed();
        if handle.health() != StoreHealth::Open {
            bail!("the store did not open: {:?}", handle.health());
        }
        let endpoint = Endpoint::Unix(self.dir.path().join("socket"));
        // Of the last opening, if there was one.
        let _ = std::fs::remove_file(self.dir.path().join("socket"));
        let listener = endpoint.listen().await?;
        let sessions = tokio::spawn(session::serve(listener, handle.clone(), metrics));
        self.serving = Some(Serving {
            handle,
            thread,
            sessions,
            endpoint,
        });
        Ok(took)
    }

    pub(crate) async fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.sessions.abort();
            let _ = serving.sessions.await;
            serving.handle.stop();
            // It ended, which is all that is waited for.
            let _ = tokio::task::spawn_blocking(move || serving.thread.join()).await;
        }
    }

    pub(crate) fn client(&self) -> Result<StoreClient> {
        let serving = self.serving.as_ref().context("the store is closed")?;
        Ok(StoreClient::new(serving.endpoint.clone()))
    }

    pub(crate) fn store_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    /// Bytes of the segments, and of blobs.
    pub(crate) fn bytes(&self) -> Result<(u64, u64)> {
        let (mut segments, mut blobs) = (0, 0);
        for entry in std::fs::read_dir(self.store_dir())? {
            let entry = entry?;
            let name = entry.file_name();
            if number_of(&name.to_string_lossy()).is_some() {
                segments += entry.metadata()?.len();
            } else if name == "blobs" {
                for blob in std::fs::read_dir(entry.path())? {
                    blobs += blob?.metadata()?.len();
                }
            }
        }
        Ok((segments, blobs))
    }

    /// The batches with this sequence number or a later one, byte for byte.
    pub(crate) fn batches(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        let mut files: Vec<(u64, std::path::PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(self.store_dir())? {
            let entry = entry?;
            let number = number_of(&entry.file_name().to_string_lossy());
            files.extend(number.map(|number| (number, entry.path())));
        }
        files.sort_unstable();
        let mut batches = Vec::new();
        for (_, path) in files {
            let bytes = std::fs::read(path)?;
            let mut rest = bytes.get(HEADER_LEN as usize..).unwrap_or_default();
            while let Ok(batch) = take_batch(rest) {
                if batch.sequence >= from {
                    batches.push(rest[..batch.size].to_vec());
                }
                rest = &rest[batch.size..];
            }
        }
        Ok(batches)
    }
}

/// Writes the same groups of bytes, each followed by `fdatasync`, to a file beside.
pub(crate) fn raw(dir: &Path, groups: &[Vec<u8>]) -> Result<Vec<Duration>> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let mut times = Vec::with_capacity(groups.len());
    for group in groups {
        let began = Instant::now();
        file.write_all(group)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(times)
}
