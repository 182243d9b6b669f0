//! Intervals by drawing persons again and again (Efron 1979; for matching, ISO/IEC
//! 19795-1 annex on the bootstrap): comparisons of one person are not independent of
//! each other, so persons are drawn, never comparisons.

use super::scores::Scores;
use super::walk::Weights;

/// The middle 95 % of what samples of the persons gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// 2.5 % lie below.
    pub low: f64,
    /// 2.5 % lie above.
    pub high: f64,
}

/// Samples of persons, the same ones for the same seed.
#[derive(Debug, Clone, Copy)]
pub struct Replicates {
    /// How many.
    pub count: usize,
    /// Where the drawing begins.
    pub seed: u64,
}

impl Default for Replicates {
    fn default() -> Self {
        Self {
            count: 200,
            seed: 19_795,
        }
    }
}

/// One interval for each figure that `measure` takes of a sample of the persons;
/// `None` where a sample has no such figure.
pub fn intervals<const N: usize>(
    scores: &Scores,
    replicates: Replicates,
    measure: impl Fn(&Scores, &Weights) -> [Option<f64>; N],
) -> [Option<Interval>; N] {
    let mut random = SplitMix(replicates.seed);
    let mut seen: [Vec<Option<f64>>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..replicates.count {
        let weights = Weights::new(scores, random.persons(scores.persons()));
        for (values, value) in seen.iter_mut().zip(measure(scores, &weights)) {
            values.push(value);
        }
    }
    seen.map(middle)
}

impl Scores {
    /// Intervals of true acceptance at each false acceptance rate.
    pub fn tar_intervals<const N: usize>(
        &self,
        fars: [f64; N],
        replicates: Replicates,
    ) -> [Option<Interval>; N] {
        let found = intervals(self, replicates, |scores, weights| {
            fars.map(|far| scores.weighted_at_far(far, weights).map(|at| at.tar()))
        });
        let mut fars = fars.into_iter();
        found.map(|interval| interval.filter(|_| fars.next().is_some_and(|far| self.measures(far))))
    }

    /// Interval of the equal error rate.
    pub fn eer_interval(&self, replicates: Replicates) -> Option<Interval> {
        let eer = |scores: &Scores, weights: &Weights| [scores.weighted_eer(weights)];
        intervals(self, replicates, eer)[0]
    }

    /// Interval of the share of impostors that pass a threshold.
    pub fn fmr_interval(&self, threshold: f32, replicates: Replicates) -> Option<Interval> {
        let fmr = |scores: &Scores, weights: &Weights| {
            [scores.weighted_at(threshold, weights).map(|at| at.fmr)]
        };
        intervals(self, replicates, fmr)[0]
    }
}

fn middle(values: Vec<Option<f64>>) -> Option<Interval> {
    let mut values = values.into_iter().collect::<Option<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values[(share * last as f64).round() as usize];
    Some(Interval {
        low: at(0.025),
        high: at(0.975),
    })
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every machine.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 0 to `count`, without it.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// Of mean 0 and deviation 1 (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// How many events of this mean happen (Knuth 1969).
    pub(crate) fn poisson(&mut self, mean: f64) -> usize {
        let (limit, mut product) = ((-mean).exp(), self.unit());
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// Some different numbers below `count`.
    pub(crate) fn some(&mut self, some: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..count).collect();
        for at in 0..some.min(count) {
            let other = at + self.below(count - at);
            all.swap(at, other);
        }
        all.truncate(some);
        all
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// How often each of `count` persons is drawn in as many draws.
    fn persons(&mut self, count: usize) -> Vec<u32> {
        let mut drawn = vec![0; count];
        for _ in 0..count {
            drawn[self.below(count)] += 1;
        }
        drawn
    }
}
