//! One tenant's records presented as another's.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_bank::receipts::id;
use redoubt_shared::LedgerId;
use redoubt_shared::store::{StoreRequest, StoreResponse, StoredRecord};
use serde_json::{Value, json};

use super::{logins, served};
use crate::judge::{is_withheld, judge, keeps_its_word};
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::record::Sealed;
use crate::running::PATIENCE;
use crate::store::{Act, honest};

const GROUP: &str = "tenants";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::refused(GROUP, "a_s_records_under_b_s_name", |lab| {
            relabelled(lab, false)
        }),
        Case::refused(GROUP, "a_s_records_with_b_s_header", |lab| {
            relabelled(lab, true)
        }),
        Case::refused(GROUP, "both_ledgers_swapped_on_disk", swapped),
        Case::refused(GROUP, "both_ledgers_swapped_in_the_configuration", config),
        Case::refused(GROUP, "answers_swapped_while_opening", answers),
        Case::refused(GROUP, "a_receipt_read_from_b_s_records", receipt),
    ]
}

/// A record of one ledger, made to look like one of another.
fn relabel(record: &StoredRecord, ledger: LedgerId, header_too: bool) -> Result<StoredRecord> {
    let mut sealed = Sealed::read(&record.bytes)?;
    if header_too {
        sealed.header[1..17].copy_from_slice(ledger.as_bytes());
    }
    Ok(StoredRecord {
        ledger,
        index: record.index,
        bytes: sealed.write()?,
    })
}

fn relabelled(lab: &Lab, header_too: bool) -> Result<Verdict> {
    let mut disk = lab.history()?.last.clone();
    let (a, b) = (lab.ledgers().a, lab.ledgers().b);
    let records = disk.records(a).iter();
    let records = records.map(|record| relabel(record, b, header_too));
    let records = records.collect::<Result<_>>()?;
    *disk.edit(b) = records;
    let (running, end) = lab.open(disk)?;
    judge(lab, &running, end)
}

fn swapped(lab: &Lab) -> Result<Verdict> {
    let mut disk = lab.history()?.last.clone();
    let (a, b) = (lab.ledgers().a, lab.ledgers().b);
    let (of_a, of_b) = (disk.records(a).to_vec(), disk.records(b).to_vec());
    (*disk.edit(a), *disk.edit(b)) = (of_b, of_a);
    disk.renumber(a);
    disk.renumber(b);
    let (running, end) = lab.open(disk)?;
    judge(lab, &running, end)
}

/// The host edits the configuration; the officers' signatures stay as they were.
fn config(lab: &Lab) -> Result<Verdict> {
    let mut disk = lab.history()?.last.clone();
    let mut file: Value = serde_json::from_slice(&disk.config)?;
    let payload = file["payload"].as_str().context("no payload")?;
    let mut inner: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    let ledgers = [0, 1].map(|tenant| inner["tenants"][tenant]["ledger"].clone());
    inner["tenants"][0]["ledger"] = ledgers[1].clone();
    inner["tenants"][1]["ledger"] = ledgers[0].clone();
    file["payload"] = json!(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&inner)?));
    disk.config = serde_json::to_vec(&file)?;
    let running = lab.start(disk)?;
    match running.ended()? {
        Some(text) => Ok(Verdict::Refused(text)),
        None => {
            let end = running.unseal(lab, None, PATIENCE)?;
            judge(lab, &running, end)
        }
    }
}

/// Every question about one tenant is answered about the other.
fn answers(lab: &Lab) -> Result<Verdict> {
    let (a, b) = (lab.ledgers().a, lab.ledgers().b);
    let trick = move |request: &StoreRequest, disk: &mut crate::Disk| match request {
        StoreRequest::Read {
            ledger,
            from,
            limit,
        } if [a, b].contains(ledger) => {
            let (asked, other) = (*ledger, if *ledger == a { b } else { a });
            let question = StoreRequest::Read {
                ledger: other,
                from: *from,
                limit: *limit,
            };
            let mut answer = disk.answer(&question);
            if let StoreResponse::Records(records) = &mut answer {
                records.iter_mut().for_each(|record| record.ledger = asked);
            }
            Act::Say(vec![answer])
        }
        _ => Act::Honest,
    };
    let running = lab.start_with(lab.history()?.last.clone(), Box::new(trick))?;
    let end = running.unseal(lab, None, PATIENCE)?;
    judge(lab, &running, end)
}

/// While serving, reads of one tenant's ledger get records of the other.
fn receipt(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    let more = logins(lab, &running, 1)?;
    let (a, b) = (lab.ledgers().a, lab.ledgers().b);
    running
        .store
        .play(Box::new(move |request, disk| match request {
            StoreRequest::Read { ledger, from, .. } if *ledger == a => {
                let mut records: Vec<_> = disk.records(b).iter().take(1).cloned().collect();
                for record in &mut records {
                    (record.ledger, record.index) = (a, *from);
                }
                Act::Say(vec![StoreResponse::Records(records)])
            }
            _ => Act::Honest,
        }));
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let answer = lab.runtime.block_on(bank.receipt(&id(&more[0].receipt)?));
    let Err(refusal) = answer else {
        return Ok(Verdict::Failed(
            "a receipt came from another's record".into(),
        ));
    };
    ensure!(is_withheld(&refusal), "{refusal}");
    running.store.play(honest());
    match keeps_its_word(lab, &running, &more)? {
        Verdict::Harmless(_) => Ok(Verdict::Refused(refusal.to_string())),
        other => Ok(other),
    }
}
