//! What benchmarks draw: always the same of one seed (SplitMix64: Steele, Lea and Flood,
//! 2014; normal deviates by Box and Muller).

/// A seed, and what is drawn from it.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    /// Any 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below a bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound.max(1) as u64) as usize
    }

    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// A vector of length 1.
    pub(crate) fn direction(&mut self, dimension: usize) -> Vec<f64> {
        unit((0..dimension).map(|_| self.normal()).collect())
    }

    /// Another at this cosine.
    pub(crate) fn near(&mut self, one: &[f64], cosine: f64) -> Vec<f64> {
        let drawn = self.direction(one.len());
        let along = dot(&drawn, one);
        let across = drawn.iter().zip(one).map(|(d, o)| d - along * o).collect();
        let across = unit(across).into_iter().zip(one);
        let sine = (1.0 - cosine * cosine).sqrt();
        across.map(|(a, o)| cosine * o + sine * a).collect()
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

fn unit(vector: Vec<f64>) -> Vec<f64> {
    let norm = dot(&vector, &vector).sqrt();
    vector.into_iter().map(|value| value / norm).collect()
}
