//! Which edges of the program an input took, where the program was built to count.
//!
//! `cargo xtask fuzz` compiles the workspace's crates with LLVM's inline 8-bit
//! counters (stable options of rustc; no other runtime is linked). They call the two
//! functions below before `main`. In an ordinary build nobody calls them, and
//! inputs are then chosen blindly.

use std::sync::Mutex;

/// Counters of the whole program: address and length.
static COUNTERS: Mutex<Option<(usize, usize)>> = Mutex::new(None);

/// Called by instrumented code with the bounds of its counters; each compiled unit
/// calls it with the same bounds.
#[allow(unsafe_code)] // a symbol that the compiler's instrumentation asks for by name
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let (start, stop) = (start as usize, stop as usize);
    if let Ok(mut counters) = COUNTERS.lock() {
        *counters = Some((start, stop.saturating_sub(start)));
    }
}

/// Called likewise, with a table that is not needed here.
#[allow(unsafe_code)] // a symbol that the compiler's instrumentation asks for by name
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_pcs_init(_start: *const usize, _stop: *const usize) {}

/// What was ever taken, as one bit for each class of counts of each edge.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    seen: Vec<u8>,
}

impl Coverage {
    /// How many edges the program has; `None` if it does not count.
    pub(crate) fn total(&self) -> Option<usize> {
        COUNTERS.lock().ok()?.map(|(_, length)| length)
    }

    /// How many of them were taken.
    pub(crate) fn taken(&self) -> usize {
        self.seen.iter().filter(|classes| **classes != 0).count()
    }

    /// Forgets what the program counted so far.
    pub(crate) fn begin(&mut self) {
        if let Some(counters) = counters() {
            counters.fill(0);
        }
    }

    /// Whether the run since [`Self::begin`] took an edge, or took one about as
    /// often, as none before it did.
    pub(crate) fn end(&mut self) -> bool {
        let Some(counters) = counters() else {
            return false;
        };
        self.seen.resize(counters.len(), 0);
        let mut new = false;
        for (seen, count) in self.seen.iter_mut().zip(counters.iter()) {
            let class = class(*count);
            new |= *seen | class != *seen;
            *seen |= class;
        }
        new
    }
}

/// 0, 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more.
const fn class(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        _ => 128,
    }
}

#[allow(unsafe_code)] // the counters are memory that only compiled code writes
fn counters() -> Option<&'static mut [u8]> {
    let (start, length) = (*COUNTERS.lock().ok()?)?;
    // SAFETY: the bounds are those of a section of this program, given by the
    // compiler's own constructor; it lives as long as the program. Targets run on
    // the one thread that calls this, and no slice outlives `begin` or `end`.
    Some(unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) })
}
