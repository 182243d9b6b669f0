//! One `dev` per folder.
//!
//! Protects the ledger against two appliances on one store: who starts a second
//! `dev` on a folder takes it over, and the first one ends in order.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{process, say};

const PATIENCE: Duration = Duration::from_secs(20);

/// Held until dropped, or until this program ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, asking its holder to end.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let mut options = File::options();
        let open = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut file = open.with_context(|| path.display().to_string())?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            let holder = holder.trim();
            say(&format!("taking this folder over from process {holder}"));
            process::terminate(holder.parse().unwrap_or(0));
            let free = || Ok(file.try_lock().ok());
            let what = format!("process {holder} keeps this folder: end it first");
            process::wait_for(&what, PATIENCE, free)?;
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}
