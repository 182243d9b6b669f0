//! The figures as JSON and as a page.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Run;
use super::figures::{Decision, Figures, LIMITS, Rates, Share};
use crate::faces::cache::Outcome;
use crate::faces::times::{STAGES, VOICE_STAGES, summary};
use crate::report::{Page, Table, det, histogram};
use crate::stats::{FARS, Interval, Point};

const PRACTICE: &str = "Chimeric customers: each person of one set was given a speaker of another. That is an old \
practice, since there are few sets of people with both (Ross, Nandakumar and Jain 2006), and it assumes that a \
person's face and voice err independently of each other, which nothing here shows (Poh and Bengio 2006).";

/// The report. `accuracy`, `eer` and `tar_at_far` are of both together, `face` and `voice`
/// of each alone over the same pairs; what could not be compared counts as not recognised,
/// `compared` has the same without.
pub(super) fn json(run: &Run, figures: &Figures) -> Value {
    let mut report = rates(&figures.fused);
    let [both, face, voice] = &figures.decisions;
    let rows = figures.calibration.iter().map(|row| {
        json!({
            "false_match_rate": row.rate,
            "cosine": row.cosine,
            "interval": interval(row.interval),
        })
    });
    let more = json!({
        "face": rates(&figures.face),
        "voice": rates(&figures.voice),
        "compared": rates(&figures.compared),
        "failures": failures(run),
        "millis": {
            "face": summary(&run.faces.times, STAGES),
            "voice": summary(&run.heard.times, VOICE_STAGES),
        },
        "decision": {
            "limits_per_million": { "face": LIMITS.face, "voice": LIMITS.voice },
            "both": decision(both),
            "face": decision(face),
            "voice": decision(voice),
        },
        "weights": {
            "face": run.both.face.weight,
            "voice": run.both.voice.weight,
            "fitted_here": figures.fitted.map(|[face, voice]| json!({
                "face": face, "voice": voice,
            })),
            "tried": figures.tried.iter().map(|tried| json!({
                "face": tried.face,
                "eer": tried.eer,
                "tar_at_far": named(&tried.tars, |tar| json!(tar)),
                "decidability": tried.decidability,
            })).collect::<Vec<_>>(),
        },
        "calibration": rows.collect::<Vec<_>>(),
        "counts": {
            "images": run.faces.samples.len(),
            "persons": run.customers.persons(),
            "recordings": run.heard.recordings.len(),
            "speakers": run.heard.speakers(),
            "speakers_left_out": run.voices.left_out,
            "voice_templates": run.voices.templates(),
            "genuine": figures.fused.scores.genuine(),
            "genuine_not_compared": figures.fused.scores.lost(),
            "impostors": figures.fused.scores.impostors(),
            "pairs_of_two_persons": figures.of_two,
            "pairs_with_one_voice": figures.same_voice,
        },
        "pairing": "chimeric",
        "seed": run.seed,
        "fusion": run.both.id,
        "spaces": { "face": run.both.face.space, "voice": run.both.voice.space },
        "models": run.faces.models,
    });
    if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
        report.extend(more);
    }
    report
}

fn rates(of: &Rates) -> Value {
    let mut thresholds = named(&of.points, |point| json!(point.map(|at| at.threshold)));
    let best = of.accuracy.map(|accuracy| accuracy.threshold);
    thresholds.insert("accuracy".into(), json!(best));
    json!({
        "accuracy": of.accuracy.map(|accuracy| accuracy.mean),
        "eer": of.eer,
        "tar_at_far": named(&of.points, |point| json!(point.as_ref().map(Point::tar))),
        "thresholds": thresholds,
        "decidability": of.decidability,
        "intervals": {
            "accuracy_standard_error": of.accuracy.map(|accuracy| accuracy.standard_error),
            "eer": interval(of.eer_interval),
            "tar_at_far": named(&of.tar_intervals, |found| interval(*found)),
        },
    })
}

fn named<T>(of: &[T], value: impl Fn(&T) -> Value) -> Map<String, Value> {
    let all = FARS.iter().zip(of);
    all.map(|((name, _), one)| ((*name).to_owned(), value(one)))
        .collect()
}

fn interval(of: Option<Interval>) -> Value {
    json!(of.map(|Interval { low, high }| [low, high]))
}

fn decision(of: &Decision) -> Value {
    let share = |of: &Share| json!({ "rate": of.rate(), "accepted": of.hits, "of": of.of, "interval": interval(of.interval()) });
    json!({
        "genuine": share(&of.genuine),
        "strangers": share(&of.strangers),
        "stolen_voice": share(&of.stolen_voice),
        "stolen_face": share(&of.stolen_face),
    })
}

/// Which file of which modality gave no embedding, and why.
fn failed(run: &Run) -> impl Iterator<Item = (&str, &str, &str)> {
    let faces = run.faces.images.iter().zip(&run.faces.outcomes);
    let faces = faces.filter_map(|(image, outcome)| match outcome {
        Outcome::Refused(reason) => Some(("face", image.name.as_str(), reason.as_str())),
        Outcome::Embedded { .. } => None,
    });
    let voices = run.heard.failures();
    faces.chain(voices.map(|(file, reason)| ("voice", file, reason)))
}

fn failures(run: &Run) -> Vec<Value> {
    let each = failed(run).map(
        |(modality, file, reason)| json!({ "modality": modality, "file": file, "reason": reason }),
    );
    each.collect()
}

/// The page beside the report.
pub(super) fn page(run: &Run, figures: &Figures, json: &Value) -> String {
    let mut page = Page::new("Faces and voices together");
    let counts = &json["counts"];
    page.text(&format!(
        "{} images of {} persons and {} recordings of {} speakers, embedded in the sealed worker's process and \
         compared as the enclave does: a face with a template of one image, a voice with a template of three \
         recordings. {} genuine and {} impostor pairs, the same for all three.",
        counts["images"],
        counts["persons"],
        counts["recordings"],
        counts["speakers"],
        counts["genuine"],
        counts["impostors"]
    ));
    page.text(PRACTICE);
    page.text(&format!(
        "Of {} pairs of two persons, {} were of two who were given one voice and were left out. {} genuine pairs could \
         not be compared: they count as not recognised.",
        counts["pairs_of_two_persons"],
        counts["pairs_with_one_voice"],
        counts["genuine_not_compared"]
    ));
    table(&mut page, figures);
    page.heading("Detection error trade-off");
    let curves = all(figures).map(|(name, rates)| (name, rates.scores.det(800)));
    let shown = curves
        .each_ref()
        .map(|(name, points)| (*name, points.as_slice()));
    page.figure(
        &det(&shown),
        "Both rates by decades. A curve on the line below errs less than can be shown, or never.",
    );
    decisions(&mut page, figures);
    scores(&mut page, figures);
    weights(&mut page, run, figures);
    failed_table(&mut page, run);
    page.text(&format!(
        "Seed {}. Model manifest {}.",
        run.seed, run.faces.models
    ));
    page.html()
}

fn all(figures: &Figures) -> [(&'static str, &Rates); 3] {
    [
        ("both together", &figures.fused),
        ("face alone", &figures.face),
        ("voice alone", &figures.voice),
    ]
}

fn shown(share: Option<f64>) -> String {
    share.map_or("not measured".to_owned(), |share| format!("{share:.5}"))
}

fn between(share: Option<f64>, within: Option<Interval>) -> String {
    match within {
        Some(Interval { low, high }) => format!("{} ({low:.5} to {high:.5})", shown(share)),
        None => shown(share),
    }
}

fn table(page: &mut Page, figures: &Figures) {
    let all = all(figures);
    let mut table = Table::new(&["", all[0].0, all[1].0, all[2].0]);
    let mut row = |name: String, value: &dyn Fn(&Rates) -> String| {
        let [both, face, voice] = all.each_ref().map(|(_, rates)| value(rates));
        table.row([name, both, face, voice]);
    };
    row("accuracy, as many pairs of each kind".into(), &|rates| {
        shown(rates.accuracy.map(|accuracy| accuracy.mean))
    });
    row("equal error rate".into(), &|rates| {
        between(rates.eer, rates.eer_interval)
    });
    for (at, (name, _)) in FARS.iter().enumerate() {
        row(format!("true acceptance at {name}"), &|rates| {
            let tar = rates.points[at].map(|point| point.tar());
            between(tar, rates.tar_intervals[at])
        });
    }
    row(
        "decidability d'".into(),
        &|rates| match rates.decidability {
            Some(apart) => format!("{apart:.2}"),
            None => "not measured".to_owned(),
        },
    );
    page.heading("Rates");
    page.table(&table);
    page.text(
        "Intervals hold 95 % and draw persons, not speakers: where there are few speakers, voices vary more than they \
         say; one of 0 to 0 says only that no drawn persons erred. Where one alone makes no error, rates cannot tell whether both together are better; d' can: the \
         distance of the means in deviations (Daugman 2000).",
    );
}

fn decisions(page: &mut Page, figures: &Figures) {
    page.heading("What the enclave decides");
    let mut table = Table::new(&["accepted", "both together", "face alone", "voice alone"]);
    let share = |of: &Share| match (of.rate(), of.interval()) {
        (Some(rate), Some(Interval { low, high })) => {
            format!(
                "{rate:.6} ({low:.6} to {high:.6}), {} of {}",
                of.hits, of.of
            )
        }
        _ => "not measured".to_owned(),
    };
    let mut row = |name: &str, which: &dyn Fn(&Decision) -> &Share| {
        let [both, face, voice] = figures.decisions.each_ref().map(|one| share(which(one)));
        table.row([name.to_owned(), both, face, voice]);
    };
    row("customers", &|of| &of.genuine);
    row("strangers", &|of| &of.strangers);
    row("strangers with a recording of the voice", &|of| {
        &of.stolen_voice
    });
    row("strangers with a picture of the face", &|of| {
        &of.stolen_face
    });
    page.table(&table);
    page.text(&format!(
        "At {} and {} false matches in a million, by the manifest's calibrations. Intervals are Clopper and \
         Pearson's, which take pairs as independent; they are not.",
        LIMITS.face, LIMITS.voice
    ));
}

fn scores(page: &mut Page, figures: &Figures) {
    page.heading("Scores of both together");
    let points = FARS.iter().zip(&figures.fused.points);
    let marks = points.filter_map(|((name, _), point)| Some((*name, point.as_ref()?.threshold)));
    page.figure(
        &histogram(
            &figures.fused.scores.genuine_histogram(),
            figures.fused.scores.impostor_histogram(),
            &marks.collect::<Vec<_>>(),
        ),
        "Each kind beside its own highest bin; lines: thresholds by their false match rate.",
    );
}

fn weights(page: &mut Page, run: &Run, figures: &Figures) {
    page.heading("Weights");
    let mut table = Table::new(&["face", "voice", "EER", "1e-3", "1e-4", "1e-5", "d'"]);
    for tried in &figures.tried {
        let [_, third, fourth, fifth] = tried.tars.map(shown);
        table.row([
            format!("{:.1}", tried.face),
            format!("{:.1}", 1.0 - tried.face),
            shown(tried.eer),
            third,
            fourth,
            fifth,
            tried
                .decidability
                .map_or(String::new(), |apart| format!("{apart:.2}")),
        ]);
    }
    page.table(&table);
    let fitted = match figures.fitted {
        Some([face, voice]) => format!("{face:.3} and {voice:.3} would"),
        None => "nothing could".to_owned(),
    };
    page.text(&format!(
        "The manifest has {} and {}; by Fisher's discriminant {fitted} separate best here.",
        run.both.face.weight, run.both.voice.weight
    ));
    let mut table = Table::new(&["false match rate", "score to reach", "interval of the rate"]);
    for row in &figures.calibration {
        let within = row.interval.map_or("a line gone on".to_owned(), |found| {
            format!("{:.2e} to {:.2e}", found.low, found.high)
        });
        table.row([row.name.to_owned(), format!("{:.4}", row.cosine), within]);
    }
    page.heading("Calibration by these pairs");
    page.table(&table);
}

fn failed_table(page: &mut Page, run: &Run) {
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (modality, file, reason) in failed(run) {
        reasons.entry((modality, reason)).or_default().push(file);
    }
    page.heading("Failures to enrol");
    if reasons.is_empty() {
        return page.text("None.");
    }
    let mut table = Table::new(&["", "reason", "files", "which"]);
    for ((modality, reason), files) in reasons {
        table.row([
            modality.to_owned(),
            reason.to_owned(),
            files.len().to_string(),
            files.join(", "),
        ]);
    }
    page.table(&table);
}
