//! What was done, how long it took, how it ended.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Passed,
    Failed,
}

/// One step of the story.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
    /// What was seen, or why it failed.
    pub(crate) detail: Value,
}

/// From the start of the emulator.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Boot {
    /// Until the guest answered on a stream.
    pub(crate) first_vsock_byte_seconds: f64,
    /// Until a client held evidence of it that it accepted.
    pub(crate) first_attested_byte_seconds: f64,
}

/// The worker's image.
#[derive(Debug, Serialize)]
pub(crate) struct WorkerReport {
    pub(crate) image: String,
    pub(crate) image_bytes: u64,
    /// Computed from the file.
    pub(crate) pcrs: BTreeMap<u8, String>,
    /// As of the enclave's image.
    pub(crate) equal_to_committed: Option<bool>,
    /// From the start of the emulator until it had loaded its networks and listened.
    pub(crate) loaded_seconds: f64,
    /// From the officer's share until the enclave had accepted its evidence.
    pub(crate) accepted_seconds: f64,
    /// From the end of a session until the next process had loaded and was asked.
    pub(crate) next_session_seconds: f64,
}

/// The whole story.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    /// What this run can show at all.
    pub(crate) scope: &'static str,
    pub(crate) image: String,
    pub(crate) image_bytes: u64,
    /// Computed from the file.
    pub(crate) pcrs: BTreeMap<u8, String>,
    /// Whether the committed measurements are these; null where nothing is committed.
    pub(crate) equal_to_committed: Option<bool>,
    /// How the emulated machine was made.
    pub(crate) tools: Value,
    pub(crate) boots: Vec<Boot>,
    /// Where its image was booted too.
    pub(crate) worker: Option<WorkerReport>,
    pub(crate) steps: Vec<Step>,
    pub(crate) wall_seconds: f64,
    #[serde(skip)]
    started: Option<Instant>,
}

impl Report {
    pub(crate) fn new(image: String, tools: Value) -> Self {
        Self {
            passed: false,
            scope: "the real image under software emulation; its security module signs nothing, \
                    and nothing of this was run on Nitro hardware",
            image,
            image_bytes: 0,
            pcrs: BTreeMap::new(),
            equal_to_committed: None,
            tools,
            boots: Vec::new(),
            worker: None,
            steps: Vec::new(),
            wall_seconds: 0.0,
            started: Some(Instant::now()),
        }
    }

    /// Does one step and says how it went. What it returns beside its value is
    /// shown and kept.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(T, Value)>,
    ) -> Result<T> {
        let start = Instant::now();
        let done = work();
        let seconds = start.elapsed().as_secs_f64();
        let (outcome, detail, value) = match done {
            Ok((value, detail)) => (Outcome::Passed, detail, Ok(value)),
            Err(error) => (Outcome::Failed, format!("{error:#}").into(), Err(error)),
        };
        let mark = if outcome == Outcome::Passed {
            "ok"
        } else {
            "FAILED"
        };
        println!("{mark:>6} {seconds:6.2} s  {name}");
        if outcome == Outcome::Failed || !detail.is_null() {
            println!("                  {detail}");
        }
        self.steps.push(Step {
            name,
            outcome,
            seconds,
            detail,
        });
        value.context(name)
    }

    /// Compares with `images/measurements.json`, or with null where there is none.
    /// Another toolchain measures otherwise, so this is told and decides nothing.
    pub(crate) fn compare_with(&mut self, committed: &Value) {
        self.equal_to_committed = equal(&self.pcrs, &committed["image"]);
        if let Some(worker) = &mut self.worker {
            worker.equal_to_committed = equal(&worker.pcrs, &committed["worker"]);
        }
    }

    /// The same in words.
    pub(crate) fn equal(&self) -> &'static str {
        let worker = self.worker.as_ref().map(|worker| worker.equal_to_committed);
        match self.equal_to_committed.min(worker.unwrap_or(Some(true))) {
            Some(true) => "yes",
            Some(false) => "no; `cargo xtask image --check` says where",
            None => "none are committed",
        }
    }

    /// Closes the report.
    pub(crate) fn finish(&mut self, told: bool) {
        let all = self
            .steps
            .iter()
            .all(|step| step.outcome == Outcome::Passed);
        self.passed = told && all;
        let wall = self.started.map(|start| start.elapsed().as_secs_f64());
        self.wall_seconds = wall.unwrap_or_default();
    }
}

/// Register by register; none where nothing is committed.
fn equal(pcrs: &BTreeMap<u8, String>, committed: &Value) -> Option<bool> {
    let measurements = &committed["measurements"];
    let said = |index: &u8| measurements[format!("pcr{index}")].as_str();
    let same = |(index, value): (&u8, &String)| said(index) == Some(value);
    let any = measurements.is_object();
    any.then(|| !pcrs.is_empty() && pcrs.iter().all(same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_step_fails_the_report_and_keeps_its_reason() {
        let mut report = Report::new("x".into(), Value::Null);
        report.step("one", || Ok(((), json!({"seen": 1})))).unwrap();
        let failed = report.step("two", || -> Result<((), Value)> { anyhow::bail!("why") });
        assert!(failed.is_err());
        report.finish(true);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["passed"], false);
        assert_eq!(json["steps"][1]["outcome"], "failed");
        assert_eq!(json["steps"][1]["detail"], "why");
        assert_eq!(json["steps"][0]["detail"]["seen"], 1);
    }

    #[test]
    fn committed_measurements_are_compared_one_by_one() {
        let mut report = Report::new("x".into(), Value::Null);
        report.compare_with(&Value::Null);
        assert_eq!(report.equal_to_committed, None);
        report.pcrs = [(0, "aa".into()), (1, "bb".into())].into();
        for (pcr1, equal) in [("bb", true), ("cc", false)] {
            let measurements = json!({"pcr0": "aa", "pcr1": pcr1});
            report.compare_with(&json!({"image": {"measurements": measurements}}));
            assert_eq!(report.equal_to_committed, Some(equal));
        }
        report.pcrs.clear();
        report.compare_with(&json!({"image": {"measurements": {}}}));
        assert_eq!(report.equal_to_committed, Some(false));
    }

    #[test]
    fn a_story_that_was_not_told_to_its_end_has_not_passed() {
        let mut report = Report::new("x".into(), Value::Null);
        report.step("one", || Ok(((), Value::Null))).unwrap();
        report.finish(false);
        assert!(!report.passed);
        report.finish(true);
        assert!(report.passed);
    }
}
