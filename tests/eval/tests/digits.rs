//! Recordings of six digits, through the real worker and the rule that serves.
//!
//! Needs REDOUBT_BIN_DIR, REDOUBT_MODELS_DIR and REDOUBT_DATA (`digits/SPEAKER/DIGIT_SPEAKER_N.wav`).

use std::path::PathBuf;

use redoubt_eval::digits::{Plan, evaluate};
use redoubt_eval::faces::Start;

const TEST: &str = "who_reads_what_is_asked_is_accepted_and_other_digits_are_not";

fn folder(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        println!("skipped: {TEST}: {variable} is not set");
    }
    found
}

/// Of speakers the head was trained on: this holds the counting and the rule together, not
/// what the head does with others.
#[test]
fn who_reads_what_is_asked_is_accepted_and_other_digits_are_not() {
    let (Some(programs), Some(models), Some(data)) = (
        folder("REDOUBT_BIN_DIR"),
        folder("REDOUBT_MODELS_DIR"),
        folder("REDOUBT_DATA"),
    ) else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let plan = Plan {
        root: data.join("digits"),
        trials: 10,
        seed: 1,
        report: out.path().join("digits.json"),
        start: Start {
            program: programs.join("redoubt-worker"),
            models,
            mirrored: false,
        },
    };
    let report = evaluate(&plan).unwrap();
    let hits = |found: &serde_json::Value| (found["hits"].as_u64(), found["of"].as_u64());
    assert_eq!(
        hits(&report["replay_accepted"]["all_other"]),
        (Some(0), Some(40))
    );
    let least = |key: &str, share: f64| {
        let rate = report[key]["rate"].as_f64().unwrap();
        assert!(rate >= share, "{key}: {report:#}");
    };
    least("words_found", 0.95);
    least("words_right", 0.95);
    least("genuine_accepted", 0.85);
    let genuine = report["genuine_accepted"]["hits"].as_u64().unwrap();
    let two = report["replay_accepted"]["two_voices"]["hits"]
        .as_u64()
        .unwrap();
    assert!(two < genuine, "{report:#}");
    assert_eq!(report["speakers"].as_object().unwrap().len(), 4);
    let written = std::fs::read_to_string(&plan.report).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(
        hits(&written["genuine_accepted"]),
        (Some(genuine), Some(40))
    );
    let nobody = Plan {
        root: out.path().to_owned(),
        ..plan
    };
    let refused = evaluate(&nobody).unwrap_err().to_string();
    assert!(refused.contains("DIGIT_SPEAKER_N.wav"), "{refused}");
}
