//! Weights that separate best, by Fisher's linear discriminant (1936).

/// Running mean and covariance of pairs (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spread {
    count: f64,
    mean: [f64; 2],
    /// Sums of squared deviations of each, and of their product.
    sums: [f64; 3],
}

impl Spread {
    pub(super) fn add(&mut self, pair: [f32; 2]) {
        self.count += 1.0;
        let pair = pair.map(f64::from);
        let before = [pair[0] - self.mean[0], pair[1] - self.mean[1]];
        for (mean, off) in self.mean.iter_mut().zip(before) {
            *mean += off / self.count;
        }
        let after = [pair[0] - self.mean[0], pair[1] - self.mean[1]];
        self.sums[0] += before[0] * after[0];
        self.sums[1] += before[1] * after[1];
        self.sums[2] += before[0] * after[1];
    }

    /// Variance of each and their covariance.
    fn covariance(&self) -> [f64; 3] {
        self.sums.map(|sum| sum / (self.count - 1.0).max(1.0))
    }
}

/// Weights of both, one together: the within-class covariances' mean, inverted, times the
/// difference of the means. `None` where one of both would not help.
pub(super) fn weights(genuine: &Spread, impostor: &Spread) -> Option<[f64; 2]> {
    let (own, others) = (genuine.covariance(), impostor.covariance());
    let [a, b, c] = std::array::from_fn(|at| (own[at] + others[at]) / 2.0);
    let apart = [
        genuine.mean[0] - impostor.mean[0],
        genuine.mean[1] - impostor.mean[1],
    ];
    let raw = [b * apart[0] - c * apart[1], a * apart[1] - c * apart[0]];
    let sum = raw[0] + raw[1];
    let good = a * b - c * c > 0.0 && raw[0] > 0.0 && raw[1] > 0.0;
    good.then(|| raw.map(|one| one / sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::SplitMix;

    #[test]
    fn what_is_further_apart_beside_its_spread_weighs_more() {
        let mut random = SplitMix::new(3);
        let mut around = |mean: [f64; 2], spread: [f64; 2]| {
            let mut found = Spread::default();
            for _ in 0..20_000 {
                let one = |at: usize, random: &mut SplitMix| {
                    (mean[at] + spread[at] * random.normal()) as f32
                };
                found.add([one(0, &mut random), one(1, &mut random)]);
            }
            found
        };
        let (own, others) = (
            around([1.0, 1.0], [0.1, 0.2]),
            around([0.0, 0.0], [0.1, 0.2]),
        );
        // Independent: as the difference over the variance, 100 to 25.
        let [one, two] = weights(&own, &others).unwrap();
        assert!(
            (one - 0.8).abs() < 0.01 && (one + two - 1.0).abs() < 1e-9,
            "{one}"
        );
        let useless = around([0.0, -1.0], [0.1, 0.2]);
        assert_eq!(weights(&useless, &others), None);
    }
}
