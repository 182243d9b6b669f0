//! Snapshots altered, cut, mixed or withheld. A new epoch writes one, so the lab
//! has a custodian.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use redoubt_bank::{Bank, Connection};
use redoubt_e2e::appliance::wait_for;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::logins;
use crate::disk::{BlobName, Disk};
use crate::judge::{judge, says_nothing_false};
use crate::lab::{Kind, Lab};
use crate::outcome::{Case, Verdict};
use crate::record::{Field, SnapshotRoot};
use crate::running::{End, PATIENCE};

const GROUP: &str = "snapshots";

pub(super) fn cases() -> Vec<Case> {
    let guarded = |attack: fn(&Lab) -> Result<Verdict>| {
        move |lab: &Lab| attack(&*lab.other(Kind::Custodian)?)
    };
    let mut cases = vec![
        Case::harmless(
            GROUP,
            "nothing_attacked",
            guarded(|lab| over(lab, |_, _| Ok(()))),
        ),
        Case::harmless(GROUP, "entries_before_it_altered", guarded(before_it)),
    ];
    for (name, edit) in EDITS {
        cases.push(Case::refused(GROUP, name, move |lab| {
            over(&*lab.other(Kind::Custodian)?, edit)
        }));
    }
    cases
}

type Edit = fn(&Lab, &mut Disk) -> Result<()>;

const EDITS: [(&str, Edit); 15] = [
    ("bit_flipped_in_the_root", |_, disk| {
        let name = newest(disk)?;
        flip(disk, name, 0)
    }),
    ("root_version", |_, disk| root(disk, |r| r.version ^= 2)),
    ("root_epoch", |_, disk| root(disk, |r| r.epoch ^= 1)),
    ("root_genesis", |_, disk| root(disk, |r| r.genesis[0] ^= 1)),
    ("root_ledger_id", |_, disk| root(disk, |r| r.ledger[0] ^= 1)),
    ("root_drawn_bytes", |_, disk| {
        root(disk, |r| r.random[0] ^= 1)
    }),
    ("root_chunk_name", |_, disk| {
        root(disk, |r| r.chunks[0][0] ^= 1)
    }),
    ("root_chunk_left_out", |_, disk| {
        root(disk, |r| r.chunks.truncate(r.chunks.len() - 1))
    }),
    ("root_chunk_twice", |_, disk| {
        root(disk, |r| r.chunks.push(r.chunks[0]))
    }),
    ("chunk_first_byte_under_its_name", |_, disk| {
        let name = chunk(disk)?;
        flip(disk, name, 0)
    }),
    ("chunk_middle_byte_under_a_new_name", |_, disk| {
        renamed(disk, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    }),
    ("chunk_last_byte_under_a_new_name", |_, disk| {
        renamed(disk, |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        })
    }),
    ("chunk_missing", |_, disk| {
        let name = chunk(disk)?;
        disk.blobs.remove(&name);
        Ok(())
    }),
    ("pointer_forgotten", |_, disk| {
        disk.latest.clear();
        Ok(())
    }),
    ("entries_behind_it_dropped", |lab, disk| {
        let ledger = lab.ledgers().a;
        disk.edit(ledger).pop();
        Ok(())
    }),
];

fn newest(disk: &Disk) -> Result<BlobName> {
    disk.latest.first().copied().context("no snapshot")
}

fn parsed(disk: &Disk) -> Result<SnapshotRoot> {
    let bytes = disk.blobs.get(&newest(disk)?).context("no first blob")?;
    SnapshotRoot::read(bytes).context("the first blob is not as specified")
}

fn chunk(disk: &Disk) -> Result<BlobName> {
    parsed(disk)?.chunks.first().copied().context("no chunk")
}

fn flip(disk: &mut Disk, name: BlobName, at: usize) -> Result<()> {
    disk.blobs.get_mut(&name).context("no such blob")?[at] ^= 1;
    Ok(())
}

fn put(disk: &mut Disk, bytes: Vec<u8>) -> BlobName {
    let name: BlobName = Sha256::digest(&bytes).into();
    disk.blobs.insert(name, bytes);
    name
}

/// Edits the first blob and points at the edited one.
fn root(disk: &mut Disk, edit: impl FnOnce(&mut SnapshotRoot)) -> Result<()> {
    let mut root = parsed(disk)?;
    edit(&mut root);
    let name = put(disk, root.write()?);
    disk.latest = vec![name];
    Ok(())
}

/// Edits the first chunk and names the edited one everywhere.
fn renamed(disk: &mut Disk, edit: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let name = chunk(disk)?;
    let mut bytes = disk.blobs.get(&name).context("no chunk")?.clone();
    edit(&mut bytes);
    let name = put(disk, bytes);
    root(disk, |root| root.chunks[0] = name)
}

/// The disk after a new epoch and a few logins; made once.
fn rotated(lab: &Lab) -> Result<Disk> {
    static MADE: Mutex<Option<(std::path::PathBuf, Disk)>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = lab.appliance.dir().to_path_buf();
    if let Some((of, disk)) = &*made
        && *of == here
    {
        return Ok(disk.clone());
    }
    let (running, end) = lab.open(lab.history()?.last.clone())?;
    ensure!(end == End::Serving, "an honest disk: {end:?}");
    let officer = Bank::open(&Connection {
        url: running.url(),
        ca: lab.appliance.ca()?,
        client: Some(lab.appliance.banks.officer.1.clone()),
        http2: false,
    })?;
    let body = json!({});
    let asked = officer.post("/api/v1/epochs/rotate", &body);
    let status: serde_json::Value = lab.runtime.block_on(asked)?.read()?;
    wait_for(PATIENCE, &format!("a new epoch after {status}"), || {
        let now = lab.runtime.block_on(officer.get("/api/v1/epochs")).ok()?;
        let now: serde_json::Value = now.read().ok()?;
        (now["epoch"] == 1 && now["rotation"].is_null()).then_some(())
    })?;
    logins(lab, &running, 2)?;
    let disk = running.kill();
    ensure!(!disk.latest.is_empty(), "a new epoch wrote no snapshot");
    *made = Some((here, disk.clone()));
    Ok(disk)
}

fn over(lab: &Lab, edit: Edit) -> Result<Verdict> {
    let mut disk = rotated(lab)?;
    edit(lab, &mut disk)?;
    let (running, end) = lab.open(disk)?;
    judge(lab, &running, end)
}

/// Entries that only receipts still need: those are withheld, and nothing else.
fn before_it(lab: &Lab) -> Result<Verdict> {
    let mut disk = rotated(lab)?;
    for record in disk.edit(lab.ledgers().a).iter_mut().take(5) {
        record.bytes = Field::CiphertextMiddle.flip(&record.bytes)?;
    }
    let (running, end) = lab.open(disk)?;
    match end {
        End::Serving => says_nothing_false(lab, &running, &lab.history()?.receipts),
        other => judge(lab, &running, other),
    }
}
