//! Stands in a stream of the appliance as a hostile relay would.
//!
//! It can pass bytes on, change some, put in its own, or cut the stream, in
//! either direction, and be switched while the parts run.

use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mischief {
    /// Passed on.
    None,
    /// One bit of every chunk is flipped.
    FlipBits,
    /// Every chunk is followed by noise.
    AddNoise,
    /// Every chunk is replaced by noise of the same length.
    Replace,
    /// Every chunk is sent twice.
    Repeat,
    /// The stream is cut at the next chunk.
    Cut,
}

impl Mischief {
    /// All that do harm.
    pub const HARM: [Self; 5] = [
        Self::FlipBits,
        Self::AddNoise,
        Self::Replace,
        Self::Repeat,
        Self::Cut,
    ];

    fn from_u8(value: u8) -> Self {
        Self::HARM
            .into_iter()
            .find(|harm| *harm as u8 == value)
            .unwrap_or(Self::None)
    }
}

/// One direction's switch.
#[derive(Debug, Default)]
struct Switch {
    mischief: AtomicU8,
    done: AtomicU64,
    passed: AtomicU64,
}

/// A relay with a switch for each direction.
#[derive(Debug, Clone)]
pub struct Mangler {
    forth: Arc<Switch>,
    back: Arc<Switch>,
    task: Arc<tokio::task::JoinHandle<()>>,
}

/// Repeatable noise: SplitMix64.
#[derive(Debug)]
pub struct Noise(u64);

impl Noise {
    /// From a seed, so that a failure can be repeated.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Some bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.word() >> 56) as u8).collect()
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound.max(1) as u64) as usize
    }
}

impl Mangler {
    /// Listens at `near`, connects to `far` for each stream.
    pub fn between(near: &Path, far: &Path) -> Result<Self> {
        let _ = std::fs::remove_file(near);
        let listener = UnixListener::bind(near).with_context(|| near.display().to_string())?;
        let (forth, back) = (Arc::<Switch>::default(), Arc::<Switch>::default());
        let noise = Arc::new(Mutex::new(Noise::new(0x5eed)));
        let far = far.to_path_buf();
        let switches = (forth.clone(), back.clone(), noise);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (forth, back, noise) = switches.clone();
                let far = far.clone();
                tokio::spawn(async move {
                    let Ok(far) = UnixStream::connect(&far).await else {
                        return;
                    };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::spawn(pump(near_read, far_write, forth, noise.clone()));
                    pump(far_read, near_write, back, noise).await;
                });
            }
        });
        Ok(Self {
            forth,
            back,
            task: Arc::new(task),
        })
    }

    /// From the connecting side to the listening side.
    pub fn forth(&self, mischief: Mischief) {
        self.forth.mischief.store(mischief as u8, Ordering::SeqCst);
    }

    /// From the listening side to the connecting side.
    pub fn back(&self, mischief: Mischief) {
        self.back.mischief.store(mischief as u8, Ordering::SeqCst);
    }

    /// Chunks harmed so far, forth and back.
    pub fn harmed(&self) -> [u64; 2] {
        [&self.forth, &self.back].map(|switch| switch.done.load(Ordering::SeqCst))
    }

    /// Bytes that came in so far, forth and back.
    pub fn passed(&self) -> [u64; 2] {
        [&self.forth, &self.back].map(|switch| switch.passed.load(Ordering::SeqCst))
    }
}

impl Drop for Mangler {
    fn drop(&mut self) {
        if Arc::strong_count(&self.task) == 1 {
            self.task.abort();
        }
    }
}

async fn pump(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    switch: Arc<Switch>,
    noise: Arc<Mutex<Noise>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        switch.passed.fetch_add(count as u64, Ordering::SeqCst);
        let mischief = Mischief::from_u8(switch.mischief.load(Ordering::SeqCst));
        if mischief != Mischief::None {
            switch.done.fetch_add(1, Ordering::SeqCst);
        }
        let chunk = {
            let mut noise = noise.lock().unwrap_or_else(PoisonError::into_inner);
            mangled(&buffer[..count], mischief, &mut noise)
        };
        let Some(chunk) = chunk else { return };
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

fn mangled(chunk: &[u8], mischief: Mischief, noise: &mut Noise) -> Option<Vec<u8>> {
    let mut out = chunk.to_vec();
    match mischief {
        Mischief::None => {}
        Mischief::FlipBits => {
            let at = noise.below(out.len());
            out[at] ^= 1 << noise.below(8);
        }
        Mischief::AddNoise => {
            let length = 1 + noise.below(64);
            out.extend(noise.bytes(length));
        }
        Mischief::Replace => out = noise.bytes(out.len()),
        Mischief::Repeat => out.extend_from_slice(chunk),
        Mischief::Cut => return None,
    }
    Some(out)
}
