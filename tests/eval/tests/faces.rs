//! A small evaluation from folder to page, through the real worker.
//!
//! Needs REDOUBT_BIN_DIR, REDOUBT_MODELS_DIR and REDOUBT_DATA (a folder with
//! `lfw-fold1`).

use std::path::{Path, PathBuf};

use redoubt_eval::faces::{Plan, Start, evaluate};
use serde_json::Value;

/// Persons with several photographs, and how many of each are taken.
const PERSONS: usize = 30;
const EACH: usize = 3;

fn folder(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        println!("skipped: a_small_evaluation: {variable} is not set");
    }
    found
}

/// A few persons' photographs, one of them spoiled, and a list of pairs; the spoiled
/// one's name.
fn copy(from: &Path, to: &Path) -> String {
    let mut folders: Vec<_> = std::fs::read_dir(from).unwrap().flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let (mut persons, mut spoiled, mut pairs) = (0, None, String::new());
    for folder in folders.iter().filter(|entry| entry.path().is_dir()) {
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .collect();
        if files.len() < EACH || persons == PERSONS {
            continue;
        }
        files.sort_by_key(std::fs::DirEntry::file_name);
        let owner = folder.file_name().into_string().unwrap();
        std::fs::create_dir(to.join(&owner)).unwrap();
        for file in &files[..EACH] {
            let target = to.join(&owner).join(file.file_name());
            std::fs::copy(file.path(), &target).unwrap();
            if spoiled.is_none() {
                std::fs::write(&target, b"no picture").unwrap();
                spoiled = Some(format!("{owner}/{}", file.file_name().display()));
            }
        }
        let number = |at: usize| {
            let path = files[at].path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            stem.rsplit_once('_').unwrap().1.to_owned()
        };
        let (a, b, c) = (number(0), number(1), number(2));
        pairs += &format!("{owner} {a} {b}\n{owner} {b} {c}\n");
        persons += 1;
    }
    std::fs::write(to.join("pairs.txt"), pairs).unwrap();
    spoiled.unwrap()
}

fn report(plan: &Plan) -> Value {
    let page = std::fs::read_to_string(evaluate(plan).unwrap()).unwrap();
    assert!(page.contains("<svg") && !page.contains("NaN"));
    serde_json::from_slice(&std::fs::read(&plan.report).unwrap()).unwrap()
}

#[test]
fn a_small_evaluation_counts_what_failed_and_goes_on_where_it_was() {
    let (Some(programs), Some(models), Some(data)) = (
        folder("REDOUBT_BIN_DIR"),
        folder("REDOUBT_MODELS_DIR"),
        folder("REDOUBT_DATA"),
    ) else {
        return;
    };
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spoiled = copy(&data.join("lfw-fold1"), root.path());
    let plan = Plan {
        root: root.path().to_owned(),
        pairs: None,
        report: out.path().join("faces.json"),
        space: None,
        start: Start {
            program: programs.join("redoubt-worker"),
            models,
            mirrored: false,
        },
    };
    let first = report(&plan);
    let failures = first["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["file"], spoiled.as_str());
    assert_eq!(failures[0]["reason"], "NotAnImage");
    let counts = &first["counts"];
    assert_eq!(counts["genuine"], PERSONS * 3);
    assert_eq!(counts["genuine_not_compared"], 2);
    assert_eq!(counts["pairs_not_compared"], 1);
    let at = |of: &Value| of["tar_at_far"]["1e-2"].as_f64().unwrap();
    let lost = at(&first["compared"]) - at(&first);
    assert!((lost - 2.0 / 90.0).abs() < 1e-3, "{lost}");
    assert!(at(&first["compared"]) > 0.97, "{first}");
    assert_eq!(
        first["tar_at_far"]["1e-5"],
        Value::Null,
        "3828 pairs cannot tell"
    );
    assert!(first["millis"]["embed"]["median"].as_f64().unwrap() > 0.0);

    // A worker that cannot load its models: every answer comes from before.
    let lame = Plan {
        start: Start {
            models: out.path().to_owned(),
            ..plan.start.clone()
        },
        ..plan
    };
    let second = report(&lame);
    assert_eq!(first, second);
}
