//! Which room may depend on which, and what may be linked into the trusted base.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

/// Room, and the rooms it may depend on in normal and build dependencies.
const ARROWS: [(&str, &[&str]); 9] = [
    ("redoubt-shared", &[]),
    ("redoubt-attestation", &["redoubt-shared"]),
    ("redoubt-audit", &["redoubt-shared", "redoubt-attestation"]),
    (
        "redoubt-enclave",
        &["redoubt-shared", "redoubt-attestation"],
    ),
    ("redoubt-worker", &["redoubt-shared", "redoubt-attestation"]),
    (
        "redoubt-host",
        &["redoubt-shared", "redoubt-attestation", "redoubt-audit"],
    ),
    ("redoubt-init", &[]),
    ("redoubt-image", &[]),
    ("redoubt-client", &[]),
];

/// Rooms that only test and build; they may depend on anything but are depended on by tests only.
const OUTSIDE: [&str; 9] = [
    "redoubt-attack",
    "redoubt-bank",
    "redoubt-boot",
    "redoubt-chaos",
    "redoubt-e2e",
    "redoubt-eval",
    "redoubt-fuzz",
    "redoubt-load",
    "xtask",
];

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

fn metadata() -> Result<Value> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Normal (and, if asked, build) dependencies of every package, by package id.
fn edges(metadata: &Value, kinds: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges = BTreeMap::new();
    for node in metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut targets = BTreeSet::new();
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kept = dependency["dep_kinds"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|kind| kinds.contains(&kind["kind"].as_str().unwrap_or("normal")));
            if kept && let Some(id) = dependency["pkg"].as_str() {
                targets.insert(id.to_owned());
            }
        }
        if let Some(id) = node["id"].as_str() {
            edges.insert(id.to_owned(), targets);
        }
    }
    edges
}

fn names(metadata: &Value) -> BTreeMap<String, String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter_map(|package| {
            Some((
                package["id"].as_str()?.to_owned(),
                package["name"].as_str()?.to_owned(),
            ))
        })
        .collect()
}

#[test]
fn dependencies_point_one_way_and_nothing_depends_on_the_host() -> Result<()> {
    let metadata = metadata()?;
    let names = names(&metadata);
    let edges = edges(&metadata, &["normal", "build"]);
    let members: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|id| names.get(id.as_str()?).map(String::as_str))
        .collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|arrow| arrow.0).chain(OUTSIDE).collect();
    ensure!(
        members == known,
        "a room came or went: {:?}",
        members.symmetric_difference(&known)
    );
    for (id, targets) in &edges {
        let room = names[id].as_str();
        let Some((_, allowed)) = ARROWS.iter().find(|arrow| arrow.0 == room) else {
            continue;
        };
        for target in targets.iter().map(|id| names[id].as_str()) {
            ensure!(
                !members.contains(target) || allowed.contains(&target),
                "{room} must not depend on {target}"
            );
        }
    }
    for (id, targets) in &edges {
        let room = names[id].as_str();
        let on_host = targets.iter().any(|target| names[target] == "redoubt-host");
        ensure!(
            !on_host || OUTSIDE.contains(&room),
            "{room} depends on the host"
        );
    }
    Ok(())
}

/// Everything linked into the enclave: a new crate is a decision, not an accident.
/// `cargo tree` and not the metadata, which also holds what only tests switch on.
#[test]
fn the_enclave_links_only_crates_on_its_list() -> Result<()> {
    let output = Command::new(cargo())
        .args([
            "tree",
            "--package",
            "redoubt-enclave",
            "--locked",
            "--offline",
        ])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout)?;
    let first_word = |line: &'_ str| line.split(' ').next().unwrap_or_default().to_owned();
    let linked: BTreeSet<String> = tree
        .lines()
        .filter(|line| !line.is_empty())
        .map(first_word)
        .collect();
    ensure!(linked.contains("redoubt-enclave"), "no tree: {tree}");
    let list = include_str!("../enclave-crates.txt");
    let allowed: BTreeSet<String> = list
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let newcomers: Vec<_> = linked.difference(&allowed).collect();
    let gone: Vec<_> = allowed.difference(&linked).collect();
    ensure!(
        newcomers.is_empty(),
        "not on tests/e2e/enclave-crates.txt: {newcomers:?}; add each only after reading it"
    );
    ensure!(
        gone.is_empty(),
        "listed but no longer linked, take off: {gone:?}"
    );
    Ok(())
}

/// Lines of our own code that an image of the enclave is built from: without blank
/// lines, comments, and files and modules of tests.
fn own_lines(folder: &Path) -> Result<usize> {
    let mut lines = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if ["testkit", "tests", "second_verifier"].contains(&&*name) || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            lines += own_lines(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
            let counts = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
            lines += code.lines().filter(counts).count();
        }
    }
    Ok(lines)
}

/// The threat model publishes what must be trusted; it may be 2 % out of date.
#[test]
fn the_trusted_base_is_as_large_as_published() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = std::fs::read_to_string(root.join("docs/threat-model.md"))?;
    let published = |what: &str| {
        let row = model
            .lines()
            .find(|line| line.starts_with(&format!("| {what} |")));
        let number = row.and_then(|row| row.split('|').nth(2));
        number.and_then(|number| number.trim().replace(' ', "").parse::<usize>().ok())
    };
    let crates = include_str!("../enclave-crates.txt").lines();
    let mut found = vec![(
        "other crates",
        crates
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count(),
    )];
    for room in ["enclave", "attestation", "shared", "images/init"] {
        found.push((room, own_lines(&root.join(room).join("src"))?));
    }
    for (what, number) in found {
        let said = published(what).unwrap_or(0);
        ensure!(
            said.abs_diff(number) * 50 <= number,
            "docs/threat-model.md says {said} for {what:?}, it is {number}"
        );
    }
    Ok(())
}
