//! How often a passive liveness is wrong about people and about attacks, through the
//! sealed worker: BPCER and APCER (ISO/IEC 30107-3) at several limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use redoubt_enclave::worker_link::WorkerError;
use redoubt_enclave::worker_link::manifest::Manifest;
use serde_json::{Value, json};

use crate::faces::embed::{Progress, UNDERWAY};
use crate::faces::tree::{Image, images};
use crate::faces::{Start, Worker};
use crate::report::{Page, Table};
use crate::stats::clopper_pearson;

/// Limits that are reported, in percent.
const LIMITS: [u32; 7] = [10, 30, 50, 70, 80, 90, 95];

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    /// A folder of photographs for each person: bona fide presentations.
    pub people: PathBuf,
    /// A folder of photographs for each kind of attack: prints, screens, masks.
    pub attacks: Option<PathBuf>,
    /// Where the report goes; a page goes beside it.
    pub report: PathBuf,
    /// How the worker is started.
    pub start: Start,
}

/// What came of the pictures of one folder of folders.
#[derive(Debug, Default)]
struct Seen {
    /// Probability of a live face, by kind: the folder's name.
    live: BTreeMap<String, Vec<f32>>,
    /// File and reason of those that gave none.
    failures: Vec<(String, String)>,
}

impl Seen {
    fn all(&self) -> impl Iterator<Item = f32> {
        self.live.values().flatten().copied()
    }
}

/// Measures, and writes report and page; where the page is.
pub fn evaluate(plan: &Plan) -> Result<PathBuf> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (people, attacks) = runtime.block_on(async {
        let worker = Worker::start(&plan.start, &Manifest::built_in()).await?;
        let people = look(&worker, &plan.people).await?;
        let attacks = match &plan.attacks {
            Some(folder) => Some(look(&worker, folder).await?),
            None => None,
        };
        anyhow::Ok((people, attacks))
    })?;
    let json = report(&people, attacks.as_ref());
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| path.display().to_string())
    };
    write(&plan.report, format!("{json:#}\n"))?;
    let beside = plan.report.with_extension("html");
    write(&beside, page(&people, attacks.as_ref()))?;
    Ok(beside)
}

async fn look(worker: &Worker, root: &Path) -> Result<Seen> {
    let images = images(root)?;
    let jobs = images
        .iter()
        .map(|image| async move { (image, one(worker, image).await) });
    let mut answers = stream::iter(jobs).buffered(UNDERWAY);
    let mut progress = Progress::new(images.len());
    let mut seen = Seen::default();
    while let Some((image, outcome)) = answers.next().await {
        let kind = image.name.split('/').next().unwrap_or_default();
        match outcome.with_context(|| image.name.clone())? {
            Ok(live) => seen.live.entry(kind.to_owned()).or_default().push(live),
            Err(reason) => seen.failures.push((image.name.clone(), reason)),
        }
        progress.step();
    }
    Ok(seen)
}

async fn one(worker: &Worker, image: &Image) -> Result<Result<f32, String>> {
    match worker.live(std::fs::read(&image.path)?).await {
        Ok(sample) => Ok(Ok(sample.liveness.context("no liveness was measured")?)),
        Err(WorkerError::Refused(refusal)) => Ok(Err(format!("{refusal:?}"))),
        Err(error) => Err(error.into()),
    }
}

/// How many of these are wrong at a limit, and the rate with its 95 % interval.
fn rate(live: impl Iterator<Item = f32>, wrong: impl Fn(f32) -> bool) -> Value {
    let (mut hits, mut all) = (0, 0);
    for live in live {
        all += 1;
        hits += u64::from(wrong(live));
    }
    if all == 0 {
        return Value::Null;
    }
    let interval = clopper_pearson(hits, all);
    json!({
        "rate": hits as f64 / all as f64,
        "interval": [interval.low, interval.high],
        "wrong": hits,
        "of": all,
    })
}

fn at(percent: u32) -> impl Fn(f32) -> bool {
    move |live| live * 100.0 >= percent as f32
}

fn report(people: &Seen, attacks: Option<&Seen>) -> Value {
    let failures = |seen: &Seen| -> Vec<Value> {
        let one = |(file, reason): &(String, String)| json!({ "file": file, "reason": reason });
        seen.failures.iter().map(one).collect()
    };
    let limits = LIMITS.map(|percent| {
        let passes = at(percent);
        // ISO/IEC 30107-3 reports the worst kind of attack, so each kind stands alone.
        let by_kind = attacks.map(|attacks| {
            let kind = |(kind, live): (&String, &Vec<f32>)| {
                (kind.clone(), rate(live.iter().copied(), &passes))
            };
            attacks.live.iter().map(kind).collect::<BTreeMap<_, _>>()
        });
        json!({
            "percent": percent,
            "bpcer": rate(people.all(), |live| !passes(live)),
            "apcer": by_kind,
        })
    });
    json!({
        "limits": limits,
        "failures": {
            "people": failures(people),
            "attacks": attacks.map(failures),
        },
        "note": match attacks {
            Some(_) => "apcer is by kind of attack; what was not presented was not measured",
            None => "no attacks were given: nothing is said about what an attack would do",
        },
    })
}

fn page(people: &Seen, attacks: Option<&Seen>) -> String {
    let mut page = Page::new("Passive liveness");
    page.text(&format!(
        "{} photographs of people, {} of attacks; {} gave no face.",
        people.all().count(),
        attacks.map_or(0, |attacks| attacks.all().count()),
        people.failures.len() + attacks.map_or(0, |attacks| attacks.failures.len()),
    ));
    let mut table = Table::new(&["limit", "people refused (BPCER)", "attacks passed (APCER)"]);
    let said = |value: &Value| match value["rate"].as_f64() {
        Some(rate) => format!(
            "{:.2} % ({} of {})",
            rate * 100.0,
            value["wrong"],
            value["of"]
        ),
        None => "not measured".to_owned(),
    };
    for percent in LIMITS {
        let passes = at(percent);
        let bpcer = rate(people.all(), |live| !passes(live));
        let kinds = attacks.into_iter().flat_map(|attacks| &attacks.live);
        let kinds: Vec<String> = kinds
            .map(|(kind, live)| format!("{kind}: {}", said(&rate(live.iter().copied(), &passes))))
            .collect();
        let apcer = match kinds.is_empty() {
            true => "not measured".to_owned(),
            false => kinds.join("; "),
        };
        table.row([format!("{percent} %"), said(&bpcer), apcer]);
    }
    page.table(&table);
    page.heading("Probability of a live face");
    let mut table = Table::new(&["", "1 %", "5 %", "10 %", "25 %", "50 %", "75 %"]);
    table.row(quantiles("people", people));
    if let Some(attacks) = attacks {
        table.row(quantiles("attacks", attacks));
    }
    page.table(&table);
    page.html()
}

fn quantiles(name: &str, seen: &Seen) -> [String; 7] {
    let mut live: Vec<f32> = seen.all().collect();
    live.sort_by(f32::total_cmp);
    let at = |percent: usize| match live.get(live.len() * percent / 100) {
        Some(live) => format!("{live:.3}"),
        None => String::new(),
    };
    let [a, b, c, d, e, f] = [1, 5, 10, 25, 50, 75].map(at);
    [name.to_owned(), a, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kinds: &[(&str, &[f32])]) -> Seen {
        let kind = |(name, live): &(&str, &[f32])| ((*name).to_owned(), live.to_vec());
        Seen {
            live: kinds.iter().map(kind).collect(),
            failures: vec![("x/1.jpg".into(), "NoFace".into())],
        }
    }

    #[test]
    fn people_refused_and_attacks_passed_are_counted_by_kind() {
        let people = seen(&[("ann", &[0.99, 0.6]), ("bob", &[0.2, 0.9])]);
        let attacks = seen(&[("print", &[0.1, 0.95]), ("screen", &[0.05])]);
        let report = report(&people, Some(&attacks));
        let at_90 = &report["limits"][5];
        assert_eq!(at_90["percent"], 90);
        assert_eq!(at_90["bpcer"]["wrong"], 2);
        assert_eq!(at_90["bpcer"]["rate"], 0.5);
        assert_eq!(at_90["apcer"]["print"]["rate"], 0.5);
        assert_eq!(at_90["apcer"]["screen"]["wrong"], 0);
        assert_eq!(report["failures"]["people"][0]["reason"], "NoFace");
    }

    #[test]
    fn without_attacks_nothing_is_said_of_them() {
        let report = report(&seen(&[("ann", &[0.99])]), None);
        assert_eq!(report["limits"][0]["apcer"], Value::Null);
        assert!(report["note"].as_str().unwrap().contains("nothing is said"));
        assert!(page(&seen(&[("ann", &[0.99])]), None).contains("not measured"));
    }
}
