//! The figures of a run: of both together, and of each alone over the same pairs.

use redoubt_enclave::biometrics::{FACE_FLOOR, Limits, Space, accepts, false_match_rate};

use super::fisher::{self, Spread};
use super::trials::{Pair, Pairs};
use super::{Alone, Run};
use crate::faces::calibrate::{Row, table};
use crate::stats::{
    Accuracy, FARS, Interval, Point, Replicates, Scores, Trial, balanced, clopper_pearson,
};

/// Pairs of each kind that it is over, at most.
const PAIRS_MAX: usize = 3000;
/// What a policy that says nothing else accepts.
pub(super) const LIMITS: Limits = Limits {
    face: 100,
    voice: 1000,
};

/// Rates of one set of comparisons.
pub(super) struct Rates {
    /// Over as many pairs of each kind.
    pub(super) accuracy: Option<Accuracy>,
    /// Equal error rate.
    pub(super) eer: Option<f64>,
    /// Its 95 % interval, persons drawn.
    pub(super) eer_interval: Option<Interval>,
    /// At each of [`FARS`]; none where too few were compared.
    pub(super) points: [Option<Point>; FARS.len()],
    /// 95 % intervals of true acceptance.
    pub(super) tar_intervals: [Option<Interval>; FARS.len()],
    /// How far the means are apart, in deviations (Daugman's d').
    pub(super) decidability: Option<f64>,
    /// All comparisons, failures counted as not recognised.
    pub(super) scores: Scores,
}

/// A weight of the face that was tried.
pub(super) struct Tried {
    pub(super) face: f32,
    pub(super) eer: Option<f64>,
    /// True acceptance at each of [`FARS`].
    pub(super) tars: [Option<f64>; FARS.len()],
    pub(super) decidability: Option<f64>,
}

/// A share that was counted.
pub(super) struct Share {
    pub(super) hits: u64,
    pub(super) of: u64,
}

impl Share {
    fn of(pairs: &[Pair], accepted: impl Fn(&Pair) -> bool) -> Self {
        Self {
            hits: pairs.iter().filter(|pair| accepted(pair)).count() as u64,
            of: pairs.len() as u64,
        }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }

    /// Clopper and Pearson's, which takes pairs as independent.
    pub(super) fn interval(&self) -> Option<Interval> {
        (self.of > 0).then(|| clopper_pearson(self.hits, self.of))
    }
}

/// What the enclave would decide, at the limits of a policy that says nothing else.
pub(super) struct Decision {
    /// Customers accepted.
    pub(super) genuine: Share,
    /// Strangers accepted, with their own faces and voices.
    pub(super) strangers: Share,
    /// With their own faces and the customer's voice.
    pub(super) stolen_voice: Share,
    /// With the customer's face and their own voices.
    pub(super) stolen_face: Share,
}

/// Everything that is reported.
pub(super) struct Figures {
    pub(super) fused: Rates,
    /// Without what could not be compared.
    pub(super) compared: Rates,
    pub(super) face: Rates,
    pub(super) voice: Rates,
    pub(super) tried: Vec<Tried>,
    /// Weights that separate best here, face and voice.
    pub(super) fitted: Option<[f64; 2]>,
    /// Both together, a face alone and a voice alone.
    pub(super) decisions: [Decision; 3],
    /// The calibration that these pairs give.
    pub(super) calibration: Vec<Row>,
    pub(super) same_voice: u64,
    pub(super) of_two: u64,
}

impl Rates {
    fn of(pairs: &Pairs, score: impl Fn(f32, f32) -> f32, intervals: bool) -> Self {
        let trials = |pairs: &[Pair]| -> Vec<Trial> {
            pairs.iter().map(|pair| pair.trial(&score)).collect()
        };
        let (genuine, impostor) = (trials(&pairs.genuine), trials(&pairs.impostor));
        let scores = |trials: &[Trial]| trials.iter().map(|trial| trial.score).collect::<Vec<_>>();
        let accuracy = balanced(&scores(&genuine), &scores(&impostor), PAIRS_MAX);
        let decidability = decidability(&genuine, &impostor);
        let scores = Scores::new(genuine, impostor);
        let replicates = Replicates::default();
        let rates = FARS.map(|(_, far)| far);
        Self {
            accuracy,
            eer: scores.eer(),
            eer_interval: intervals.then(|| scores.eer_interval(replicates)).flatten(),
            points: rates.map(|far| scores.at_far(far)),
            tar_intervals: match intervals {
                true => scores.tar_intervals(rates, replicates),
                false => [None; FARS.len()],
            },
            decidability,
            scores,
        }
    }
}

impl Figures {
    pub(super) fn count(run: &Run) -> Self {
        println!("comparing all with all");
        let pairs = Pairs::of(run);
        let fused = Rates::of(&pairs, |face, voice| run.both.score(face, voice), true);
        let tried = (0..=10).map(|tenths| tried(&pairs, tenths as f32 / 10.0));
        let calibration = table(&fused.scores);
        Self {
            compared: without_failures(&pairs, |face, voice| run.both.score(face, voice)),
            face: Rates::of(&pairs, |face, _| face, true),
            voice: Rates::of(&pairs, |_, voice| voice, true),
            tried: tried.collect(),
            fitted: fitted(&pairs),
            decisions: decisions(run, &pairs),
            calibration,
            same_voice: pairs.same_voice,
            of_two: pairs.of_two,
            fused,
        }
    }

    /// In a few lines.
    pub(super) fn say(&self) {
        let shown = |share: Option<f64>| match share {
            Some(share) => format!("{share:.5}"),
            None => "not measured".to_owned(),
        };
        println!(
            "{} genuine pairs ({} not made), {} impostor",
            self.fused.scores.genuine(),
            self.fused.scores.lost(),
            self.fused.scores.impostors()
        );
        let all = [
            ("both", &self.fused),
            ("face", &self.face),
            ("voice", &self.voice),
        ];
        for (name, rates) in all {
            let tars = FARS.iter().zip(&rates.points);
            let tars =
                tars.map(|((far, _), point)| format!("{far}: {}", shown(point.map(|at| at.tar()))));
            println!(
                "{name:5} EER {}, d' {}, TAR at FAR {}",
                shown(rates.eer),
                shown(rates.decidability),
                tars.collect::<Vec<_>>().join(", ")
            );
        }
    }
}

fn tried(pairs: &Pairs, weight: f32) -> Tried {
    let score = |face: f32, voice: f32| weight * face + (1.0 - weight) * voice;
    let rates = Rates::of(pairs, score, false);
    Tried {
        face: weight,
        eer: rates.eer,
        tars: rates.points.map(|point| point.map(|at| at.tar())),
        decidability: rates.decidability,
    }
}

fn without_failures(pairs: &Pairs, score: impl Fn(f32, f32) -> f32) -> Rates {
    let made = |pair: &&Pair| pair.face.is_finite() && pair.voice.is_finite();
    let only = Pairs {
        genuine: pairs.genuine.iter().filter(made).copied().collect(),
        impostor: pairs.impostor.clone(),
        ..Pairs::default()
    };
    Rates::of(&only, score, false)
}

fn fitted(pairs: &Pairs) -> Option<[f64; 2]> {
    let spread = |pairs: &[Pair]| {
        let mut spread = Spread::default();
        let made = pairs.iter().map(|pair| [pair.face, pair.voice]);
        made.filter(|both| both.iter().all(|one| one.is_finite()))
            .for_each(|both| spread.add(both));
        spread
    };
    fisher::weights(&spread(&pairs.genuine), &spread(&pairs.impostor))
}

/// By the manifest's own calibrations, as the enclave decides.
fn decisions(run: &Run, pairs: &Pairs) -> [Decision; 3] {
    let Alone { face, voice } = &run.alone;
    let rate = |space: &Space, cosine: f32| match cosine.is_finite() {
        true => false_match_rate(&space.calibration, cosine),
        false => 1.0,
    };
    let by_face = |pair: &Pair, times: u32| accepts(rate(face, pair.face), LIMITS.face * times);
    let by_voice = |pair: &Pair| accepts(rate(voice, pair.voice), LIMITS.voice);
    let both = |pair: &Pair| {
        // Asked for last: it stands behind what is counted most.
        by_face(pair, FACE_FLOOR)
            && LIMITS.accept(
                run.both.rate(run.both.score(pair.face, pair.voice)),
                rate(face, pair.face),
                rate(voice, pair.voice),
            )
    };
    [
        decision(pairs, both),
        decision(pairs, |pair| by_face(pair, 1)),
        decision(pairs, by_voice),
    ]
}

fn decision(pairs: &Pairs, accepted: impl Fn(&Pair) -> bool) -> Decision {
    Decision {
        genuine: Share::of(&pairs.genuine, &accepted),
        strangers: Share::of(&pairs.impostor, &accepted),
        stolen_voice: Share::of(&pairs.stolen_voice, &accepted),
        stolen_face: Share::of(&pairs.stolen_face, &accepted),
    }
}

/// How far two means are apart, over the root of the mean of both variances (Daugman,
/// "Biometric decision landscapes", 2000). It goes on telling scores apart where no
/// pair is decided wrongly; of comparisons that were made.
fn decidability(genuine: &[Trial], impostor: &[Trial]) -> Option<f64> {
    let moments = |trials: &[Trial]| {
        let made = || {
            let scores = trials.iter().map(|trial| f64::from(trial.score));
            scores.filter(|score| score.is_finite())
        };
        let count = made().count() as f64;
        let mean = made().sum::<f64>() / count;
        let off = made().map(|score| (score - mean).powi(2)).sum::<f64>();
        (count > 1.0).then(|| (mean, off / (count - 1.0)))
    };
    let ((own, spread), (others, around)) = (moments(genuine)?, moments(impostor)?);
    let deviation = ((spread + around) / 2.0).sqrt();
    (deviation > 0.0).then(|| (own - others).abs() / deviation)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::chimera::Customers;
    use super::super::voice::{self, Voices};
    use super::*;
    use crate::faces::{self, Samples};
    use crate::stats::SplitMix;
    use redoubt_enclave::worker_link::manifest::Manifest;

    /// Twenty persons of four images, of which one was refused, with four speakers' voices.
    pub(in crate::fusion) fn run() -> Run {
        let manifest = Manifest::built_in();
        let both = manifest.newest_multimodal().unwrap().clone();
        let spaces = &manifest.voice_spaces()[0];
        let heard = voice::tests::made(4, 6);
        let voices = Voices::new(&heard, spaces, 5);
        let mut random = SplitMix::new(11);
        let vectors = (0..80).map(|at| {
            let noise = |random: &mut SplitMix| 0.05 * random.normal() as f32;
            let mut vector: Vec<f32> = (0..40).map(|_| noise(&mut random)).collect();
            vector[at / 4] += 1.0;
            let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            (at != 7).then(|| vector.iter().map(|v| v / norm).collect())
        });
        let face = manifest.space(&both.face.space).unwrap().clone();
        Run {
            faces: faces::Run {
                images: Vec::new(),
                outcomes: Vec::new(),
                samples: Samples::new((0..80).map(|at| at / 4).collect(), vectors.collect()),
                space: face.clone(),
                times: Vec::new(),
                models: "d".into(),
            },
            heard,
            customers: Customers::new(20, voices.speakers(), 5),
            voices,
            both,
            alone: Alone {
                face,
                voice: spaces.template.clone(),
            },
            seed: 5,
        }
    }

    #[test]
    fn all_three_are_counted_over_the_same_pairs_and_losses_stay_losses() {
        let run = run();
        let figures = Figures::count(&run);
        let all = [&figures.fused, &figures.face, &figures.voice];
        for rates in all {
            assert_eq!(rates.scores.genuine(), 20 * 6);
            assert_eq!(rates.scores.impostors(), figures.fused.scores.impostors());
        }
        let lost = all.map(|rates| rates.scores.lost());
        assert_eq!(lost[1], 3, "the refused image's");
        assert!(lost[0] > lost[1].max(lost[2]) && lost[2] > 0, "{lost:?}");
        assert_eq!(figures.compared.scores.lost(), 0);
        assert_eq!(figures.compared.eer, Some(0.0));
        assert!(figures.fused.eer > Some(0.0));
    }

    #[test]
    fn both_together_are_further_apart_than_each_alone() {
        // Alike far apart each, with errors of their own.
        let mut random = SplitMix::new(3);
        let mut around = |mean: f64, one: u32, other: u32| {
            let mut draw = || (mean + 0.2 * random.normal()) as f32;
            let (face, voice) = (draw(), draw());
            Pair {
                one,
                other,
                face,
                voice,
            }
        };
        let pairs = Pairs {
            genuine: (0..2000).map(|at| around(0.8, at, at)).collect(),
            impostor: (0..20_000).map(|at| around(0.2, at % 50, 50)).collect(),
            ..Pairs::default()
        };
        let [voice, both, face] = [0.0, 0.5, 1.0].map(|weight| tried(&pairs, weight));
        for alone in [voice, face] {
            assert!(both.decidability.unwrap() > 1.3 * alone.decidability.unwrap());
            assert!(both.eer.unwrap() < 0.5 * alone.eer.unwrap());
            let tars = both.tars.iter().zip(&alone.tars).take(3);
            tars.for_each(|(two, one)| assert!(two > one, "{two:?} {one:?}"));
        }
    }

    #[test]
    fn what_is_stolen_is_counted_apart_from_strangers() {
        let figures = Figures::count(&run());
        let [both, face, voice] = &figures.decisions;
        assert_eq!(voice.stolen_voice.rate(), Some(1.0), "a recording passes");
        assert_eq!(face.stolen_face.rate(), Some(1.0), "a picture passes");
        assert_eq!(both.stolen_face.rate(), Some(0.0));
        assert_eq!(both.stolen_voice.rate(), Some(0.0));
        assert!(both.genuine.rate() > Some(0.8));
    }
}
