//! Sealing again after a crash, a rollback and a fork: no key and nonce twice.

use anyhow::{Result, ensure};

use super::{logins, served};
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};

const GROUP: &str = "nonces";

pub(super) fn cases() -> Vec<Case> {
    vec![Case::harmless(
        GROUP,
        "after_crash_rollback_and_fork",
        again,
    )]
}

fn again(lab: &Lab) -> Result<Verdict> {
    let (before, _) = lab.nonces.report();
    let history = lab.history()?;
    let mut disk = history.last.clone();
    for _ in 0..2 {
        let running = served(lab, disk)?;
        logins(lab, &running, 2)?;
        disk = running.kill();
    }
    for old in [&history.pending, &history.last, &history.last] {
        let running = served(lab, old.clone())?;
        logins(lab, &running, 2)?;
    }
    let (after, wrong) = lab.nonces.report();
    ensure!(
        after >= before + 30,
        "too little was sealed: {after} - {before}"
    );
    Ok(match wrong.first() {
        Some(reuse) => Verdict::Failed(reuse.clone()),
        None => Verdict::Harmless(format!(
            "{after} records over all copies, every key and nonce different"
        )),
    })
}
