//! Thresholds from the strictest on, and what passes at each.

use super::scores::{Scores, Trial};

/// Error rates at a threshold: what scores at least that much passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The threshold.
    pub threshold: f32,
    /// Share of impostors that pass.
    pub fmr: f64,
    /// Share of genuine comparisons that do not.
    pub fnmr: f64,
}

impl Point {
    /// Share of genuine comparisons that pass.
    pub fn tar(&self) -> f64 {
        1.0 - self.fnmr
    }
}

/// How often each person is in a sample.
#[derive(Debug, Clone)]
pub struct Weights {
    persons: Vec<u32>,
    genuine: f64,
    impostors: f64,
}

impl Weights {
    /// Everybody once.
    pub fn even(scores: &Scores) -> Self {
        Self {
            persons: vec![1; scores.persons()],
            genuine: scores.genuine.len() as f64,
            impostors: scores.impostors() as f64,
        }
    }

    /// Each person as often as said.
    pub fn new(scores: &Scores, persons: Vec<u32>) -> Self {
        let mut weights = Self {
            persons,
            genuine: 0.0,
            impostors: 0.0,
        };
        weights.genuine = scores.genuine.iter().map(|t| weights.genuine(t)).sum();
        weights.impostors = match scores.samples() {
            None => scores.impostor.iter().map(|t| weights.impostor(t)).sum(),
            Some(samples) => all_with_all(samples, &weights.persons),
        };
        weights
    }

    fn genuine(&self, trial: &Trial) -> f64 {
        f64::from(self.persons[trial.one as usize])
    }

    fn impostor(&self, trial: &Trial) -> f64 {
        let [one, other] = [trial.one, trial.other].map(|who| self.persons[who as usize]);
        f64::from(one) * f64::from(other)
    }
}

/// Pairs of samples of two persons.
fn all_with_all(samples: &[u32], weights: &[u32]) -> f64 {
    let of = |(samples, weight): (&u32, &u32)| f64::from(*samples) * f64::from(*weight);
    let each = || samples.iter().zip(weights).map(of);
    (each().sum::<f64>().powi(2) - each().map(|n| n * n).sum::<f64>()) / 2.0
}

/// Visits every distinct score as a threshold, the greatest first, until `visit` says
/// no; whether it did.
pub(super) fn walk(
    scores: &Scores,
    weights: &Weights,
    mut visit: impl FnMut(Point) -> bool,
) -> bool {
    let (mut genuine, mut impostor) = (scores.genuine.as_slice(), scores.impostor.as_slice());
    let (mut accepted, mut matched) = (0.0, 0.0);
    loop {
        let next = [genuine.first(), impostor.first()];
        let next = next.into_iter().flatten().map(|trial| trial.score);
        let threshold = next.fold(f32::NEG_INFINITY, f32::max);
        if threshold == f32::NEG_INFINITY {
            return false;
        }
        accepted += pass(&mut genuine, threshold, |trial| weights.genuine(trial));
        matched += pass(&mut impostor, threshold, |trial| weights.impostor(trial));
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        let point = Point {
            threshold,
            fmr: share(matched, weights.impostors),
            fnmr: 1.0 - share(accepted, weights.genuine),
        };
        if !visit(point) {
            return true;
        }
        // Below the last impostor that was kept, nothing is known of the rest.
        if impostor.is_empty() && scores.samples().is_some() {
            return false;
        }
    }
}

fn pass(trials: &mut &[Trial], threshold: f32, weight: impl Fn(&Trial) -> f64) -> f64 {
    let mut sum = 0.0;
    while let Some((first, rest)) = trials.split_first()
        && first.score >= threshold
    {
        sum += weight(first);
        *trials = rest;
    }
    sum
}
