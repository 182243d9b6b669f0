//! The figures of a run.

use anyhow::Result;

use super::Run;
use super::pairs::{List, Pair};
use super::tree::Image;
use crate::stats::{
    Accuracy, Decided, FARS, Interval, PARTS, Point, Replicates, Scores, accuracy, in_parts,
};

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
    /// All comparisons of embeddings with embeddings: what int8 costs is seen beside it.
    pub exact: Rates,
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
    /// Whether there was a list.
    pub listed: bool,
    /// Pairs of the list of which an image was not there.
    pub missing: usize,
}

impl Figures {
    /// Counts; without a list the accuracy is over as many pairs of two persons as of one.
    pub fn count(run: &Run, list: Option<List>) -> Result<Self> {
        let scores = run.samples.scores();
        let listed = list.is_some();
        let List {
            pairs,
            folds,
            missing,
        } = list.unwrap_or_else(|| balanced(&run.images));
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
            exact: Rates::of(&run.samples.exact().scores()),
            tar_intervals: scores.tar_intervals(FARS.map(|(_, far)| far), replicates),
            eer_interval: scores.eer_interval(replicates),
            accuracy: accuracy(&decided),
            accuracy_compared: accuracy(&compared),
            folds,
            pairs: (decided.len(), decided.len() - compared.len()),
            listed,
            missing,
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
        for (at, (name, _)) in FARS.iter().enumerate() {
            let (point, only) = (self.rates.points[at], self.compared.points[at]);
            println!(
                "TAR at FAR {name}: {}, of those compared {}, without int8 {}, threshold {}",
                shown(point.map(|at| at.tar())),
                shown(only.map(|at| at.tar())),
                shown(self.exact.points[at].map(|at| at.tar())),
                shown(point.map(|at| f64::from(at.threshold)))
            );
        }
    }
}

/// Pairs taken without a list, of each kind at most.
const BALANCED_MAX: usize = 3000;

/// As many pairs of two persons as of one, evenly taken: always the same.
fn balanced(images: &[Image]) -> List {
    let mut genuine = Vec::new();
    for (one, image) in images.iter().enumerate() {
        let behind = images[one + 1..].iter().enumerate();
        let same = behind.take_while(|(_, other)| other.person == image.person);
        genuine.extend(same.map(|(at, _)| (one, one + 1 + at)));
    }
    let (all, count) = (images.len(), genuine.len().min(BALANCED_MAX));
    let pair = |(one, other), same| Pair {
        one,
        other,
        same,
        fold: 0,
    };
    let mut pairs: Vec<Pair> = (0..count)
        .map(|n| pair(genuine[n * genuine.len() / count], true))
        .collect();
    // Steps of a golden section meet every distance.
    let strangers = (0..4 * count).map(|n| (n % all, (n * 618_033 / 1000 + n / all + 1) % all));
    let strangers = strangers.filter(|(one, other)| images[*one].person != images[*other].person);
    pairs.extend(strangers.take(count).map(|both| pair(both, false)));
    List {
        folds: usize::from(!pairs.is_empty()),
        pairs,
        missing: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_list_pairs_of_both_kinds_are_taken_alike() {
        let image = |at: usize| Image {
            person: at as u32 / 4,
            name: String::new(),
            path: "x".into(),
        };
        let images: Vec<_> = (0..48).map(image).collect();
        let list = balanced(&images);
        let same = |pair: &Pair| pair.one / 4 == pair.other / 4;
        assert!(list.pairs.iter().all(|pair| same(pair) == pair.same));
        assert!(list.pairs.iter().all(|pair| pair.one != pair.other));
        let genuine = list.pairs.iter().filter(|pair| pair.same).count();
        assert_eq!((genuine, list.pairs.len()), (72, 144));
        assert_eq!(balanced(&images[..1]), List::default());
    }
}
