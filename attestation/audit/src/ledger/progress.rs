//! A line a second for people who wait.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How far a run is.
pub struct Progress {
    began: Instant,
    told: Instant,
    shown: bool,
    total: u64,
    done: u64,
}

impl Progress {
    /// Shows itself when standard error is a terminal, or always if asked to.
    pub fn new(total: u64, always: bool) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            told: now,
            shown: always || std::io::stderr().is_terminal(),
            total,
            done: 0,
        }
    }

    /// More bytes were checked.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.shown && self.told.elapsed() >= Duration::from_secs(1) {
            self.told = Instant::now();
            self.tell();
        }
    }

    fn tell(&self) {
        let percent = (self.done * 100).checked_div(self.total).unwrap_or(100);
        let rate = self.bytes_per_second() / 1_000_000;
        let done = self.done / 1_000_000;
        // Nobody to tell is no reason to stop.
        let _ = writeln!(
            std::io::stderr(),
            "checked {done} MB, {percent} %, {rate} MB/s"
        );
    }

    /// Bytes checked.
    pub fn bytes(&self) -> u64 {
        self.done
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Speed so far.
    pub fn bytes_per_second(&self) -> u64 {
        (self.done as f64 / self.seconds().max(1e-9)) as u64
    }
}
