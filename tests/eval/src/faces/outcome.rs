//! The figures of a run.

use anyhow::Result;

use super::Run;
use super::pairs::Pair;
use crate::stats::{
    Accuracy, Decided, FARS, Interval, Point, Replicates, Scores, accuracy, in_parts,
};

/// Parts a list is cut into that has one only.
const PARTS: usize = 10;

/// Rates of one set of comparisons.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Equal error rate.
    pub eer: Option<f64>,
    /// At each of [`FARS`]; none where too few were compared.
    pub points: [Option<Point>; FARS.len()],
}

impl Rates {
    fn of(scores: &Scores) -> Self {
        Self {
            eer: scores.eer(),
            points: FARS.map(|(_, far)| scores.at_far(far)),
        }
    }
}

/// Everything that is reported.
#[derive(Debug, Clone)]
pub struct Figures {
    /// All comparisons, failures counted as not recognised.
    pub scores: Scores,
    /// Rates of these.
    pub rates: Rates,
    /// The same without failures.
    pub compared: Rates,
    /// 95 % intervals of true acceptance, persons drawn.
    pub tar_intervals: [Option<Interval>; FARS.len()],
    /// 95 % interval of the equal error rate.
    pub eer_interval: Option<Interval>,
    /// Of the list of pairs, if there is one: failures decided as different.
    pub accuracy: Option<Accuracy>,
    /// The same over pairs that could be compared.
    pub accuracy_compared: Option<Accuracy>,
    /// Parts of the list as it is.
    pub folds: usize,
    /// Pairs of the list, and those that could not be compared.
    pub pairs: (usize, usize),
}

impl Figures {
    /// Counts; `list` has pairs and how many parts they are in.
    pub fn count(run: &Run, list: Option<(Vec<Pair>, usize)>) -> Result<Self> {
        let scores = run.samples.scores();
        let (pairs, folds) = list.unwrap_or_default();
        let decided = |pair: &Pair| Decided {
            score: run.samples.score(pair.one, pair.other),
            same: pair.same,
            fold: pair.fold,
        };
        let mut decided: Vec<Decided> = pairs.iter().map(decided).collect();
        if folds == 1 {
            in_parts(&mut decided, PARTS);
        }
        let mut compared = decided.clone();
        compared.retain(|pair| pair.score.is_finite());
        let replicates = Replicates::default();
        Ok(Self {
            rates: Rates::of(&scores),
            compared: Rates::of(&scores.compared()),
            tar_intervals: scores.tar_intervals(FARS.map(|(_, far)| far), replicates),
            eer_interval: scores.eer_interval(replicates),
            accuracy: accuracy(&decided),
            accuracy_compared: accuracy(&compared),
            folds,
            pairs: (decided.len(), decided.len() - compared.len()),
            scores,
        })
    }

    /// In a few lines.
    pub fn say(&self) {
        let shown = |share: Option<f64>| match share {
            Some(share) => format!("{share:.4}"),
            None => "not measured".to_owned(),
        };
        println!(
            "accuracy {}, EER {}; {} genuine comparisons ({} not made), {} impostor",
            shown(self.accuracy.map(|accuracy| accuracy.mean)),
            shown(self.rates.eer),
            self.scores.genuine(),
            self.scores.lost(),
            self.scores.impostors()
        );
        for (((name, _), point), only) in FARS
            .iter()
            .zip(&self.rates.points)
            .zip(&self.compared.points)
        {
            println!(
                "TAR at FAR {name}: {}, of those compared {}, threshold {}",
                shown(point.map(|at| at.tar())),
                shown(only.map(|at| at.tar())),
                shown(point.map(|at| f64::from(at.threshold)))
            );
        }
    }
}
