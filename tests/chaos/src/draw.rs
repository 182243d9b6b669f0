//! Chance that can be repeated: SplitMix64.

/// A stream of numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Up to `count` distinct places of a list of `len`.
    pub(crate) fn places(&mut self, count: usize, len: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..count.min(len)).map(|_| self.below(len)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// A stream of its own for somebody else.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}
