//! The figures as JSON and as a page.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Run;
use super::cache::Outcome;
use super::outcome::{Figures, Rates};
use super::times::{STAGES, summary};
use crate::report::{Page, Table, det, histogram};
use crate::stats::{FARS, Interval, Point};

/// The report. `accuracy`, `eer` and `tar_at_far` count what could not be compared as
/// not recognised; `compared` has the same without.
pub(super) fn json(run: &Run, figures: &Figures, mirrored: bool) -> Value {
    let accuracy = |of: Option<crate::stats::Accuracy>| of.map(|accuracy| accuracy.mean);
    let mut thresholds = by_far(&figures.rates.points, |at| f64::from(at.threshold));
    thresholds.insert(
        "accuracy".into(),
        json!(figures.accuracy.map(|accuracy| accuracy.threshold)),
    );
    let mut intervals: Map<String, Value> = Map::new();
    for ((name, _), found) in FARS.iter().zip(&figures.tar_intervals) {
        intervals.insert((*name).into(), interval(*found));
    }
    json!({
        "accuracy": accuracy(figures.accuracy),
        "eer": figures.rates.eer,
        "tar_at_far": tars(&figures.rates),
        "thresholds": thresholds,
        "failures": failures(run),
        "millis": summary(&run.times, STAGES),
        "compared": {
            "accuracy": accuracy(figures.accuracy_compared),
            "eer": figures.compared.eer,
            "tar_at_far": tars(&figures.compared),
        },
        "exact": {
            "eer": figures.exact.eer,
            "tar_at_far": tars(&figures.exact),
        },
        "intervals": {
            "accuracy_standard_error": figures.accuracy.map(|accuracy| accuracy.standard_error),
            "eer": interval(figures.eer_interval),
            "tar_at_far": intervals,
        },
        "counts": {
            "images": run.images.len(),
            "persons": run.images.last().map_or(0, |image| image.person + 1),
            "cropped": cropped(run),
            "genuine": figures.scores.genuine(),
            "genuine_not_compared": figures.scores.lost(),
            "impostors": figures.scores.impostors(),
            "pairs": figures.pairs.0,
            "pairs_not_compared": figures.pairs.1,
            "pairs_missing": figures.missing,
            "pairs_of_a_list": figures.listed,
            "folds": figures.folds,
        },
        "setting": if mirrored { "accurate" } else { "default" },
        "space": run.space.id,
        "models": run.models,
    })
}

fn by_far(points: &[Option<Point>], take: impl Fn(&Point) -> f64) -> Map<String, Value> {
    let entry = |((name, _), point): (&(&str, f64), &Option<Point>)| {
        ((*name).to_owned(), json!(point.as_ref().map(&take)))
    };
    FARS.iter().zip(points).map(entry).collect()
}

fn tars(rates: &Rates) -> Map<String, Value> {
    by_far(&rates.points, Point::tar)
}

fn interval(of: Option<Interval>) -> Value {
    json!(of.map(|Interval { low, high }| [low, high]))
}

fn failed(run: &Run) -> impl Iterator<Item = (&str, &str)> {
    let all = run.images.iter().zip(&run.outcomes);
    all.filter_map(|(image, outcome)| match outcome {
        Outcome::Refused(reason) => Some((image.name.as_str(), reason.as_str())),
        Outcome::Embedded { .. } => None,
    })
}

fn failures(run: &Run) -> Vec<Value> {
    let each = failed(run).map(|(file, reason)| json!({ "file": file, "reason": reason }));
    each.collect()
}

fn cropped(run: &Run) -> usize {
    let cropped = |outcome: &&Outcome| matches!(outcome, Outcome::Embedded { cropped: true, .. });
    run.outcomes.iter().filter(cropped).count()
}

/// The page beside the report.
pub(super) fn page(run: &Run, figures: &Figures, json: &Value) -> String {
    let mut page = Page::new("Faces told apart");
    let counts = &json["counts"];
    page.text(&format!(
        "{} images of {} persons, compared in the space {} at the setting {}: {} genuine and {} \
         impostor comparisons, by the sealed worker's process and the enclave's own comparison.",
        counts["images"],
        counts["persons"],
        run.space.id,
        json["setting"].as_str().unwrap_or_default(),
        counts["genuine"],
        counts["impostors"]
    ));
    page.text(&format!(
        "{} images gave no embedding. Their {} genuine comparisons count as not recognised in the \
         first figures; the second leave them out. {} images showed several people and were sent \
         again cut to their middle, where the person meant stands.",
        failed(run).count(),
        counts["genuine_not_compared"],
        counts["cropped"]
    ));
    rates(&mut page, figures);
    page.heading("Detection error trade-off");
    let curve = figures.scores.det(800);
    let compared = figures.scores.compared().det(800);
    let mut curves = vec![("all", curve.as_slice())];
    if figures.scores.lost() > 0 {
        curves.push(("those compared", &compared));
    }
    page.figure(&det(&curves), "Both rates by decades; all pairs.");
    page.heading("Scores");
    let named = FARS.iter().zip(&figures.rates.points);
    let marks: Vec<(&str, f32)> = named
        .filter_map(|((name, _), point)| Some((*name, point.as_ref()?.threshold)))
        .collect();
    page.figure(
        &histogram(
            &figures.scores.genuine_histogram(),
            figures.scores.impostor_histogram(),
            &marks,
        ),
        "Cosines, each kind beside its own highest bin; lines: thresholds by their false match rate.",
    );
    times(&mut page, &json["millis"]);
    failed_table(&mut page, run);
    page.text(&format!("Model manifest {}.", run.models));
    page.html()
}

fn rates(page: &mut Page, figures: &Figures) {
    let share =
        |of: Option<f64>| of.map_or("not measured".to_owned(), |share| format!("{share:.4}"));
    let between = |of: Option<Interval>| match of {
        Some(Interval { low, high }) => format!("{low:.4} to {high:.4}"),
        None => String::new(),
    };
    let mut table = Table::new(&["", "all", "95 % interval", "those compared", "threshold"]);
    if let Some(accuracy) = figures.accuracy {
        table.row([
            format!("accuracy, {} pairs", figures.pairs.0),
            share(Some(accuracy.mean)),
            format!("± {:.4} (standard error)", accuracy.standard_error),
            share(figures.accuracy_compared.map(|accuracy| accuracy.mean)),
            format!("{:.4}", accuracy.threshold),
        ]);
    }
    table.row([
        "equal error rate".to_owned(),
        share(figures.rates.eer),
        between(figures.eer_interval),
        share(figures.compared.eer),
        String::new(),
    ]);
    for (at, (name, _)) in FARS.iter().enumerate() {
        let point = figures.rates.points[at];
        table.row([
            format!("true acceptance at {name}"),
            share(point.map(|point| point.tar())),
            between(figures.tar_intervals[at]),
            share(figures.compared.points[at].map(|point| point.tar())),
            share(point.map(|point| f64::from(point.threshold))),
        ]);
    }
    page.heading("Rates");
    page.table(&table);
    let parts = match figures.folds {
        0 => return,
        _ if !figures.listed => {
            "There was no list: as many pairs of two persons as of one, cut into ten parts."
                .to_owned()
        }
        1 => "The list has one part: it is cut into ten, pairs of each kind in turn.".to_owned(),
        folds => format!("The list has {folds} parts."),
    };
    page.text(&format!(
        "{parts} Each part is decided with the threshold that is best on the others."
    ));
}

fn times(page: &mut Page, millis: &Value) {
    page.heading("Milliseconds");
    let mut table = Table::new(&["stage", "median", "95th percentile"]);
    for stage in STAGES.into_iter().chain(["job"]) {
        let figure = |which: &str| match millis[stage][which].as_f64() {
            Some(millis) => format!("{millis:.2}"),
            None => "not measured".to_owned(),
        };
        table.row([stage.to_owned(), figure("median"), figure("p95")]);
    }
    page.table(&table);
    page.text("In the worker, at most six jobs at once.");
}

fn failed_table(page: &mut Page, run: &Run) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, reason) in failed(run) {
        reasons.entry(reason).or_default().push(file);
    }
    page.heading("Failures to enrol");
    if reasons.is_empty() {
        return page.text("None.");
    }
    let mut table = Table::new(&["reason", "images", "files"]);
    for (reason, files) in reasons {
        table.row([reason.to_owned(), files.len().to_string(), files.join(", ")]);
    }
    page.table(&table);
}
