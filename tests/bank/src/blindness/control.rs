//! The control run: plants every secret into a copy and searches that.

use super::index::{Index, Target, WINDOW, eligible};

/// What the control run showed.
pub(super) struct Control {
    pub(super) planted: usize,
    pub(super) missed: Vec<String>,
}

/// Plants each form of each secret at its own place in a copy of `capture`.
pub(super) fn run(capture: &[u8], index: &Index) -> Control {
    let mut places = Places::new(capture.len());
    let mut plants: Vec<(usize, &[u8])> = Vec::new();
    for target in &index.targets {
        plants.push((places.next(), specimen(target, &mut places)));
    }
    plants.sort_by_key(|plant| plant.0);
    let copy = planted_copy(capture, &plants);
    let found = index.scan(&copy);
    let missed = index.targets.iter().filter(|target| {
        !found
            .iter()
            .any(|f| f.marker == target.marker && f.encoding == target.encoding)
    });
    Control {
        planted: index.targets.len(),
        missed: missed
            .map(|target| format!("{} ({})", target.marker, target.encoding))
            .collect(),
    }
}

/// The whole of a short secret; of a long one just one window, from anywhere in it.
fn specimen<'t>(target: &'t Target, places: &mut Places) -> &'t [u8] {
    if !target.windows {
        return &target.bytes;
    }
    let starts = target.bytes.len() - WINDOW + 1;
    let from = places.random() as usize % starts;
    let window = |at: usize| &target.bytes[at..at + WINDOW];
    (0..starts)
        .map(|step| window((from + step) % starts))
        .find(|window| eligible(window))
        .unwrap_or_else(|| window(0))
}

fn planted_copy(capture: &[u8], plants: &[(usize, &[u8])]) -> Vec<u8> {
    let extra: usize = plants.iter().map(|plant| plant.1.len()).sum();
    let mut copy = Vec::with_capacity(capture.len() + extra);
    let mut done = 0;
    for (place, bytes) in plants {
        copy.extend_from_slice(&capture[done..*place]);
        copy.extend_from_slice(bytes);
        done = *place;
    }
    copy.extend_from_slice(&capture[done..]);
    copy
}

/// Places spread over the capture: repeatable, at every alignment.
struct Places {
    state: u64,
    length: usize,
}

impl Places {
    fn new(length: usize) -> Self {
        Self {
            state: 0x243f_6a88_85a3_08d3 ^ length as u64,
            length,
        }
    }

    /// SplitMix64: only spread matters here, not secrecy.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn next(&mut self) -> usize {
        self.random() as usize % (self.length + 1)
    }
}
