//! Recorded answers to challenges, through the real worker.
//!
//! Needs REDOUBT_BIN_DIR, REDOUBT_MODELS_DIR and REDOUBT_MEDIA_DIR (obama3.jpg, biden.jpg).

use std::path::{Path, PathBuf};

use redoubt_bank::moving::{Camera, Portrait};
use redoubt_eval::challenges::{Plan, evaluate};
use redoubt_eval::faces::Start;

const TEST: &str = "people_who_do_what_is_asked_and_what_does_not_are_counted_apart";

fn folder(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        println!("skipped: {TEST}: {variable} is not set");
    }
    found
}

/// A folder with the frames of a film and the moves that were asked for.
fn recorded(root: &Path, name: &str, frames: &[Vec<u8>], asked: &[&str]) {
    let folder = root.join(name);
    std::fs::create_dir(&folder).unwrap();
    for (at, frame) in frames.iter().enumerate() {
        std::fs::write(folder.join(format!("{at:02}.jpg")), frame).unwrap();
    }
    std::fs::write(folder.join("actions.txt"), asked.join(" ")).unwrap();
}

#[test]
fn people_who_do_what_is_asked_and_what_does_not_are_counted_apart() {
    let (Some(programs), Some(models), Some(media)) = (
        folder("REDOUBT_BIN_DIR"),
        folder("REDOUBT_MODELS_DIR"),
        folder("REDOUBT_MEDIA_DIR"),
    ) else {
        return;
    };
    let [people, attacks, out] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let photograph = |name: &str| std::fs::read(media.join(name)).unwrap();
    let person = Portrait::person(&photograph("obama3.jpg")).unwrap();
    let other = Portrait::other(&photograph("biden.jpg")).unwrap();
    let asked = ["turn_left", "blink", "look_up"];
    let film = |sitting, moves: &[&str]| Camera::new(sitting).film(&person, moves).unwrap();
    recorded(people.path(), "genuine", &film(1, &asked), &asked);
    let wrong = ["look_up", "blink", "turn_right"];
    recorded(attacks.path(), "order_1", &film(2, &wrong), &asked);
    let mut spliced = film(3, &asked);
    spliced[4] = Camera::new(3).taken(&other, Default::default()).unwrap();
    recorded(attacks.path(), "splice_1", &spliced, &asked);
    recorded(attacks.path(), "cut_1", &film(4, &asked), &asked);
    let plan = Plan {
        people: people.path().to_owned(),
        attacks: Some(attacks.path().to_owned()),
        report: out.path().join("challenges.json"),
        start: Start {
            program: programs.join("redoubt-worker"),
            models,
            mirrored: false,
        },
    };
    let report = evaluate(&plan).unwrap();
    assert_eq!(report["bpcer"]["wrong"], 0, "{report:#}");
    for (kind, passed) in [("order", 0), ("splice", 0), ("cut", 1)] {
        assert_eq!(report["apcer"][kind]["wrong"], passed, "{report:#}");
        assert_eq!(report["apcer"][kind]["of"], 1);
    }
    let empty = tempfile::tempdir().unwrap();
    let nobody = Plan {
        people: empty.path().to_owned(),
        ..plan
    };
    let refused = evaluate(&nobody).unwrap_err().to_string();
    assert!(refused.contains("no folders of images"), "{refused}");
}
