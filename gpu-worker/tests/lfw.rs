//! The pipeline on photographs from the wild: how well it tells people apart,
//! what it refuses, and how long each stage takes.
//!
//! Needs REDOUBT_MODELS_DIR (the fetched models) and REDOUBT_DATA (a folder with
//! `lfw-fold1`: a folder of images per person, and `pairs.txt`).

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{cosine, far, folder};
use redoubt_shared::worker::{FaceQuality, FaceSample};
use redoubt_worker::pipeline::{Pipeline, StageTimes};

/// Cosine of the manifest at one false match in 10,000.
const THRESHOLD: f32 = 0.415;

struct Run {
    samples: HashMap<String, FaceSample>,
    refused: BTreeMap<String, Vec<String>>,
    times: Vec<StageTimes>,
}

fn run(pipeline: &mut Pipeline, images: &[(String, PathBuf)]) -> Run {
    let mut run = Run {
        samples: HashMap::new(),
        refused: BTreeMap::new(),
        times: Vec::new(),
    };
    for (name, path) in images {
        let (outcome, times) = pipeline.face(&std::fs::read(path).unwrap(), true, far());
        match outcome {
            Ok(sample) => {
                run.samples.insert(name.clone(), sample);
                run.times.push(times);
            }
            Err(refusal) => run
                .refused
                .entry(format!("{refusal:?}"))
                .or_default()
                .push(name.clone()),
        }
    }
    run
}

fn images(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for person in std::fs::read_dir(root).unwrap().flatten() {
        if person.path().is_dir() {
            for image in std::fs::read_dir(person.path()).unwrap().flatten() {
                let name = image
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push((name, image.path()));
            }
        }
    }
    found.sort();
    found
}

/// Time this thread spent computing, whatever else the machine did.
fn computed() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = text.split_whitespace().next().unwrap();
    Duration::from_nanos(nanos.parse().unwrap())
}

/// `(image, image, same person)` for each line of LFW's `pairs.txt`.
fn pairs(root: &Path) -> Vec<(String, String, bool)> {
    let text = std::fs::read_to_string(root.join("pairs.txt")).unwrap();
    let name =
        |person: &str, number: &str| format!("{person}_{:04}", number.parse::<u32>().unwrap());
    let parse = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [person, a, b] => Some((name(person, a), name(person, b), true)),
        [one, a, two, b] => Some((name(one, a), name(two, b), false)),
        _ => None,
    };
    text.lines().filter_map(parse).collect()
}

fn percentile(values: &mut [f32], part: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    values[((values.len() - 1) as f32 * part) as usize]
}

fn report_quality(samples: &HashMap<String, FaceSample>) {
    type Measure = fn(&FaceQuality) -> f32;
    let measures: [(&str, Measure); 6] = [
        ("detection", |q| q.detection),
        ("eye_distance", |q| q.eye_distance),
        ("brightness", |q| q.brightness),
        ("sharpness", |q| q.sharpness),
        ("embedding_norm", |q| q.embedding_norm),
        ("score", |q| q.score),
    ];
    for (name, measure) in measures {
        let mut values: Vec<f32> = samples.values().map(|s| measure(&s.quality)).collect();
        let at = [0.0, 0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0]
            .map(|part| format!("{:.2}", percentile(&mut values, part)));
        println!("{name}: min .1% 1% 5% 50% 95% 99% max = {}", at.join(" "));
    }
}

/// Everybody on these photographs lived: what a limit refuses, it refuses wrongly.
/// OpenCV's detector and resampling with the same network under Python say 9.9 % and 21.4 %.
fn report_liveness(samples: &HashMap<String, FaceSample>) {
    let live: Vec<f32> = samples.values().filter_map(|s| s.liveness).collect();
    assert_eq!(live.len(), samples.len());
    for (limit, expected) in [(0.5, 0.099), (0.9, 0.214)] {
        let refused = live.iter().filter(|live| **live < limit).count();
        let rate = refused as f32 / live.len() as f32;
        println!(
            "not live at {limit}: {refused} of {}, {rate:.4}",
            live.len()
        );
        assert!((rate - expected).abs() < 0.025, "{rate}");
    }
}

fn report_times(times: &[StageTimes]) {
    type Stage = fn(&StageTimes) -> Duration;
    let stages: [(&str, Stage); 6] = [
        ("decode", |t| t.decode),
        ("detect", |t| t.detect),
        ("align", |t| t.align),
        ("liveness", |t| t.liveness),
        ("embed", |t| t.embed),
        ("job", |t| {
            t.decode + t.detect + t.align + t.liveness + t.embed
        }),
    ];
    for (name, stage) in stages {
        let mut millis: Vec<f32> = times.iter().map(|t| stage(t).as_secs_f32() * 1e3).collect();
        let [low, median, high] = [0.05, 0.5, 0.95].map(|part| percentile(&mut millis, part));
        println!("{name}: 5% {low:.2} ms, median {median:.2} ms, 95% {high:.2} ms");
    }
}

/// Best accuracy over thresholds, its threshold, and the equal error rate.
fn separation(genuine: &[f32], impostor: &[f32]) -> (f32, f32, f32) {
    let part = |scores: &[f32], passes: &dyn Fn(f32) -> bool| {
        scores.iter().filter(|s| passes(**s)).count() as f32 / scores.len() as f32
    };
    let mut best = (0.0, 0.0);
    let mut equal = (f32::MAX, 1.0);
    for threshold in genuine.iter().chain(impostor) {
        let accepted = part(genuine, &|s| s >= *threshold);
        let matched = part(impostor, &|s| s >= *threshold);
        let accuracy = (accepted + 1.0 - matched) / 2.0;
        if accuracy > best.0 {
            best = (accuracy, *threshold);
        }
        let gap = (matched - (1.0 - accepted)).abs();
        if gap < equal.0 {
            equal = (gap, (matched + 1.0 - accepted) / 2.0);
        }
    }
    (best.0, best.1, equal.1)
}

#[test]
fn photographs_from_the_wild_pass_the_gate_and_people_are_told_apart() {
    let test = "photographs_from_the_wild_pass_the_gate_and_people_are_told_apart";
    let (Some(models), Some(data)) = (
        folder("REDOUBT_MODELS_DIR", test),
        folder("REDOUBT_DATA", test),
    ) else {
        return;
    };
    let root = data.join("lfw-fold1");
    let (_environment, mut pipeline) = common::pipeline(&models);
    let images = images(&root);
    let before = computed();
    let run = run(&mut pipeline, &images);
    let each = (computed() - before).as_secs_f32() * 1e3 / images.len() as f32;
    println!("computing time per image on one thread: {each:.2} ms");
    let (mut genuine, mut impostor, mut lost) = (Vec::new(), Vec::new(), 0);
    for (a, b, same) in pairs(&root) {
        match (run.samples.get(&a), run.samples.get(&b)) {
            (Some(a), Some(b)) if same => genuine.push(cosine(a, b)),
            (Some(a), Some(b)) => impostor.push(cosine(a, b)),
            _ => lost += 1,
        }
    }
    let (accuracy, at, equal_error) = separation(&genuine, &impostor);
    let accepted = genuine.iter().filter(|s| **s >= THRESHOLD).count();
    let matched = impostor.iter().filter(|s| **s >= THRESHOLD).count();
    let refused: usize = run.refused.values().map(Vec::len).sum();
    println!(
        "images {}, refused {refused}: {:?}",
        images.len(),
        run.refused
    );
    println!(
        "pairs {} + {}, lost {lost}: accuracy {accuracy:.4} at {at:.3}, equal error {equal_error:.4}; \
         at {THRESHOLD}: {accepted} genuine accepted, {matched} impostors matched",
        genuine.len(),
        impostor.len()
    );
    report_quality(&run.samples);
    report_liveness(&run.samples);
    report_times(&run.times);
    assert!(accuracy >= 0.985, "accuracy {accuracy}");
    assert!(accepted as f32 >= 0.95 * genuine.len() as f32, "{accepted}");
    assert_eq!(matched, 0);
    let gate = |name: &&String| !["ManyFaces", "NoFace"].contains(&name.as_str());
    let by_quality: usize = run
        .refused
        .iter()
        .filter(|(name, _)| gate(name))
        .map(|(_, names)| names.len())
        .sum();
    assert!(by_quality * 100 <= images.len(), "{:?}", run.refused);
}
