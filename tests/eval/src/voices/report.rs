//! The figures as JSON and as a page.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Run;
use super::figures::{Figures, Rates};
use crate::faces::times::{VOICE_STAGES, summary};
use crate::report::{Page, Table, det, histogram};
use crate::stats::{FARS, Interval, Point};

/// The report. `accuracy`, `eer` and `tar_at_far` count what could not be compared as
/// not recognised; `compared` has the same without.
pub(super) fn json(run: &Run, figures: &Figures) -> Value {
    let accuracy = |of: &Rates| of.accuracy.map(|accuracy| accuracy.mean);
    let rates = &figures.rates;
    let mut thresholds = by_far(&rates.points, |at| f64::from(at.threshold));
    let best = rates.accuracy.map(|accuracy| accuracy.threshold);
    thresholds.insert("accuracy".into(), json!(best));
    let named = FARS.iter().zip(&figures.tar_intervals);
    let intervals: Map<String, Value> = named
        .map(|((name, _), found)| ((*name).to_owned(), interval(*found)))
        .collect();
    let failures = run.failures();
    let failures = failures.map(|(file, reason)| json!({ "file": file, "reason": reason }));
    json!({
        "accuracy": accuracy(rates),
        "eer": rates.eer,
        "tar_at_far": by_far(&rates.points, Point::tar),
        "thresholds": thresholds,
        "failures": failures.collect::<Vec<_>>(),
        "millis": summary(&run.times, VOICE_STAGES),
        "compared": {
            "accuracy": accuracy(&figures.compared),
            "eer": figures.compared.eer,
            "tar_at_far": by_far(&figures.compared.points, Point::tar),
        },
        "intervals": {
            "eer": interval(figures.eer_interval),
            "tar_at_far": intervals,
        },
        "counts": {
            "recordings": run.recordings.len(),
            "speakers": run.speakers(),
            "genuine": figures.scores.genuine(),
            "genuine_not_compared": figures.scores.lost(),
            "impostors": figures.scores.impostors(),
        },
        "model": run.model,
        "models": run.models,
    })
}

fn by_far(points: &[Option<Point>], take: impl Fn(&Point) -> f64) -> Map<String, Value> {
    let entry = |((name, _), point): (&(&str, f64), &Option<Point>)| {
        ((*name).to_owned(), json!(point.as_ref().map(&take)))
    };
    FARS.iter().zip(points).map(entry).collect()
}

fn interval(of: Option<Interval>) -> Value {
    json!(of.map(|Interval { low, high }| [low, high]))
}

/// The page beside the report.
pub(super) fn page(run: &Run, figures: &Figures, json: &Value) -> String {
    let mut page = Page::new("Voices told apart");
    page.text(&format!(
        "{} recordings of {} speakers, embedded by {} in the sealed worker's process, compared all \
         with all: {} genuine and {} impostor comparisons.",
        run.recordings.len(),
        run.speakers(),
        run.model,
        figures.scores.genuine(),
        figures.scores.impostors()
    ));
    page.text(&format!(
        "{} recordings gave no embedding. Their {} genuine comparisons count as not recognised in \
         the first figures; the second leave them out. Intervals draw speakers.",
        run.failures().count(),
        figures.scores.lost()
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
    let marks = named.filter_map(|((name, _), point)| Some((*name, point.as_ref()?.threshold)));
    page.figure(
        &histogram(
            &figures.scores.genuine_histogram(),
            figures.scores.impostor_histogram(),
            &marks.collect::<Vec<_>>(),
        ),
        "Cosines, each kind beside its own highest bin; lines: thresholds by their false match rate.",
    );
    times(&mut page, &json["millis"]);
    failures(&mut page, run);
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
    let (all, compared) = (&figures.rates, &figures.compared);
    let mut table = Table::new(&["", "all", "95 % interval", "those compared", "threshold"]);
    table.row([
        "accuracy, as many pairs of each kind".to_owned(),
        share(all.accuracy.map(|accuracy| accuracy.mean)),
        String::new(),
        share(compared.accuracy.map(|accuracy| accuracy.mean)),
        share(all.accuracy.map(|accuracy| f64::from(accuracy.threshold))),
    ]);
    table.row([
        "equal error rate".to_owned(),
        share(all.eer),
        between(figures.eer_interval),
        share(compared.eer),
        String::new(),
    ]);
    for (at, (name, _)) in FARS.iter().enumerate() {
        table.row([
            format!("true acceptance at {name}"),
            share(all.points[at].map(|point| point.tar())),
            between(figures.tar_intervals[at]),
            share(compared.points[at].map(|point| point.tar())),
            share(all.points[at].map(|point| f64::from(point.threshold))),
        ]);
    }
    page.heading("Rates");
    page.table(&table);
}

fn times(page: &mut Page, millis: &Value) {
    page.heading("Milliseconds");
    let mut table = Table::new(&["stage", "median", "95th percentile"]);
    for stage in VOICE_STAGES.into_iter().chain(["job"]) {
        let figure = |which: &str| match millis[stage][which].as_f64() {
            Some(millis) => format!("{millis:.2}"),
            None => "not measured".to_owned(),
        };
        table.row([stage.to_owned(), figure("median"), figure("p95")]);
    }
    page.table(&table);
    page.text("In the worker, at most four jobs at once; recordings as long as they are.");
}

fn failures(page: &mut Page, run: &Run) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, reason) in run.failures() {
        reasons.entry(reason).or_default().push(file);
    }
    page.heading("Failures to enrol");
    if reasons.is_empty() {
        return page.text("None.");
    }
    let mut table = Table::new(&["reason", "recordings", "files"]);
    for (reason, files) in reasons {
        table.row([reason.to_owned(), files.len().to_string(), files.join(", ")]);
    }
    page.table(&table);
}
