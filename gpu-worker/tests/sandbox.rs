//! The sealed process tries to break out, and cannot.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Outcome {
    attempt: String,
    thread: String,
    sealed: bool,
    errno: i32,
    refused: bool,
}

fn selftest() -> Vec<Outcome> {
    let output = Command::new(env!("CARGO_BIN_EXE_redoubt-worker"))
        .arg("--sandbox-selftest")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_way_out_is_refused_on_every_thread_once_sealed() {
    let outcomes = selftest();
    let mut by_thread: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.sealed) {
        assert!(outcome.refused, "{outcome:?}");
        by_thread
            .entry(&outcome.thread)
            .or_default()
            .push(&outcome.attempt);
    }
    assert_eq!(
        by_thread.keys().copied().collect::<Vec<_>>(),
        ["job", "main"]
    );
    for attempts in by_thread.values() {
        for required in [
            "open_a_file",
            "create_a_file",
            "open_an_internet_socket",
            "open_a_local_socket",
            "connect",
            "execute_a_program",
            "fork",
            "start_a_thread_or_process",
            "trace_a_process",
            "make_memory_executable",
            "write_to_another_descriptor",
        ] {
            assert!(attempts.contains(&required), "{required} was not tried");
        }
    }
    assert!(!std::path::Path::new("/tmp/redoubt-worker-must-not-write-here").exists());
}

/// Without this, a self-test whose attempts are wrong in themselves would pass.
#[test]
fn the_same_attempts_get_past_the_door_before_sealing() {
    let outcomes = selftest();
    let open: Vec<_> = outcomes.iter().filter(|outcome| !outcome.sealed).collect();
    let through = |name: &str| {
        let outcome = open.iter().find(|outcome| outcome.attempt == name).unwrap();
        outcome.errno == 0
    };
    for name in [
        "open_a_file",
        "create_a_file",
        "look_at_a_path",
        "open_an_internet_socket",
        "open_a_local_socket",
        "fork",
        "make_a_memory_file",
        "write_to_another_descriptor",
    ] {
        assert!(through(name), "{name}: {open:?}");
    }
    let refused = open.iter().filter(|outcome| outcome.refused);
    assert_eq!(refused.count(), 0, "{open:?}");
}
