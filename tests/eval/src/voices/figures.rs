//! The figures of a run.

use super::Run;
use super::cache::Outcome;
use crate::stats::{Accuracy, FARS, Interval, Point, Replicates, Scores, Trial, balanced};

/// Rates of one set of comparisons.
#[derive(Debug, Clone)]
pub(super) struct Rates {
    /// Equal error rate.
    pub(super) eer: Option<f64>,
    /// At each of [`FARS`]; none where too few were compared.
    pub(super) points: [Option<Point>; FARS.len()],
    /// Over as many pairs of two speakers as of one.
    pub(super) accuracy: Option<Accuracy>,
}

impl Rates {
    fn of(scores: &Scores, genuine: &[f32], impostor: &[f32]) -> Self {
        Self {
            eer: scores.eer(),
            points: FARS.map(|(_, far)| scores.at_far(far)),
            accuracy: balanced(genuine, impostor, usize::MAX),
        }
    }
}

/// Everything that is reported.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// All comparisons, failures counted as not recognised.
    pub(super) scores: Scores,
    /// Rates of these.
    pub(super) rates: Rates,
    /// The same without failures.
    pub(super) compared: Rates,
    /// 95 % intervals of true acceptance, speakers drawn.
    pub(super) tar_intervals: [Option<Interval>; FARS.len()],
    /// 95 % interval of the equal error rate.
    pub(super) eer_interval: Option<Interval>,
}

impl Figures {
    pub(super) fn count(run: &Run) -> Self {
        let (genuine, impostor) = compare(run);
        let all: Vec<f32> = genuine.iter().map(|trial| trial.score).collect();
        let others: Vec<f32> = impostor.iter().map(|trial| trial.score).collect();
        let made: Vec<f32> = all.iter().copied().filter(|s| s.is_finite()).collect();
        let scores = Scores::new(genuine, impostor);
        let replicates = Replicates::default();
        Self {
            rates: Rates::of(&scores, &all, &others),
            compared: Rates::of(&scores.compared(), &made, &others),
            tar_intervals: scores.tar_intervals(FARS.map(|(_, far)| far), replicates),
            eer_interval: scores.eer_interval(replicates),
            scores,
        }
    }

    /// In a few lines.
    pub(super) fn say(&self) {
        let shown = |share: Option<f64>| match share {
            Some(share) => format!("{share:.4}"),
            None => "not measured".to_owned(),
        };
        println!(
            "EER {}; {} genuine comparisons ({} not made), {} impostor",
            shown(self.rates.eer),
            self.scores.genuine(),
            self.scores.lost(),
            self.scores.impostors()
        );
        for ((name, _), point) in FARS.iter().zip(&self.rates.points) {
            println!(
                "TAR at FAR {name}: {}, threshold {}",
                shown(point.map(|at| at.tar())),
                shown(point.map(|at| f64::from(at.threshold)))
            );
        }
    }
}

/// All with all: every pair of one speaker, and of two where both gave an embedding.
fn compare(run: &Run) -> (Vec<Trial>, Vec<Trial>) {
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (at, (a, left)) in run.recordings.iter().zip(&run.outcomes).enumerate() {
        let behind = run.recordings[at + 1..].iter();
        for (b, right) in behind.zip(&run.outcomes[at + 1..]) {
            let trial = Trial {
                score: cosine(left, right),
                one: a.speaker,
                other: b.speaker,
            };
            if a.speaker == b.speaker {
                genuine.push(trial);
            } else if trial.score.is_finite() {
                impostor.push(trial);
            }
        }
    }
    (genuine, impostor)
}

/// Of unit vectors; minus infinity where one is missing.
fn cosine(one: &Outcome, other: &Outcome) -> f32 {
    match (one, other) {
        (Outcome::Embedded(a), Outcome::Embedded(b)) => a.iter().zip(b).map(|(a, b)| a * b).sum(),
        _ => f32::NEG_INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Recording;
    use super::*;

    fn run(outcomes: Vec<Outcome>) -> Run {
        let recording = |at: usize| Recording {
            speaker: at as u32 / 4,
            name: format!("{at}.wav"),
            path: format!("{at}.wav").into(),
        };
        Run {
            recordings: (0..outcomes.len()).map(recording).collect(),
            outcomes,
            times: Vec::new(),
            model: "m".into(),
            models: "d".into(),
        }
    }

    /// Twelve speakers with four recordings each, every one along an axis of its own.
    fn apart() -> Vec<Outcome> {
        let vector = |at: usize| (0..12).map(|axis| f32::from(at / 4 == axis)).collect();
        (0..48).map(|at| Outcome::Embedded(vector(at))).collect()
    }

    #[test]
    fn speakers_far_apart_are_told_apart_without_error() {
        let figures = Figures::count(&run(apart()));
        assert_eq!((figures.scores.genuine(), figures.scores.lost()), (72, 0));
        assert_eq!(figures.scores.impostors(), 48 * 44 / 2);
        assert_eq!(figures.rates.eer, Some(0.0));
        assert_eq!(figures.rates.points[0].unwrap().tar(), 1.0);
        assert_eq!(figures.rates.points[3], None, "too few for 1e-5");
        assert_eq!(figures.rates.accuracy.unwrap().mean, 1.0);
    }

    #[test]
    fn a_recording_without_an_embedding_is_a_loss_and_no_impostor() {
        let mut outcomes = apart();
        outcomes[5] = Outcome::Refused("TooQuiet".into());
        let figures = Figures::count(&run(outcomes));
        assert_eq!((figures.scores.genuine(), figures.scores.lost()), (72, 3));
        assert_eq!(figures.scores.impostors(), (47 * 47 - (11 * 16 + 9)) / 2);
        assert!((figures.rates.points[0].unwrap().tar() - 69.0 / 72.0).abs() < 1e-9);
        assert_eq!(figures.compared.points[0].unwrap().tar(), 1.0);
    }

    #[test]
    fn a_recording_in_another_speakers_folder_costs_what_it_should() {
        let mut outcomes = apart();
        outcomes[0] = outcomes[47].clone();
        let figures = Figures::count(&run(outcomes));
        // Three pairs of one speaker lost, four of two alike, of 72 and 1056.
        let point = figures.scores.at(0.5).unwrap();
        assert!((point.fnmr - 3.0 / 72.0).abs() < 1e-9);
        assert!((point.fmr - 4.0 / 1056.0).abs() < 1e-9);
    }
}
