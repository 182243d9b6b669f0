//! Two copies of one disk, both acknowledged; and one history made of two.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use redoubt_bank::receipts::id;
use redoubt_shared::LedgerId;

use super::rollback::alarm;
use super::{halts, logins, served};
use crate::disk::Disk;
use crate::history::Kept;
use crate::judge::{judge, says_freshness_none};
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::running::PATIENCE;

const GROUP: &str = "fork";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::harmless(GROUP, "two_copies_acknowledged_without_witnesses", copies),
        Case::refused(
            GROUP,
            "the_bank_shows_one_copy_the_other_s_checkpoint",
            shown,
        ),
        Case::refused(GROUP, "the_officers_remember_the_other_copy", remembered),
        Case::refused(GROUP, "two_enclaves_on_one_store", one_store),
    ];
    for (what, splice) in SPLICES {
        cases.push(Case::refused(
            GROUP,
            format!("spliced_{what}"),
            move |lab| {
                let (one, two) = forked(lab)?;
                let mut disk = one.0;
                splice(lab, &mut disk, &two.0)?;
                let (running, end) = lab.open(disk)?;
                judge(lab, &running, end)
            },
        ));
    }
    cases
}

type Copy = (Disk, Vec<Kept>);
/// Edits the first copy, with records of the second.
type Splice = fn(&Lab, &mut Disk, &Disk) -> Result<()>;

const SPLICES: [(&str, Splice); 5] = [
    ("tenant_of_the_other_copy", |lab, one, two| {
        take(one, two, lab.ledgers().a);
        Ok(())
    }),
    ("appliance_of_the_other_copy", |lab, one, two| {
        take(one, two, lab.ledgers().appliance);
        Ok(())
    }),
    (
        "last_record_of_the_other_copy_in_its_place",
        |lab, one, two| {
            let ledger = lab.ledgers().a;
            let at = one.records(ledger).len() - 1;
            one.edit(ledger)[at] = two.records(ledger)[at].clone();
            Ok(())
        },
    ),
    (
        "last_batch_of_the_other_copy_in_its_place",
        |lab, one, two| {
            for ledger in [lab.ledgers().a, lab.ledgers().appliance] {
                let at = one.records(ledger).len() - 1;
                one.edit(ledger)[at] = two.records(ledger)[at].clone();
            }
            Ok(())
        },
    ),
    ("one_copy_after_the_other", |lab, one, two| {
        let base = &lab.history()?.last;
        for ledger in [lab.ledgers().a, lab.ledgers().b, lab.ledgers().appliance] {
            let tail = two.records(ledger)[base.records(ledger).len()..].to_vec();
            one.edit(ledger).extend(tail);
            one.renumber(ledger);
        }
        Ok(())
    }),
];

fn take(one: &mut Disk, two: &Disk, ledger: LedgerId) {
    *one.edit(ledger) = two.records(ledger).to_vec();
}

/// Both copies served the same customer, equally often.
fn forked(lab: &Lab) -> Result<(Copy, Copy)> {
    let last = &lab.history()?.last;
    let mut copies = Vec::new();
    let both = [served(lab, last.clone())?, served(lab, last.clone())?];
    for running in both {
        let kept = logins(lab, &running, 2)?;
        copies.push((running.kill(), kept));
    }
    let two = copies.pop().context("two copies")?;
    Ok((copies.pop().context("two copies")?, two))
}

/// Both go on, both say that nobody witnessed it; from one receipt of each an
/// auditor makes a proof, which another one checks.
fn copies(lab: &Lab) -> Result<Verdict> {
    let last = &lab.history()?.last;
    let (one, two) = (served(lab, last.clone())?, served(lab, last.clone())?);
    let mut files = Vec::new();
    for running in [&one, &two] {
        let kept = logins(lab, running, 2)?;
        let bank = running.bank(lab, &lab.appliance.banks.a)?;
        let receipt = &kept.last().context("a receipt")?.receipt;
        let lasting = lab.runtime.block_on(bank.receipt(&id(receipt)?))?;
        ensure!(
            says_freshness_none(&lasting)?,
            "a receipt promised freshness"
        );
        let file = running.place.join("receipt.json");
        std::fs::write(&file, lasting.to_string())?;
        files.push(file);
    }
    let proof = one.place.join("proof.json");
    let made = compare(lab)
        .args(&files)
        .arg("--out")
        .arg(&proof)
        .output()?;
    let checked = compare(lab).arg("--check").arg(&proof).output()?;
    let said = String::from_utf8_lossy(&checked.stdout);
    let said = said.lines().last().unwrap_or_default();
    if (made.status.code(), checked.status.code()) != (Some(1), Some(1)) {
        let made = String::from_utf8_lossy(&made.stdout).into_owned();
        return Ok(Verdict::Failed(format!("no proof: {made} {said}")));
    }
    Ok(Verdict::Harmless(format!(
        "every receipt says freshness none; redoubt-audit compare: {said}"
    )))
}

/// `redoubt-audit compare` for the pinned genesis; 1 is a proven contradiction.
fn compare(lab: &Lab) -> Command {
    let mut command = Command::new(lab.appliance.program("redoubt-audit"));
    command
        .arg("compare")
        .arg("--policy")
        .arg(lab.appliance.policy());
    command
}

/// A bank that met one copy shows its head to the other.
fn shown(lab: &Lab) -> Result<Verdict> {
    let last = &lab.history()?.last;
    let (one, two) = (served(lab, last.clone())?, served(lab, last.clone())?);
    let kept = logins(lab, &one, 2)?;
    logins(lab, &two, 2)?;
    alarm(lab, &two, &kept[1].receipt)
}

/// The officers unsealed one copy; later the host shows them the other.
fn remembered(lab: &Lab) -> Result<Verdict> {
    let one = served(lab, lab.history()?.last.clone())?;
    let memory = one.place.join("memory.json");
    let (_, two) = forked(lab)?;
    let running = lab.start(two.0)?;
    let end = running.unseal(lab, Some(&memory), PATIENCE)?;
    judge(lab, &running, end)
}

/// The second enclave writes where the first was about to.
fn one_store(lab: &Lab) -> Result<Verdict> {
    let one = served(lab, lab.history()?.last.clone())?;
    let two = served(lab, one.store.snapshot())?;
    let disk = two.store.snapshot();
    one.store.edit(|kept| *kept = disk);
    halts(lab, &one, "both enclaves acknowledge")
}
