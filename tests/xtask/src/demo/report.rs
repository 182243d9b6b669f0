//! The demo's steps: printed as they happen, kept for `report.json`.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::say;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) ok: bool,
    pub(crate) millis: u64,
}

/// Everything `target/demo/report.json` says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) steps: Vec<Step>,
    #[serde(default)]
    pub(crate) verdicts: Map<String, Value>,
    #[serde(default)]
    pub(crate) blindness: Vec<Capture>,
}

/// What the search through one capture showed; further members are kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Capture {
    pub(crate) capture: String,
    pub(crate) bytes: u64,
    pub(crate) markers_found: usize,
    pub(crate) control_found: usize,
    #[serde(default)]
    pub(crate) ok: bool,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Report {
    /// Runs one step, prints it with its time and keeps it.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let outcome = work();
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ok = outcome.is_ok();
        let mark = if ok { "ok    " } else { "FAILED" };
        say(&format!("  {mark} {millis:>6} ms  {name}"));
        self.steps.push(Step {
            name: name.into(),
            ok,
            millis,
        });
        outcome.with_context(|| format!("step {name:?}"))
    }

    /// Takes over what the bank wrote: its new steps and its verdicts.
    pub(crate) fn add_story(&mut self, path: &Path, known: usize) -> Result<usize> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let story: Report = serde_json::from_slice(&bytes)?;
        let total = story.steps.len();
        self.steps.extend(story.steps.into_iter().skip(known));
        self.verdicts = story.verdicts;
        Ok(total)
    }

    /// Takes over what the search for leaks found.
    pub(crate) fn add_blindness(&mut self, path: &Path) -> Result<()> {
        #[derive(Deserialize)]
        struct Found {
            blindness: Vec<Capture>,
        }
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let found: Found = serde_json::from_slice(&bytes)?;
        self.blindness = found.blindness;
        Ok(())
    }

    /// Every step went well, every capture was searched and clean.
    pub(crate) fn all_ok(&self) -> bool {
        let steps = !self.steps.is_empty() && self.steps.iter().all(|step| step.ok);
        let captures = !self.blindness.is_empty() && self.blindness.iter().all(Capture::is_clean);
        steps && captures
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let parent = path.parent().context("a report has a folder")?;
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        std::fs::write(path, serde_json::to_string_pretty(self)?)
            .with_context(|| path.display().to_string())
    }

    /// The short table at the end.
    pub(crate) fn print(&self) {
        say("");
        for (sample, verdict) in &self.verdicts {
            let verdict = verdict
                .as_str()
                .map_or_else(|| verdict.to_string(), str::to_owned);
            say(&format!("  {sample:<44} {verdict}"));
        }
        say("");
        for capture in &self.blindness {
            let name = Path::new(&capture.capture).file_name().unwrap_or_default();
            say(&format!(
                "  {:<20} {:>12} bytes searched, {} secrets found, {} planted ones found",
                name.to_string_lossy(),
                capture.bytes,
                capture.markers_found,
                capture.control_found
            ));
        }
        let good = self.steps.iter().filter(|step| step.ok).count();
        let millis: u64 = self.steps.iter().map(|step| step.millis).sum();
        let seconds = millis as f64 / 1000.0;
        say("");
        say(&format!(
            "  {good} of {} steps ok, {seconds:.1} s",
            self.steps.len()
        ));
    }
}

impl Capture {
    /// Something was searched, no secret was in it, and the search can find.
    fn is_clean(&self) -> bool {
        self.ok && self.bytes > 0 && self.markers_found == 0 && self.control_found > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Report {
        let text = r#"{"steps":[{"name":"a","ok":true,"millis":1}],"blindness":[{"capture":"c",
            "bytes":9,"markers_found":0,"control_found":4,"control_planted":4,"ok":true}]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_steps_and_captures_that_are_all_well_make_a_success() {
        assert!(clean().all_ok());
        assert!(!Report::default().all_ok());
        let cases: [fn(&mut Report); 6] = [
            |report| report.steps[0].ok = false,
            |report| report.blindness.clear(),
            |report| report.blindness[0].bytes = 0,
            |report| report.blindness[0].markers_found = 1,
            |report| report.blindness[0].control_found = 0,
            |report| report.blindness[0].ok = false,
        ];
        for spoil in cases {
            let mut report = clean();
            spoil(&mut report);
            assert!(!report.all_ok());
        }
    }

    #[test]
    fn a_failed_step_is_kept_and_named() {
        let mut report = Report::default();
        let error = report.step("boots", || anyhow::bail!("no")).map(|()| 0);
        assert!(format!("{:#}", error.unwrap_err()).contains("step \"boots\": no"));
        assert!(!report.steps[0].ok);
    }

    #[test]
    fn what_the_bank_adds_to_its_report_is_kept() {
        let text = serde_json::to_string(&clean()).unwrap();
        assert!(text.contains(r#""control_planted":4"#), "{text}");
    }
}
