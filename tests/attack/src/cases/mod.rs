//! The attacks, by what the host does.

use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_bank::receipts::id;
use redoubt_shared::store::{StoreRequest, StoreResponse};

use crate::disk::Disk;
use crate::history::Kept;
use crate::judge::keeps_its_word;
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::running::{End, PATIENCE, Running};
use crate::store::{Act, Trick};

mod acknowledgements;
mod alarms;
mod altered;
mod fork;
mod handover;
mod missing;
mod nonces;
mod reserve;
mod rollback;
mod silence;
mod snapshots;
mod tenants;
mod witnessed;

/// Every attack.
pub fn all() -> Vec<Case> {
    [
        altered::cases(),
        missing::cases(),
        rollback::cases(),
        fork::cases(),
        alarms::cases(),
        tenants::cases(),
        acknowledgements::cases(),
        silence::cases(),
        reserve::cases(),
        witnessed::cases(),
        snapshots::cases(),
        handover::cases(),
        // Last, for it looks at what all others sent.
        nonces::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The attacks of one group.
pub fn group(name: &str) -> Vec<Case> {
    let mut cases = all();
    cases.retain(|case| case.group == name);
    cases
}

/// Opens over a disk that must be served.
fn served(lab: &Lab, disk: Disk) -> Result<Running> {
    let (running, end) = lab.open(disk)?;
    anyhow::ensure!(end == End::Serving, "an honest disk: {end:?}");
    Ok(running)
}

/// So many logins of the first tenant's customer, acknowledged.
fn logins(lab: &Lab, running: &Running, count: usize) -> Result<Vec<Kept>> {
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let mut customer = lab.history()?.a();
    let mut kept = Vec::new();
    for _ in 0..count {
        let login = lab.runtime.block_on(customer.login(&bank))?;
        kept.push(Kept {
            of_a: true,
            receipt: login.receipt,
        });
    }
    Ok(kept)
}

/// Waits until the genesis's witnesses, if it names any, have seen the last of these:
/// before that there is no lasting receipt.
pub(crate) fn until_witnessed(lab: &Lab, running: &Running, kept: &[Kept]) -> Result<()> {
    let last = kept.last().context("nothing was acknowledged")?;
    let banks = &lab.appliance.banks;
    let bank = running.bank(lab, if last.of_a { &banks.a } else { &banks.b })?;
    lab.runtime.block_on(bank.receipt(&id(&last.receipt)?))?;
    Ok(())
}

/// Everything acknowledged so far is still there after SIGKILL and a restart.
fn survives_a_restart(lab: &Lab, running: Running, more: &[Kept]) -> Result<Verdict> {
    let (running, end) = lab.open(running.kill())?;
    if end != End::Serving {
        return Ok(Verdict::Failed(format!("the restart: {end:?}")));
    }
    let receipts = &lab.history()?.receipts;
    let all: Vec<Kept> = receipts.iter().chain(more).cloned().collect();
    keeps_its_word(lab, &running, &all)
}

/// After a lie of the store: the next login gets no answer, and the enclave says why.
fn halts(lab: &Lab, running: &Running, otherwise: &str) -> Result<Verdict> {
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let bank = bank.with_deadline(Duration::from_secs(3));
    let login = lab.runtime.block_on(lab.history()?.a().login(&bank));
    let Err(error) = login else {
        return Ok(Verdict::Failed(otherwise.to_owned()));
    };
    Ok(match running.halted(PATIENCE)? {
        Some(reason) => Verdict::Refused(reason),
        None => Verdict::Failed(format!("it goes on: {error}")),
    })
}

fn is_append(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Append { .. })
}

/// Appends get this; everything else is honest.
fn on_appends(mut act: impl FnMut() -> Act + Send + 'static) -> Trick {
    Box::new(move |request, _| match is_append(request) {
        true => act(),
        false => Act::Honest,
    })
}

/// The acknowledgement of an append.
fn appended() -> StoreResponse {
    StoreResponse::Appended
}
