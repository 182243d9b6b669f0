//! Checkpoints shown by banks: a forged one must not be able to stop anything.

use std::time::Duration;

use anyhow::{Context, Result};

use super::rollback::{is_refused, show};
use super::{logins, served};
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};

const GROUP: &str = "alarms";

pub(super) fn cases() -> Vec<Case> {
    FORGERIES
        .iter()
        .map(|(name, forge)| Case::refused(GROUP, *name, move |lab| forged(lab, *forge)))
        .collect()
}

type Forge = fn(&str) -> String;

const FORGERIES: [(&str, Forge); 4] = [
    ("forged_checkpoint_no_note", |_| "not a note".into()),
    ("forged_checkpoint_of_a_later_size", |note| {
        line(note, 1, "99999")
    }),
    ("forged_checkpoint_of_another_root", |note| {
        line(note, 2, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    }),
    ("forged_checkpoint_of_another_ledger", |note| {
        line(
            note,
            0,
            "redoubt.example/ledger/00000000000000000000000000000000",
        )
    }),
];

/// The note with another text in one of its lines.
fn line(note: &str, at: usize, text: &str) -> String {
    let mut lines: Vec<&str> = note.lines().collect();
    lines[at] = text;
    lines.join("\n") + "\n"
}

fn forged(lab: &Lab, forge: Forge) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    let kept = logins(lab, &running, 1)?;
    let note = kept[0].receipt["checkpoint"].as_str();
    let note = note.context("no checkpoint")?;
    if let Some(problem) = show(lab, &running, note)? {
        return Ok(Verdict::Failed(format!(
            "a true one was refused: {problem}"
        )));
    }
    let problem = show(lab, &running, &forge(note))?;
    if let Some(reason) = running.halted(Duration::from_millis(300))? {
        return Ok(Verdict::Failed(format!("a forgery stopped it: {reason}")));
    }
    logins(lab, &running, 1)?;
    Ok(match problem {
        Some(problem) if is_refused(&problem) => Verdict::Refused(problem.to_string()),
        Some(problem) => Verdict::Failed(format!("refused for another reason: {problem}")),
        None => Verdict::Failed("a forgery was accepted".into()),
    })
}
