//! One bit flipped: in every field of every kind of record, at both ends and in
//! the middle of the ledgers.

use anyhow::{Context, Result};
use redoubt_shared::LedgerId;

use crate::judge::judge;
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::record::{FIELDS, Field};

const GROUP: &str = "flip_a_bit";

#[derive(Debug, Clone, Copy)]
enum Whose {
    Appliance,
    Tenant,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Middle,
    Last,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::harmless(GROUP, "nowhere", untouched)];
    for (whose, owner) in [(Whose::Appliance, "appliance"), (Whose::Tenant, "tenant")] {
        for (place, at) in [
            (Place::First, "first"),
            (Place::Middle, "middle"),
            (Place::Last, "last"),
        ] {
            for field in FIELDS {
                let name = format!("{owner}_{at}_record_{}", field.name());
                cases.push(Case::refused(GROUP, name, move |lab| {
                    flip(lab, whose, place, field)
                }));
            }
        }
    }
    cases
}

/// The control: without an attack it serves.
fn untouched(lab: &Lab) -> Result<Verdict> {
    let (running, end) = lab.open(lab.history()?.last.clone())?;
    judge(lab, &running, end)
}

fn flip(lab: &Lab, whose: Whose, place: Place, field: Field) -> Result<Verdict> {
    let mut disk = lab.history()?.last.clone();
    let ledger = match whose {
        Whose::Appliance => lab.ledgers().appliance,
        Whose::Tenant => lab.ledgers().a,
    };
    let records = disk.edit(ledger);
    let at = match place {
        Place::First => 0,
        Place::Middle => records.len() / 2,
        Place::Last => records.len() - 1,
    };
    let record = records.get_mut(at).context("an empty ledger")?;
    record.bytes = field.flip(&record.bytes)?;
    let (running, end) = lab.open(disk)?;
    let verdict = judge(lab, &running, end)?;
    Ok(names(verdict, ledger, at))
}

/// A refusal must be about the entry that was altered.
fn names(verdict: Verdict, ledger: LedgerId, at: usize) -> Verdict {
    match verdict {
        Verdict::Refused(text) if !text.contains(&format!("ledger {ledger} entry {at}:")) => {
            Verdict::Failed(format!("refused for another reason: {text}"))
        }
        other => other,
    }
}
