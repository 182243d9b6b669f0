//! A calibration table for the model manifest: the cosine to reach at each false-match
//! rate, and how sure that is.

use std::fmt::Write;

use super::Run;
use crate::stats::{FARS, Interval, Replicates, Scores, clopper_pearson};

/// One row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The rate.
    pub rate: f64,
    /// Its name in the manifest.
    pub name: &'static str,
    /// The cosine to reach.
    pub cosine: f32,
    /// The rate's 95 % interval at that cosine; none where it was not measured.
    pub interval: Option<Interval>,
}

/// Impostor comparisons that must stand behind a rate.
const ENOUGH: f64 = 10.0;

/// Rates that at least ten comparisons stand behind, and one more by going on in a
/// straight line of the rate's logarithm, which errs on the strict side: impostor
/// scores thin out faster than that.
pub fn table(scores: &Scores) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, rate) in FARS {
        let enough = rate * scores.impostors() as f64 >= ENOUGH;
        let Some(point) = scores.at_far(rate).filter(|_| enough) else {
            rows.extend(extended(&rows, name, rate));
            break;
        };
        // Up, so that the written cosine is no looser than the measured one.
        let cosine = (point.threshold * 1e4).ceil() / 1e4;
        let matched = (point.fmr * scores.impostors() as f64).round() as u64;
        let exact = clopper_pearson(matched, scores.impostors());
        let drawn = scores.fmr_interval(cosine, Replicates::default());
        let drawn = drawn.unwrap_or(exact);
        rows.push(Row {
            rate,
            name,
            cosine,
            interval: Some(Interval {
                low: exact.low.min(drawn.low).min(rate),
                high: exact.high.max(drawn.high).max(rate),
            }),
        });
    }
    rows
}

fn extended(rows: &[Row], name: &'static str, rate: f64) -> Option<Row> {
    let [.., one, two] = rows else { return None };
    let slope = (two.cosine - one.cosine) / (two.rate / one.rate).ln() as f32;
    let cosine = two.cosine + slope * (rate / two.rate).ln() as f32;
    Some(Row {
        rate,
        name,
        cosine: (cosine * 1e4).ceil() / 1e4,
        interval: None,
    })
}

/// The table as the manifest has it, below `[[model]]` or `[[fusion]]`.
pub fn text(run: &Run, scores: &Scores, rows: &[Row], kind: &str) -> String {
    let mut out = String::new();
    let persons = run.images.last().map_or(0, |image| image.person + 1);
    let _ = writeln!(
        out,
        "# {}: {} impostor comparisons of {} images of {persons} persons.\n\
         # Intervals of the rate hold 95 %: the wider of Clopper and Pearson's and of one\n\
         # that draws persons. A row without one was not measured: the line through the two\n\
         # before it goes on.",
        run.space.id,
        scores.impostors(),
        run.images.len(),
    );
    for row in rows {
        let _ = write!(
            out,
            "\n[[{kind}.calibration]]\nfalse_match_rate = {}\ncosine = {:.4}\n",
            row.name, row.cosine
        );
        if let Some(Interval { low, high }) = row.interval {
            let _ = writeln!(out, "interval = [{low:.2e}, {high:.2e}]");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Trial;

    #[test]
    fn rates_with_few_comparisons_are_reached_by_a_line_once_and_no_further() {
        let trial = |score: f32, one: u32, other: u32| Trial { score, one, other };
        let impostor = (0..20_000u32).map(|n| {
            let rank = f64::from(n + 1) / 20_000.0;
            trial(0.2 - 0.1 * rank.log10() as f32, n % 50, 50 + n % 37)
        });
        let genuine = (0..100).map(|n| trial(0.9, n % 50, n % 50)).collect();
        let rows = table(&Scores::new(genuine, impostor.collect()));
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names, ["1e-2", "1e-3", "1e-4"]);
        for (row, wanted) in rows.iter().zip([0.4, 0.5, 0.6]) {
            assert!((row.cosine - wanted).abs() < 0.005, "{row:?}");
        }
        let measured: Vec<bool> = rows.iter().map(|row| row.interval.is_some()).collect();
        assert_eq!(measured, [true, true, false]);
        for row in &rows[..2] {
            let Interval { low, high } = row.interval.unwrap();
            assert!(low < row.rate && row.rate < high);
        }
    }

    #[test]
    fn nothing_is_made_of_too_few() {
        let trial = |score| Trial {
            score,
            one: 0,
            other: 1,
        };
        let few = Scores::new(vec![trial(0.9)], vec![trial(0.1); 20]);
        assert_eq!(table(&few), []);
    }
}
