//! Chance that can be repeated.

use redoubt_e2e::mangler::Noise;

/// Numbers from a seed.
#[derive(Debug)]
pub(crate) struct Draw(Noise);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Noise::new(seed))
    }

    /// A number below `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
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
        Self::new(self.0.word())
    }
}
