//! What a curious host sees: every byte a relay moved, written to one file.
//!
//! For showing blindness: search the file for what must not be in it. Each
//! chunk stands in one piece, after a line that names its stream, and begins
//! with the last bytes of that stream's previous chunk, so a marker of up to
//! [`OVERLAP`] bytes is never torn by where two reads happened to meet.
//! It slows the relay down and is no tool for production.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the previous chunk repeated before each chunk.
pub const OVERLAP: usize = 1024;

/// The capture file, shared by all streams.
#[derive(Debug, Clone)]
pub struct Capture {
    file: Arc<Mutex<File>>,
    streams: Arc<AtomicU64>,
}

impl Capture {
    /// Appends to `path`, so that a restarted host adds to what was seen before.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            streams: Arc::new(AtomicU64::new(0)),
        })
    }

    /// A new stream's two directions, inward and outward.
    pub fn stream(&self, relay: &'static str) -> [Track; 2] {
        let number = self.streams.fetch_add(1, Relaxed);
        ["in", "out"].map(|direction| Track {
            capture: self.clone(),
            title: format!("{relay} {number} {direction}"),
            recent: Vec::new(),
        })
    }
}

/// One direction of one stream.
#[derive(Debug)]
pub struct Track {
    capture: Capture,
    title: String,
    recent: Vec<u8>,
}

impl Track {
    /// Writes one chunk.
    pub fn saw(&mut self, bytes: &[u8]) {
        let mut block =
            format!("\n# {} {}+{}\n", self.title, self.recent.len(), bytes.len()).into_bytes();
        block.extend_from_slice(&self.recent);
        block.extend_from_slice(bytes);
        self.recent.extend_from_slice(bytes);
        self.recent
            .drain(..self.recent.len().saturating_sub(OVERLAP));
        let mut file = self
            .capture
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&block) {
            tracing::error!(%error, "the capture file misses bytes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_across_two_chunks_is_found_in_one_piece() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture");
        let capture = Capture::open(&path).unwrap();
        let [mut inward, mut outward] = capture.stream("ingress");
        inward.saw(b"....MAR");
        outward.saw(b"between");
        inward.saw(b"KER....");
        let seen = std::fs::read(path).unwrap();
        assert!(seen.windows(6).any(|window| window == b"MARKER"));
    }
}
