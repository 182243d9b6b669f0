//! How often recorded answers to challenges are judged wrongly, through the sealed worker
//! and the enclave's own rules: BPCER and APCER (ISO/IEC 30107-3).
//!
//! A folder for each recording holds its frames, in the order of their names, and
//! `actions.txt`: the moves that were asked for, as challenges name them. The part of a
//! folder's name before the first `_` is the kind of attack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use redoubt_enclave::biometrics::challenge;
use redoubt_enclave::core::Move;
use redoubt_enclave::worker_link::WorkerError;
use redoubt_enclave::worker_link::manifest::Manifest;
use redoubt_shared::limits::{FRAMES_MAX, FRAMES_MIN};
use serde_json::{Value, json};

use crate::faces::tree::images;
use crate::faces::{Start, Worker};
use crate::stats::clopper_pearson;

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    /// Recordings of people who answer.
    pub people: PathBuf,
    /// Recordings of attacks.
    pub attacks: Option<PathBuf>,
    /// Where the report goes.
    pub report: PathBuf,
    /// How the worker is started.
    pub start: Start,
}

/// One recording.
struct Recording {
    name: String,
    frames: Vec<PathBuf>,
}

/// Recordings by name, with the lapse of those that are no answer.
type Judged = BTreeMap<String, Option<String>>;

/// Measures, and writes and returns the report.
pub fn evaluate(plan: &Plan) -> Result<Value> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (people, attacks) = runtime.block_on(async {
        let manifest = Manifest::built_in();
        let worker = Worker::start(&plan.start, &manifest).await?;
        let people = all(&worker, &manifest, &plan.people).await?;
        let attacks = match &plan.attacks {
            Some(folder) => Some(all(&worker, &manifest, folder).await?),
            None => None,
        };
        anyhow::Ok((people, attacks))
    })?;
    let report = report(&people, attacks.as_ref());
    std::fs::write(&plan.report, format!("{report:#}\n"))
        .with_context(|| plan.report.display().to_string())?;
    Ok(report)
}

async fn all(worker: &Worker, manifest: &Manifest, root: &Path) -> Result<Judged> {
    let mut judged = Judged::new();
    for recording in recordings(root)? {
        let outcome = one(worker, manifest, root, &recording).await;
        let outcome = outcome.with_context(|| recording.name.clone())?;
        judged.insert(recording.name, outcome);
    }
    Ok(judged)
}

fn recordings(root: &Path) -> Result<Vec<Recording>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for image in images(root)? {
        let name = image.name.split('/').next().unwrap_or_default();
        found.entry(name.to_owned()).or_default().push(image.path);
    }
    let recording = |(name, frames)| Recording { name, frames };
    Ok(found.into_iter().map(recording).collect())
}

/// What is wrong with a recording, or nothing.
async fn one(
    worker: &Worker,
    manifest: &Manifest,
    root: &Path,
    recording: &Recording,
) -> Result<Option<String>> {
    let count = recording.frames.len();
    ensure!(
        (FRAMES_MIN..=FRAMES_MAX).contains(&count),
        "{count} frames; a challenge is answered with {FRAMES_MIN} to {FRAMES_MAX}"
    );
    let asked = asked(&root.join(&recording.name).join("actions.txt"))?;
    let read = recording.frames.iter().map(std::fs::read);
    let frames = read.collect::<Result<Vec<_>, _>>()?;
    let measured = match worker.frames(frames).await {
        Ok(measured) => measured,
        Err(WorkerError::FrameRefused(frame, why)) => {
            return Ok(Some(format!("frame {}: {why:?}", frame + 1)));
        }
        Err(error) => return Err(error.into()),
    };
    let space = manifest.spaces().first().context("no space for faces")?;
    let Some(compared) = challenge::best(&measured) else {
        return Ok(Some("no frame is good enough".to_owned()));
    };
    let judged = challenge::judge(&asked, &measured, compared, space);
    Ok(judged.err().map(|lapse| format!("{lapse:?}")))
}

fn asked(path: &Path) -> Result<Vec<Move>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let all = [Move::TurnLeft, Move::TurnRight, Move::LookUp, Move::Blink];
    let known = |word: &str| match all.into_iter().find(|one| one.name() == word) {
        Some(found) => Ok(found),
        None => bail!(
            "{}: {word:?} is no move; use turn_left, turn_right, look_up, blink",
            path.display()
        ),
    };
    text.split_whitespace().map(known).collect()
}

fn report(people: &Judged, attacks: Option<&Judged>) -> Value {
    let rate = |wrong: usize, of: usize| {
        let interval = clopper_pearson(wrong as u64, of as u64);
        json!({
            "rate": wrong as f64 / of as f64,
            "interval": [interval.low, interval.high],
            "wrong": wrong,
            "of": of,
        })
    };
    let refused = people.values().filter(|lapse| lapse.is_some()).count();
    let apcer = attacks.map(|attacks| {
        let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (name, lapse) in attacks {
            let kind = name.split('_').next().unwrap_or_default();
            let (passed, all) = kinds.entry(kind).or_default();
            *passed += usize::from(lapse.is_none());
            *all += 1;
        }
        let kinds = kinds.into_iter();
        kinds
            .map(|(kind, (passed, all))| (kind, rate(passed, all)))
            .collect::<BTreeMap<_, _>>()
    });
    json!({
        "bpcer": rate(refused, people.len()),
        "apcer": apcer,
        "people": people,
        "attacks": attacks,
        "note": "frames alone: neither the age of a challenge nor earlier answers are looked at; \
                 what was not presented was not measured",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_people_refused_and_of_attacks_passed_by_kind() {
        let judged = |all: &[(&str, Option<&str>)]| -> Judged {
            let one = |(name, lapse): &(&str, Option<&str>)| {
                ((*name).to_owned(), lapse.map(str::to_owned))
            };
            all.iter().map(one).collect()
        };
        let people = judged(&[("a", None), ("b", Some("Jumped")), ("c", None), ("d", None)]);
        let attacks = judged(&[
            ("mask_1", None),
            ("mask_2", Some("Jumped")),
            ("print_1", Some("x")),
        ]);
        let report = report(&people, Some(&attacks));
        assert_eq!(report["bpcer"]["rate"], 0.25);
        assert_eq!(report["apcer"]["mask"]["rate"], 0.5);
        assert_eq!(report["apcer"]["print"]["wrong"], 0);
        assert!(super::report(&people, None)["apcer"].is_null());
    }

    #[test]
    fn moves_are_read_by_their_names_and_others_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions.txt");
        std::fs::write(&path, "turn_left blink\nlook_up\n").unwrap();
        let expected = [Move::TurnLeft, Move::Blink, Move::LookUp];
        assert_eq!(asked(&path).unwrap(), expected);
        std::fs::write(&path, "nod").unwrap();
        assert!(asked(&path).unwrap_err().to_string().contains("nod"));
    }
}
