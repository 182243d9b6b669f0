//! Finds many secrets in one pass.
//!
//! Short secrets are found by their first eight bytes. Of a long one any 32-byte
//! window counts: such a window always holds one whole 16-byte block that begins
//! at a multiple of 16, so only those blocks are indexed and a hit is extended to
//! both sides. Windows with fewer than [`DISTINCT_MIN`] different byte values
//! (runs of zeros, say) are nobody's secret and do not count.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::encodings::{Form, forms, vector_forms};
use super::markers::Markers;

/// Length of a window of a long secret that counts as a find.
pub(super) const WINDOW: usize = 32;
/// Different byte values a window must have.
pub(super) const DISTINCT_MIN: usize = 8;
const KEY: usize = 8;
const BLOCK: usize = 16;

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name.
    pub marker: String,
    /// The form in which it stood.
    pub encoding: String,
    /// Where in the file.
    pub offset: usize,
}

/// One secret in one form.
pub(super) struct Target {
    pub(super) marker: String,
    pub(super) encoding: String,
    pub(super) bytes: Vec<u8>,
    /// Any window counts, not the whole alone.
    pub(super) windows: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u64,
    target: u32,
    position: u32,
}

/// Every form of every secret, ready for the search.
pub struct Index {
    pub(super) targets: Vec<Target>,
    keys: Table,
    blocks: Table,
}

/// Entries sorted by hash, with a bit filter before them.
struct Table {
    filter: Vec<u64>,
    mask: u64,
    entries: Vec<Entry>,
}

impl Table {
    fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        let bits = (entries.len().max(64) * 32).next_power_of_two();
        let mask = bits as u64 - 1;
        let mut filter = vec![0; bits / 64];
        for entry in &entries {
            let bit = entry.hash & mask;
            filter[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        Self {
            filter,
            mask,
            entries,
        }
    }

    fn candidates(&self, hash: u64) -> &[Entry] {
        let bit = hash & self.mask;
        if self.filter[(bit / 64) as usize] & (1 << (bit % 64)) == 0 {
            return &[];
        }
        let from = self.entries.partition_point(|entry| entry.hash < hash);
        let same = self.entries[from..].partition_point(|entry| entry.hash == hash);
        &self.entries[from..from + same]
    }
}

impl Index {
    /// Prepares every form of every marker.
    pub fn build(markers: &Markers) -> Result<Self> {
        let mut targets = Vec::new();
        for text in &markers.texts {
            add(
                &mut targets,
                &text.name,
                "",
                forms(text.value.as_bytes()),
                false,
            );
        }
        for named in &markers.bytes {
            let bytes = URL_SAFE_NO_PAD
                .decode(&named.value)
                .with_context(|| format!("marker {}: not base64url", named.name))?;
            add(&mut targets, &named.name, "", forms(&bytes), false);
        }
        for image in &markers.images {
            let bytes = std::fs::read(&image.path)
                .with_context(|| format!("marker {}: {}", image.name, image.path.display()))?;
            add(&mut targets, &image.name, "", forms(&bytes), true);
        }
        for vector in &markers.vectors {
            for number in vector_forms(&vector.values) {
                let prefix = format!("{} ", number.encoding);
                add(
                    &mut targets,
                    &vector.name,
                    &prefix,
                    forms(&number.bytes),
                    true,
                );
            }
        }
        Self::over(targets)
    }

    fn over(targets: Vec<Target>) -> Result<Self> {
        ensure!(
            !targets.is_empty(),
            "no markers: there is nothing to search for"
        );
        let (mut keys, mut blocks) = (Vec::new(), Vec::new());
        for (number, target) in targets.iter().enumerate() {
            let entry = |hash, position: usize| Entry {
                hash,
                target: number as u32,
                position: position as u32,
            };
            if target.windows {
                let starts = (0..=target.bytes.len() - BLOCK).step_by(BLOCK);
                blocks.extend(starts.map(|at| entry(block_hash(&target.bytes[at..]), at)));
            } else {
                ensure!(
                    target.bytes.len() >= KEY,
                    "marker {} ({}): give at least {KEY} bytes, or chance will find it",
                    target.marker,
                    target.encoding
                );
                keys.push(entry(key_hash(&target.bytes), 0));
            }
        }
        Ok(Self {
            targets,
            keys: Table::new(keys),
            blocks: Table::new(blocks),
        })
    }

    /// Every secret that stands in `haystack`, each form once.
    pub fn scan(&self, haystack: &[u8]) -> Vec<Finding> {
        let mut first: Vec<Option<usize>> = vec![None; self.targets.len()];
        for at in 0..haystack.len().saturating_sub(KEY - 1) {
            for entry in self.keys.candidates(key_hash(&haystack[at..])) {
                let target = entry.target as usize;
                if haystack[at..].starts_with(&self.targets[target].bytes) {
                    first[target].get_or_insert(at);
                }
            }
            if at + BLOCK > haystack.len() {
                continue;
            }
            let candidates = self.blocks.candidates(block_hash(&haystack[at..]));
            if candidates.is_empty() || !eligible(surroundings(haystack, at)) {
                continue;
            }
            for entry in candidates {
                let target = entry.target as usize;
                let body = &self.targets[target].bytes;
                if first[target].is_none()
                    && window_matches(body, entry.position as usize, haystack, at)
                {
                    first[target] = Some(at);
                }
            }
        }
        self.findings(first)
    }

    fn findings(&self, first: Vec<Option<usize>>) -> Vec<Finding> {
        let found = self.targets.iter().zip(first);
        found
            .filter_map(|(target, offset)| {
                Some(Finding {
                    marker: target.marker.clone(),
                    encoding: target.encoding.clone(),
                    offset: offset?,
                })
            })
            .collect()
    }
}

fn add(targets: &mut Vec<Target>, marker: &str, prefix: &str, forms: Vec<Form>, windows: bool) {
    targets.extend(forms.into_iter().map(|form| Target {
        marker: marker.to_owned(),
        encoding: format!("{prefix}{}", form.encoding),
        windows: windows && form.bytes.len() >= WINDOW,
        bytes: form.bytes,
    }));
}

/// Enough different bytes to be somebody's secret.
pub(super) fn eligible(window: &[u8]) -> bool {
    let mut seen = [0u64; 4];
    for byte in window {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|word| word.count_ones()).sum::<u32>() as usize >= DISTINCT_MIN
}

/// Every window that holds the block at `at` lies in here. Long runs of zeros
/// occur in captures and samples alike and would be compared in vain.
fn surroundings(haystack: &[u8], at: usize) -> &[u8] {
    let margin = WINDOW - BLOCK;
    let end = (at + BLOCK + margin).min(haystack.len());
    &haystack[at.saturating_sub(margin)..end]
}

fn window_matches(body: &[u8], position: usize, haystack: &[u8], at: usize) -> bool {
    if body[position..position + BLOCK] != haystack[at..at + BLOCK] {
        return false;
    }
    let back = position.min(at).min(WINDOW - 1);
    let left = (1..=back)
        .take_while(|n| body[position - n] == haystack[at - n])
        .count();
    let ahead = (body.len() - position)
        .min(haystack.len() - at)
        .min(BLOCK + WINDOW - 1);
    let right = (BLOCK..ahead)
        .take_while(|n| body[position + n] == haystack[at + n])
        .count();
    haystack[at - left..at + BLOCK + right]
        .windows(WINDOW)
        .any(eligible)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

fn key_hash(bytes: &[u8]) -> u64 {
    mix(word(bytes))
}

fn block_hash(bytes: &[u8]) -> u64 {
    mix(word(bytes) ^ mix(word(&bytes[8..])).rotate_left(17))
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^ (word >> 29)
}
