//! The attacks, by what the host does.

use anyhow::Result;
use redoubt_shared::store::{StoreRequest, StoreResponse};

use crate::disk::Disk;
use crate::history::Kept;
use crate::judge::keeps_its_word;
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::running::{End, Running};

mod acknowledgements;
mod alarms;
mod altered;
mod fork;
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

fn is_append(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Append { .. })
}

/// The acknowledgement of an append.
fn appended() -> StoreResponse {
    StoreResponse::Appended
}
