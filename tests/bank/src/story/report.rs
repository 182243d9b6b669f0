//! Each step with its time, printed and kept.

use std::future::Future;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// What happened.
    pub name: String,
    /// As it should.
    pub ok: bool,
    /// How long it took.
    pub millis: u64,
}

/// Steps and verdicts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// In order.
    pub steps: Vec<Step>,
    /// Outcome of each sample, by what it shows.
    pub verdicts: Map<String, Value>,
}

impl Report {
    /// Reads an earlier part's report.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("{}: tell part one first", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Writes the report.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// Runs one step, prints it with its time, and keeps it.
    pub async fn step<T>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let outcome = work.await;
        let millis = started.elapsed().as_millis() as u64;
        let mark = if outcome.is_ok() { "ok    " } else { "FAILED" };
        println!("  {mark} {millis:>6} ms  {name}");
        self.steps.push(Step {
            name: name.to_owned(),
            ok: outcome.is_ok(),
            millis,
        });
        outcome.with_context(|| format!("step {name:?}"))
    }

    /// Keeps the outcome of a sample.
    pub fn verdict(&mut self, sample: &str, outcome: impl Into<Value>) {
        self.verdicts.insert(sample.to_owned(), outcome.into());
    }
}
