//! What the worker answered, kept beside the report, so that a run that was stopped
//! goes on where it was. Keyed by everything an answer follows from.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::faces::times::Stages;

/// What came of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its embedding.
    Embedded(Vec<f32>),
    /// Why there is none.
    Refused(String),
}

#[derive(Serialize, Deserialize)]
enum Line {
    Answer(String, Outcome),
    Times(Vec<Stages>),
}

/// A file of answers.
pub(super) struct Cache {
    file: File,
    known: HashMap<String, Outcome>,
    times: Vec<Stages>,
}

impl Cache {
    /// Reads what is there; a line that a stopped run left half is ignored.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path);
        let mut file = opened.with_context(|| path.display().to_string())?;
        let (mut known, mut times) = (HashMap::new(), Vec::new());
        for line in BufReader::new(&file).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Line::Answer(key, outcome)) => drop(known.insert(key, outcome)),
                Ok(Line::Times(more)) => times.extend(more),
                Err(_) => {}
            }
        }
        // A half line ends here.
        file.write_all(b"\n")?;
        Ok(Self { file, known, times })
    }

    /// The answer to a recording.
    pub(super) fn get(&self, key: &str) -> Option<&Outcome> {
        self.known.get(key)
    }

    /// Keeps an answer.
    pub(super) fn put(&mut self, key: String, outcome: Outcome) -> Result<()> {
        self.write(&Line::Answer(key.clone(), outcome.clone()))?;
        self.known.insert(key, outcome);
        Ok(())
    }

    /// Keeps how long jobs took.
    pub(super) fn put_times(&mut self, times: Vec<Stages>) -> Result<()> {
        self.write(&Line::Times(times.clone()))?;
        self.times.extend(times);
        Ok(())
    }

    /// How long the jobs of all runs took.
    pub(super) fn times(&self) -> &[Stages] {
        &self.times
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        Ok(self.file.write_all(&text)?)
    }
}

/// Where the answers behind a report are kept: beside it, per models and program.
pub(super) fn path(report: &Path, basis: &str) -> PathBuf {
    report.with_extension(format!("{}.jsonl", &basis[..16.min(basis.len())]))
}

/// SHA-256 over parts, each with its length.
pub(super) fn key(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::Stages;
    use super::*;

    #[test]
    fn answers_outlive_a_run_that_is_stopped_in_the_middle_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let outcome = Outcome::Embedded(vec![0.1, -1.5e-7, 0.333_333_34]);
        let mut cache = Cache::open(&path).unwrap();
        cache.put("one".into(), outcome.clone()).unwrap();
        cache.put_times(vec![Stages([1, 2, 3, 4])]).unwrap();
        cache
            .put("two".into(), Outcome::Refused("Silent".into()))
            .unwrap();
        drop(cache);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut cache = Cache::open(&path).unwrap();
        assert_eq!(cache.get("one"), Some(&outcome));
        assert_eq!(cache.times(), [Stages([1, 2, 3, 4])]);
        assert_eq!(cache.get("two"), None);
        cache
            .put("two".into(), Outcome::Refused("Clipped".into()))
            .unwrap();
        drop(cache);
        let again = Cache::open(&path).unwrap();
        assert_eq!(again.get("two"), Some(&Outcome::Refused("Clipped".into())));
    }

    #[test]
    fn keys_of_other_parts_are_others() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    }
}
