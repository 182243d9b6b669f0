//! An older state shown again, in part or as a whole.

use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_bank::BankError;
use redoubt_bank::api::b64u;
use redoubt_shared::LedgerId;
use serde_json::{Value, json};

use super::{appended, logins, on_appends, served};
use crate::disk::Disk;
use crate::history::Kept;
use crate::judge::{judge, keeps_its_word, says_freshness_none};
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::running::{End, PATIENCE, Running};
use crate::store::Act;

const GROUP: &str = "rollback";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::refused(GROUP, "one_tenant_to_its_first_term", |lab| {
            partly(lab, &[lab.ledgers().a])
        }),
        Case::refused(GROUP, "every_tenant_to_the_first_term", |lab| {
            partly(lab, &[lab.ledgers().a, lab.ledgers().b])
        }),
        Case::refused(GROUP, "the_appliance_s_ledger_to_the_first_term", |lab| {
            partly(lab, &[lab.ledgers().appliance])
        }),
        Case::refused(GROUP, "whole_disk_and_the_officers_remember", remembered),
        Case::refused(
            GROUP,
            "whole_disk_emptied_and_the_officers_remember",
            |lab| emptied(lab, true),
        ),
        Case::refused(GROUP, "whole_disk_emptied_and_nobody_remembers", |lab| {
            emptied(lab, false)
        }),
        Case::refused(GROUP, "whole_disk_without_witnesses_nor_memory", |lab| {
            not_promised(lab, lab.history()?.first.clone(), &[])
        }),
        Case::refused(
            GROUP,
            "whole_disk_to_before_a_payment_without_witnesses",
            |lab| not_promised(lab, lab.history()?.pending.clone(), &[]),
        ),
        Case::refused(
            GROUP,
            "last_batch_dropped_everywhere_without_witnesses",
            last_batch,
        ),
        Case::refused(GROUP, "acknowledged_into_the_void_without_witnesses", void),
    ]
}

/// Some ledgers as they were after the first term, the others as they are.
fn partly(lab: &Lab, old: &[LedgerId]) -> Result<Verdict> {
    let history = lab.history()?;
    let mut disk = history.last.clone();
    for ledger in old {
        *disk.edit(*ledger) = history.first.records(*ledger).to_vec();
    }
    let (running, end) = lab.open(disk)?;
    judge(lab, &running, end)
}

fn remembered(lab: &Lab) -> Result<Verdict> {
    let history = lab.history()?;
    let running = lab.start(history.first.clone())?;
    let memory = running.place.join("remembers.json");
    std::fs::copy(&history.memory, &memory)?;
    let end = running.unseal(lab, Some(&memory), PATIENCE)?;
    judge(lab, &running, end)
}

/// A new appliance of the same officers; banks pin the old one's authority.
fn emptied(lab: &Lab, remember: bool) -> Result<Verdict> {
    let running = lab.start(lab.blank()?)?;
    let memory = running.place.join("remembers.json");
    if remember {
        std::fs::copy(&lab.history()?.memory, &memory)?;
    }
    match running.unseal(lab, Some(&memory), PATIENCE)? {
        End::Serving if remember => Ok(Verdict::Failed("served against memory".into())),
        End::Serving => {
            // What any appliance would answer: only who it is can be refused.
            let bank = running.bank(lab, &lab.appliance.banks.a)?;
            match lab.runtime.block_on(bank.get("/healthz")) {
                Ok(_) => Ok(Verdict::Failed("a bank took it for its appliance".into())),
                Err(error @ BankError::Transport(_)) => {
                    Ok(Verdict::Refused(format!("by the bank: {error}")))
                }
                Err(error) => Err(error.into()),
            }
        }
        other => judge(lab, &running, other),
    }
}

/// Without witnesses a rollback of everything opens, and no receipt ever said
/// otherwise; a bank that shows what it was given stops it.
fn not_promised(lab: &Lab, disk: Disk, more: &[Kept]) -> Result<Verdict> {
    let running = served(lab, disk)?;
    let receipts: Vec<Kept> = lab
        .history()?
        .receipts
        .iter()
        .chain(more)
        .cloned()
        .collect();
    for kept in &receipts {
        if !says_freshness_none(&kept.receipt)? {
            return Ok(Verdict::Failed("a receipt promised freshness".into()));
        }
    }
    let newest = receipts.iter().rev().find(|kept| kept.of_a);
    let newest = newest.context("no receipt of the first tenant")?;
    Ok(match alarm(lab, &running, &newest.receipt)? {
        Verdict::Refused(text) => {
            Verdict::Refused(format!("opens, every receipt says freshness none; {text}"))
        }
        other => other,
    })
}

/// The bank shows the checkpoint of a receipt it was given: the appliance stops,
/// or, where it does not know the key that signed, tells the bank so.
pub(super) fn alarm(lab: &Lab, running: &Running, receipt: &Value) -> Result<Verdict> {
    let note = receipt["checkpoint"].as_str().context("no checkpoint")?;
    let answer = show(lab, running, note)?;
    if let Some(error) = &answer
        && is_refused(error)
    {
        return Ok(Verdict::Refused(format!(
            "the bank's own checkpoint is not known there: {error}"
        )));
    }
    Ok(match running.halted(PATIENCE)? {
        Some(reason) => Verdict::Refused(format!("the bank's own checkpoint stops it: {reason}")),
        None => Verdict::Failed(format!(
            "the bank showed a later checkpoint and the appliance went on: {answer:?}"
        )),
    })
}

/// The appliance said that it cannot use the checkpoint it was shown.
pub(super) fn is_refused(error: &BankError) -> bool {
    error.code() == Some("checkpoint_refused")
}

/// Shows a checkpoint with a request; answers the problem that came back.
pub(super) fn show(lab: &Lab, running: &Running, note: &str) -> Result<Option<BankError>> {
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let bank = bank.with_deadline(Duration::from_secs(5));
    let header = b64u(note.as_bytes());
    let body = json!({"user_id": lab.history()?.a().id});
    let path = "/api/v1/passkeys/authenticate/options";
    let headers = [("redoubt-checkpoint", header.as_str())];
    let answer = lab.runtime.block_on(bank.post_with(path, &body, &headers));
    Ok(answer.and_then(|reply| reply.read::<Value>()).err())
}

/// The newest entry of every ledger it touched, taken back consistently.
fn last_batch(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    let before = running.store.snapshot();
    let more = logins(lab, &running, 1)?;
    drop(running);
    not_promised(lab, before, &more)
}

/// Everything is acknowledged and nothing kept.
fn void(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    running
        .store
        .play(on_appends(|| Act::Say(vec![appended()])));
    let more = logins(lab, &running, 3)?;
    let disk = running.kill();
    let (again, end) = lab.open(disk.clone())?;
    if end == End::Serving
        && let Verdict::Harmless(text) = keeps_its_word(lab, &again, &more)?
    {
        return Ok(Verdict::Failed(format!("the attack did nothing: {text}")));
    }
    drop(again);
    not_promised(lab, disk, &more)
}
