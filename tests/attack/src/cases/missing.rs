//! Records dropped, swapped, repeated, or gone.

use std::time::Duration;

use anyhow::Result;
use redoubt_shared::LedgerId;

use crate::disk::Disk;
use crate::judge::judge;
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};

const GROUP: &str = "missing_and_moved";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::refused(GROUP, "last_record_of_the_tenant_dropped", |lab| {
            over(lab, |disk| drop(disk.edit(lab.ledgers().a).pop()))
        }),
        Case::refused(GROUP, "last_record_of_the_appliance_dropped", |lab| {
            over(lab, |disk| drop(disk.edit(lab.ledgers().appliance).pop()))
        }),
        Case::refused(GROUP, "a_whole_tenant_gone", |lab| {
            over(lab, |disk| drop(disk.ledgers.remove(&lab.ledgers().b)))
        }),
        Case::refused(GROUP, "the_appliance_s_ledger_gone", |lab| {
            over(lab, |disk| {
                disk.ledgers.remove(&lab.ledgers().appliance);
            })
        }),
        Case::refused(GROUP, "a_hole_left_in_the_tenant_s_ledger", hole),
    ];
    for (owner, whose) in OWNERS {
        for (what, edit) in EDITS {
            cases.push(Case::refused(
                GROUP,
                format!("{what}_{owner}"),
                move |lab| over(lab, |disk| edit(disk, whose(lab))),
            ));
        }
    }
    cases
}

type Whose = fn(&Lab) -> LedgerId;
type Edit = fn(&mut Disk, LedgerId);

const OWNERS: [(&str, Whose); 2] = [
    ("tenant", |lab| lab.ledgers().a),
    ("appliance", |lab| lab.ledgers().appliance),
];

const EDITS: [(&str, Edit); 6] = [
    ("first_record_dropped", |disk, ledger| {
        disk.edit(ledger).remove(0);
        disk.renumber(ledger);
    }),
    ("middle_record_dropped", |disk, ledger| {
        let middle = disk.records(ledger).len() / 2;
        disk.edit(ledger).remove(middle);
        disk.renumber(ledger);
    }),
    ("two_neighbours_swapped", |disk, ledger| {
        let middle = disk.records(ledger).len() / 2;
        disk.edit(ledger).swap(middle, middle + 1);
        disk.renumber(ledger);
    }),
    ("last_and_middle_swapped", |disk, ledger| {
        let (middle, last) = (
            disk.records(ledger).len() / 2,
            disk.records(ledger).len() - 1,
        );
        disk.edit(ledger).swap(middle, last);
        disk.renumber(ledger);
    }),
    ("last_record_repeated", |disk, ledger| {
        let last = disk.records(ledger).last().cloned();
        disk.edit(ledger).extend(last);
        disk.renumber(ledger);
    }),
    ("first_record_repeated_at_the_end", |disk, ledger| {
        let first = disk.records(ledger).first().cloned();
        disk.edit(ledger).extend(first);
        disk.renumber(ledger);
    }),
];

fn over(lab: &Lab, edit: impl FnOnce(&mut Disk)) -> Result<Verdict> {
    let mut disk = lab.history()?.last.clone();
    edit(&mut disk);
    // Officers who remember nothing: the ledger must defend itself.
    let (running, end) = lab.open(disk)?;
    judge(lab, &running, end)
}

/// A record is left out and the others keep their numbers.
fn hole(lab: &Lab) -> Result<Verdict> {
    let mut disk = lab.history()?.last.clone();
    disk.edit(lab.ledgers().a).remove(3);
    let running = lab.start(disk)?;
    let end = running.unseal(lab, None, Duration::from_secs(2))?;
    judge(lab, &running, end)
}
