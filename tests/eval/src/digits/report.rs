//! What is reported of a run.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_enclave::biometrics::spoken::{
    BEATEN_MOST, DIGITS, HALF_LEAST, HALVES_LEAST, SCORE_LEAST,
};
use serde_json::{Value, json};

use super::compose::Speakers;
use super::{Judged, Kind, Plan};
use crate::stats::clopper_pearson;

/// Cosines of the halves at which rates are given beside the one that serves.
const HALVES: [f32; 8] = [0.2, 0.25, 0.3, 0.33, 0.36, 0.4, 0.45, 0.5];
/// Mean logarithms, likewise.
const SCORES: [f32; 9] = [-3.0, -2.5, -2.0, -1.5, -1.25, -1.0, -0.75, -0.5, -0.25];

pub(super) fn of(judged: &[Judged], speakers: &Speakers, plan: &Plan) -> Value {
    let mut own = BTreeMap::new();
    for (at, name) in speakers.names.iter().enumerate() {
        let of: Vec<&Judged> = judged.iter().filter(|one| one.speaker == at).collect();
        own.insert(name, figures(&of));
    }
    let all: Vec<&Judged> = judged.iter().collect();
    let mut report = figures(&all);
    report["speakers"] = json!(own);
    report["limits"] = json!({
        "score_least": SCORE_LEAST,
        "beaten_most": BEATEN_MOST,
        "halves_least": (f64::from(HALVES_LEAST) * 100.0).round() / 100.0,
        "half_least": (f64::from(HALF_LEAST) * 100.0).round() / 100.0,
    });
    report["curve"] = curve(&all);
    report["halves_curve"] = halves_curve(&all);
    report["with_template"] = with_template(&all);
    report["eer"] = json!(eer(&all));
    report["seed"] = json!(plan.seed);
    report["note"] = json!(
        "the words of a recording are put together of single ones, with pauses; a head that was \
         trained on a speaker hears that speaker better than others. Intervals hold 95 % (Clopper \
         and Pearson) and take recordings as independent, which those of one speaker are not. A \
         synthesiser or a clone that reads the digits asked for was not measured: it is not stopped"
    );
    report
}

fn figures(judged: &[&Judged]) -> Value {
    let of = |kind: Kind| judged.iter().filter(move |one| one.kind == kind);
    let accepted = |kind: Kind| {
        let passed = of(kind).filter(|one| one.outcome.is_ok()).count();
        share(passed, of(kind).count())
    };
    let six = of(Kind::Genuine).filter(|one| one.words == Some(DIGITS));
    let words = of(Kind::Genuine).filter_map(|one| one.right).flatten();
    let (right, all) = words.fold((0, 0), |(right, all), word| {
        (right + usize::from(word), all + 1)
    });
    let mut lapses: BTreeMap<&str, usize> = BTreeMap::new();
    for one in of(Kind::Genuine) {
        if let Err(lapse) = &one.outcome {
            *lapses.entry(lapse).or_default() += 1;
        }
    }
    let mut millis: Vec<f64> = judged.iter().map(|one| one.millis).collect();
    millis.sort_by(f64::total_cmp);
    let at = |part: f64| millis.get((millis.len() as f64 * part) as usize);
    json!({
        "words_found": share(six.count(), of(Kind::Genuine).count()),
        "words_right": share(right, all),
        "genuine_accepted": accepted(Kind::Genuine),
        "genuine_refused_for": lapses,
        "replay_accepted": {
            "all_other": accepted(Kind::AllOther),
            "one_other": accepted(Kind::OneOther),
            "two_voices": accepted(Kind::TwoVoices),
        },
        "halves": {
            "one_person": spread(of(Kind::Genuine)),
            "two_people": spread(of(Kind::TwoVoices)),
        },
        "millis": { "median": at(0.5), "p95": at(0.95) },
    })
}

fn share(hits: usize, of: usize) -> Value {
    let interval = clopper_pearson(hits as u64, of as u64);
    json!({
        "rate": hits as f64 / of.max(1) as f64,
        "interval": [interval.low, interval.high],
        "hits": hits,
        "of": of,
    })
}

/// Cosines of the halves: at these parts of them, from the least.
fn spread<'a>(judged: impl Iterator<Item = &'a &'a Judged>) -> Value {
    let mut cosines: Vec<f32> = judged.filter_map(|one| Some(one.measures?[2])).collect();
    cosines.sort_by(f32::total_cmp);
    let last = cosines.len().saturating_sub(1) as f64;
    let at = |part: f64| cosines.get((last * part).round() as usize).copied();
    let parts = [0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0];
    let named = parts.map(|part| (part.to_string(), at(part)));
    json!(BTreeMap::from(named))
}

/// Mean logarithms of a kind; what gave none counts as below all.
fn scores<'a>(judged: &'a [&'a Judged], kind: Kind) -> impl Iterator<Item = f32> + 'a {
    let of = judged.iter().filter(move |one| one.kind == kind);
    of.map(|one| {
        one.measures
            .map_or(f32::NEG_INFINITY, |measures| measures[0])
    })
}

/// Accepted by the mean logarithm alone, at each of [`SCORES`].
fn curve(judged: &[&Judged]) -> Value {
    let part = |kind: Kind, least: f32| {
        let (hits, all) = scores(judged, kind).fold((0u32, 0u32), |(hits, all), score| {
            (hits + u32::from(score >= least), all + 1)
        });
        f64::from(hits) / f64::from(all.max(1))
    };
    let row = |least: f32| {
        json!({
            "score_least": least,
            "genuine": part(Kind::Genuine, least),
            "all_other": part(Kind::AllOther, least),
            "one_other": part(Kind::OneOther, least),
        })
    };
    json!(SCORES.map(row))
}

/// At or above each of [`HALVES`], of recordings with six words: by one person, and by two.
fn halves_curve(judged: &[&Judged]) -> Value {
    let part = |kind: Kind, least: f32| {
        let cosines = judged.iter().filter(|one| one.kind == kind);
        let cosines = cosines.filter_map(|one| Some(one.measures?[2]));
        let (hits, all) = cosines.fold((0u32, 0u32), |(hits, all), cosine| {
            (hits + u32::from(cosine >= least), all + 1)
        });
        f64::from(hits) / f64::from(all.max(1))
    };
    let row = |least: f32| {
        json!({
            "halves_least": (f64::from(least) * 100.0).round() / 100.0,
            "one_person": part(Kind::Genuine, least),
            "two_people": part(Kind::TwoVoices, least),
        })
    };
    json!(HALVES.map(row))
}

/// Recordings of which a template is made, as an enrolment makes it.
const ENROLLED: usize = 3;

/// The lesser cosine of both halves with the speaker's template: of recordings by that
/// speaker, and of those that somebody else ends. The template is the mean of the speaker's
/// first recordings of six words, which are left out here.
fn with_template(judged: &[&Judged]) -> Value {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let speakers: BTreeSet<usize> = judged.iter().map(|one| one.speaker).collect();
    for speaker in speakers {
        let of = |kind| {
            judged
                .iter()
                .filter(move |one| one.speaker == speaker && one.kind == kind)
        };
        let heard = |kind| of(kind).filter_map(|one| one.voices.as_ref());
        let mut template = vec![0.0; heard(Kind::Genuine).next().map_or(0, |all| all[0].len())];
        for [whole, _, _] in heard(Kind::Genuine).take(ENROLLED) {
            template
                .iter_mut()
                .zip(whole)
                .for_each(|(sum, part)| *sum += part);
        }
        let lesser = |[_, a, b]: &[Vec<f32>; 3]| cosine(&template, a).min(cosine(&template, b));
        one.extend(heard(Kind::Genuine).skip(ENROLLED).map(lesser));
        two.extend(heard(Kind::TwoVoices).map(lesser));
    }
    let part = |cosines: &[f32], least: f32| {
        let above = cosines.iter().filter(|cosine| **cosine >= least).count();
        share(above, cosines.len())
    };
    let row = |least: f32| {
        json!({
            "half_least": (f64::from(least) * 100.0).round() / 100.0,
            "one_person": part(&one, least),
            "two_people": part(&two, least),
        })
    };
    json!(HALVES.map(row))
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(one, other)
        / (dot(one, one) * dot(other, other))
            .sqrt()
            .max(f32::MIN_POSITIVE)
}

/// Where as many genuine recordings are refused as replays of one other digit are accepted,
/// by the mean logarithm alone: the mean of both shares there.
fn eer(judged: &[&Judged]) -> f64 {
    let genuine: Vec<f32> = scores(judged, Kind::Genuine).collect();
    let other: Vec<f32> = scores(judged, Kind::OneOther).collect();
    let share = |hits: usize, of: usize| hits as f64 / of.max(1) as f64;
    let at = |least: f32| {
        let refused = genuine.iter().filter(|score| **score < least).count();
        let passed = other.iter().filter(|score| **score >= least).count();
        (share(refused, genuine.len()), share(passed, other.len()))
    };
    let both = genuine.iter().chain(&other).map(|score| at(*score));
    let near = both.min_by(|a, b| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()));
    near.map_or(0.0, |(refused, passed)| (refused + passed) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: Kind, score: f32, outcome: Result<(), String>) -> Judged {
        Judged {
            speaker: 0,
            kind,
            words: Some(DIGITS),
            right: Some([true, true, true, true, true, false]),
            measures: Some([score, 0.0, 0.5]),
            outcome,
            voices: None,
            millis: 5.0,
        }
    }

    #[test]
    fn halves_are_compared_with_a_template_that_they_are_not_part_of() {
        let along = |axis: usize| (0..2).map(|at| f32::from(at == axis)).collect::<Vec<f32>>();
        let spoken = |kind, axes: [usize; 3]| {
            let mut judged = one(kind, 0.0, Ok(()));
            judged.voices = Some(axes.map(along));
            judged
        };
        let mut all = vec![spoken(Kind::Genuine, [0, 1, 1]); ENROLLED];
        all.push(spoken(Kind::Genuine, [0, 0, 0]));
        all.push(spoken(Kind::TwoVoices, [0, 0, 1]));
        let all: Vec<&Judged> = all.iter().collect();
        let rows = with_template(&all);
        let row = &rows[HALVES.len() - 1];
        assert_eq!(
            [&row["one_person"]["hits"], &row["one_person"]["of"]],
            [1, 1]
        );
        assert_eq!(
            [&row["two_people"]["hits"], &row["two_people"]["of"]],
            [0, 1]
        );
    }

    #[test]
    fn shares_are_of_each_kind_and_what_is_refused_is_named() {
        let refused = || Err("OtherDigits".to_owned());
        let mut lost = one(Kind::Genuine, 0.0, Err("TooQuiet".into()));
        (lost.words, lost.right, lost.measures) = (None, None, None);
        let all = [
            one(Kind::Genuine, -0.1, Ok(())),
            one(Kind::Genuine, -2.2, refused()),
            one(Kind::Genuine, -0.3, Ok(())),
            lost,
            one(Kind::OneOther, -1.1, refused()),
            one(Kind::OneOther, -0.2, Ok(())),
        ];
        let all: Vec<&Judged> = all.iter().collect();
        let found = figures(&all);
        assert_eq!(found["genuine_accepted"]["rate"], 0.5);
        assert_eq!(found["words_found"]["hits"], 3);
        assert_eq!(found["words_right"]["hits"], 15);
        assert_eq!(found["genuine_refused_for"]["TooQuiet"], 1);
        assert_eq!(found["replay_accepted"]["one_other"]["rate"], 0.5);
        assert_eq!(found["replay_accepted"]["all_other"]["of"], 0);
        assert_eq!(curve(&all)[5]["genuine"], 0.5);
        assert!((eer(&all) - 0.5).abs() < 1e-9);
    }
}
