//! What was compared, and how alike it was.

use super::walk::{Point, Weights, walk};

/// One comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// The greater, the more alike. Minus infinity: could not be compared.
    pub score: f32,
    /// Whose the one sample is, as an index of persons.
    pub one: u32,
    /// Whose the other is; the same in a genuine comparison.
    pub other: u32,
}

/// Counts of scores in bins of equal width.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub low: f32,
    /// Upper end of the last bin.
    pub high: f32,
    /// What fell into each; what lies outside counts in the nearest.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Empty, over `low..high`.
    pub fn new(low: f32, high: f32, bins: usize) -> Self {
        Self {
            low,
            high,
            counts: vec![0; bins.max(1)],
        }
    }

    /// Counts one score; one that is not finite is left out.
    pub fn add(&mut self, score: f32) {
        if score.is_finite() {
            let bin = self.bin(score);
            self.counts[bin] += 1;
        }
    }

    /// Where a score falls.
    pub fn bin(&self, score: f32) -> usize {
        let share = (score - self.low) / (self.high - self.low);
        ((share * self.counts.len() as f32) as usize).min(self.counts.len() - 1)
    }

    /// Lower end of a bin.
    pub fn edge(&self, bin: usize) -> f32 {
        self.low + (self.high - self.low) * bin as f32 / self.counts.len() as f32
    }

    /// Adds another one's counts, over the same bins.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}

/// Genuine comparisons, and the strictest impostor ones.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Greatest score first; failures last.
    pub(super) genuine: Vec<Trial>,
    /// Greatest score first.
    pub(super) impostor: Vec<Trial>,
    /// Impostor comparisons made, kept or not.
    impostors: u64,
    /// Where not all of them are kept: samples of each person, all compared with all.
    samples: Option<Vec<u32>>,
    persons: usize,
    histogram: Histogram,
}

/// Bins of a histogram made here.
const BINS: usize = 200;

impl Scores {
    /// Every comparison at hand.
    pub fn new(genuine: Vec<Trial>, impostor: Vec<Trial>) -> Self {
        let finite = || {
            let all = genuine.iter().chain(&impostor).map(|trial| trial.score);
            all.filter(|score| score.is_finite())
        };
        let (low, high) = (
            finite().fold(f32::MAX, f32::min),
            finite().fold(f32::MIN, f32::max),
        );
        let mut histogram = match low < high {
            true => Histogram::new(low, high, BINS),
            false => Histogram::new(-1.0, 1.0, BINS),
        };
        for trial in &impostor {
            histogram.add(trial.score);
        }
        let impostors = impostor.len() as u64;
        Self::made(genuine, impostor, impostors, None, histogram)
    }

    /// Of impostor comparisons only the strictest: all that reach the least score in
    /// `strictest`. `samples` of each person were compared, all with all; `histogram`
    /// is of all of them.
    pub fn strictest(
        genuine: Vec<Trial>,
        strictest: Vec<Trial>,
        samples: Vec<u32>,
        histogram: Histogram,
    ) -> Self {
        let impostors = histogram.counts.iter().sum();
        Self::made(genuine, strictest, impostors, Some(samples), histogram)
    }

    fn made(
        mut genuine: Vec<Trial>,
        mut impostor: Vec<Trial>,
        impostors: u64,
        samples: Option<Vec<u32>>,
        histogram: Histogram,
    ) -> Self {
        let strictest_first = |a: &Trial, b: &Trial| b.score.total_cmp(&a.score);
        genuine.sort_unstable_by(strictest_first);
        impostor.sort_unstable_by(strictest_first);
        let named = genuine.iter().chain(&impostor);
        let highest = named.map(|trial| trial.one.max(trial.other) as usize + 1);
        let persons = highest
            .max()
            .unwrap_or(0)
            .max(samples.as_ref().map_or(0, Vec::len));
        Self {
            genuine,
            impostor,
            impostors,
            samples,
            persons,
            histogram,
        }
    }

    /// Genuine comparisons, failures among them.
    pub fn genuine(&self) -> usize {
        self.genuine.len()
    }

    /// Genuine comparisons that could not be made.
    pub fn lost(&self) -> usize {
        let lost = |trial: &&Trial| trial.score == f32::NEG_INFINITY;
        self.genuine.iter().filter(lost).count()
    }

    /// Impostor comparisons made.
    pub fn impostors(&self) -> u64 {
        self.impostors
    }

    /// Persons, by the greatest index seen.
    pub fn persons(&self) -> usize {
        self.persons
    }

    /// Of all impostor comparisons.
    pub fn impostor_histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// Of genuine comparisons, in the bins of the impostors' one.
    pub fn genuine_histogram(&self) -> Histogram {
        let of = &self.histogram;
        let mut histogram = Histogram::new(of.low, of.high, of.counts.len());
        for trial in &self.genuine {
            histogram.add(trial.score);
        }
        histogram
    }

    /// The same without comparisons that could not be made.
    pub fn compared(&self) -> Self {
        let mut compared = self.clone();
        compared
            .genuine
            .retain(|trial| trial.score != f32::NEG_INFINITY);
        compared
    }

    /// Whether a rate this low can be told at all: one comparison stands behind it.
    pub fn measures(&self, far: f64) -> bool {
        far * self.impostors as f64 >= 1.0 && !self.genuine.is_empty()
    }

    /// The least strict threshold at which at most `far` of the impostors pass;
    /// `None` where too few were compared.
    pub fn at_far(&self, far: f64) -> Option<Point> {
        self.measures(far)
            .then(|| self.weighted_at_far(far, &Weights::even(self)))
            .flatten()
    }

    /// The same for a sample of the persons.
    pub(super) fn weighted_at_far(&self, far: f64, weights: &Weights) -> Option<Point> {
        let mut last = None;
        let exceeded = walk(self, weights, |point| {
            let within = point.fmr <= far;
            if within {
                last = Some(point);
            }
            within
        });
        (exceeded || self.is_whole()).then_some(last).flatten()
    }

    /// Where as many impostors pass as genuine ones do not: the mean of both rates
    /// where they are nearest. `None` if that lies among what was not kept.
    pub fn eer(&self) -> Option<f64> {
        self.weighted_eer(&Weights::even(self))
    }

    /// The same for a sample of the persons.
    pub(super) fn weighted_eer(&self, weights: &Weights) -> Option<f64> {
        if self.genuine.is_empty() || self.impostors == 0 {
            return None;
        }
        let mut nearest = (1.0, 0.5);
        let crossed = walk(self, weights, |Point { fmr, fnmr, .. }| {
            if (fmr - fnmr).abs() < nearest.0 {
                nearest = ((fmr - fnmr).abs(), (fmr + fnmr) / 2.0);
            }
            fmr < fnmr
        });
        (crossed || self.is_whole()).then_some(nearest.1)
    }

    /// Error rates at a threshold.
    pub fn at(&self, threshold: f32) -> Option<Point> {
        self.weighted_at(threshold, &Weights::even(self))
    }

    /// The same for a sample of the persons.
    pub(super) fn weighted_at(&self, threshold: f32, weights: &Weights) -> Option<Point> {
        let mut last = Point {
            threshold,
            fmr: 0.0,
            fnmr: 1.0,
        };
        let exceeded = walk(self, weights, |point| {
            let passes = point.threshold >= threshold;
            if passes {
                last = Point { threshold, ..point };
            }
            passes
        });
        (exceeded || self.is_whole()).then_some(last)
    }

    /// Points of the detection error trade-off, strictest first, at most about
    /// `most` of them: those where FMR or FNMR have moved visibly.
    pub fn det(&self, most: usize) -> Vec<Point> {
        let step = 8.0 / most.max(1) as f64;
        let (mut points, mut shown) = (Vec::new(), (f64::NAN, f64::NAN));
        let place = |rate: f64| rate.max(1e-9).log10();
        walk(self, &Weights::even(self), |point| {
            let at = (place(point.fmr), place(point.fnmr));
            let near = (at.0 - shown.0).abs() < step && (at.1 - shown.1).abs() < step;
            if !near {
                points.push(point);
                shown = at;
            }
            true
        });
        points
    }

    fn is_whole(&self) -> bool {
        self.impostor.len() as u64 == self.impostors
    }

    /// Samples of each person, where not every impostor comparison is kept.
    pub(super) fn samples(&self) -> Option<&[u32]> {
        self.samples.as_deref().filter(|_| !self.is_whole())
    }
}
