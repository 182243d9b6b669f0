//! Acknowledgements repeated, withheld, exchanged, invented, and untrue refusals.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redoubt_bank::receipts::id;
use redoubt_shared::store::{StoreRefusal, StoreRequest, StoreResponse};

use super::{appended, halts, is_append, logins, on_appends, served, survives_a_restart};
use crate::judge::{is_withheld, judge, says_nothing_false};
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::record::Field;
use crate::store::{Act, Trick, honest};

const GROUP: &str = "acknowledgements";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::refused(GROUP, "invented_for_one_batch", invented),
        Case::refused(GROUP, "invented_for_the_tenant_s_part_of_a_batch", half),
        Case::refused(GROUP, "read_back_altered_after_an_untrue_refusal", altered),
        Case::refused(GROUP, "receipts_read_back_altered", receipts),
    ];
    for (name, trick) in HARMLESS {
        cases.push(Case::harmless(GROUP, name, move |lab| {
            goes_on(lab, trick())
        }));
    }
    cases
}

type Make = fn() -> Trick;

/// After each of these the enclave must go on, and lose nothing.
const HARMLESS: [(&str, Make); 10] = [
    ("every_one_twice", || {
        Box::new(|request, disk| {
            let answer = disk.answer(request);
            Act::Say(vec![answer.clone(), answer])
        })
    }),
    ("one_more_before_it_is_kept", || {
        Box::new(|request, disk| match disk.answer(request) {
            StoreResponse::Appended => Act::Say(vec![appended(), appended(), appended()]),
            other => Act::Say(vec![other]),
        })
    }),
    ("those_of_the_next_batches_too", || {
        Box::new(|request, disk| match disk.answer(request) {
            StoreResponse::Appended => Act::SayAhead(vec![appended(), appended(), appended()]),
            other => Act::Say(vec![other]),
        })
    }),
    ("kept_but_never_acknowledged", || {
        every_second(|| Act::KeepAndHangUp)
    }),
    ("neither_kept_nor_acknowledged", || {
        every_second(|| Act::HangUp)
    }),
    ("late", || {
        every_second(|| Act::Late(Duration::from_millis(300)))
    }),
    ("exchanged_with_another_answer", || {
        every_second(|| Act::Say(vec![StoreResponse::Heads(Vec::new())]))
    }),
    ("previous_answer_again", previous),
    ("kept_and_refused_as_out_of_order", || {
        let mut told = false;
        Box::new(move |request, disk| {
            let answer = disk.answer(request);
            told = is_append(request) && !told;
            if told {
                Act::Say(vec![refusal(StoreRefusal::OutOfOrder)])
            } else {
                Act::Say(vec![answer])
            }
        })
    }),
    ("not_kept_and_refused_as_different", || {
        every_second(|| Act::Say(vec![refusal(StoreRefusal::Different)]))
    }),
];

fn refusal(reason: StoreRefusal) -> StoreResponse {
    let detail = "said the host".to_owned();
    StoreResponse::Refused { reason, detail }
}

/// Every second append gets this; the others are honest.
fn every_second(act: fn() -> Act) -> Trick {
    let mut number = 0;
    on_appends(move || {
        number += 1;
        match number % 2 {
            1 => act(),
            _ => Act::Honest,
        }
    })
}

/// Answers come one question late, every now and then.
fn previous() -> Trick {
    let (mut number, mut before) = (0, StoreResponse::Appended);
    Box::new(move |request, disk| {
        number += 1;
        let late = number % 3 == 0 && !is_append(request);
        let answer = if late {
            before.clone()
        } else {
            disk.answer(request)
        };
        before = answer.clone();
        Act::Say(vec![answer])
    })
}

fn goes_on(lab: &Lab, trick: Trick) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    running.store.play(trick);
    let more = match logins(lab, &running, 4) {
        Ok(more) => more,
        Err(error) => {
            let why = running.halted(Duration::from_secs(1))?;
            return Ok(Verdict::Failed(format!("{error:#}; halted: {why:?}")));
        }
    };
    if let failed @ Verdict::Failed(_) = says_nothing_false(lab, &running, &more)? {
        return Ok(failed);
    }
    survives_a_restart(lab, running, &more)
}

/// One batch is acknowledged and forgotten, then the host is honest again.
fn invented(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    running
        .store
        .play(on_appends(|| Act::Say(vec![appended()])));
    logins(lab, &running, 1)?;
    running.store.play(honest());
    halts(lab, &running, "it built on a forgotten batch")
}

/// The appliance's record of a batch is kept, the tenant's is not.
fn half(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    let kept = lab.ledgers().appliance;
    running
        .store
        .play(Box::new(move |request, disk| match request {
            StoreRequest::Append { records } => {
                let records = records.iter().filter(|record| record.ledger == kept);
                let records = records.cloned().collect();
                disk.answer(&StoreRequest::Append { records });
                Act::Say(vec![appended()])
            }
            _ => Act::Honest,
        }));
    logins(lab, &running, 2)?;
    let (running, end) = lab.open(running.kill())?;
    judge(lab, &running, end)
}

/// A kept batch is refused, and what is read back then is not what was sent.
fn altered(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    running.store.play(Box::new(|request, disk| {
        let answer = match (request, disk.answer(request)) {
            (StoreRequest::Append { .. }, _) => refusal(StoreRefusal::Different),
            (_, StoreResponse::Records(records)) => StoreResponse::Records(flipped(records)),
            (_, other) => other,
        };
        Act::Say(vec![answer])
    }));
    halts(lab, &running, "an altered batch was acknowledged")
}

fn flipped(
    mut records: Vec<redoubt_shared::store::StoredRecord>,
) -> Vec<redoubt_shared::store::StoredRecord> {
    for record in &mut records {
        if let Ok(bytes) = Field::CiphertextMiddle.flip(&record.bytes) {
            record.bytes = bytes;
        }
    }
    records
}

/// While serving, records of receipts come back altered: they are withheld, and
/// nothing else happens.
fn receipts(lab: &Lab) -> Result<Verdict> {
    let running = served(lab, lab.history()?.last.clone())?;
    let more = logins(lab, &running, 2)?;
    running
        .store
        .play(Box::new(|request, disk| match disk.answer(request) {
            StoreResponse::Records(records) => {
                Act::Say(vec![StoreResponse::Records(flipped(records))])
            }
            other => Act::Say(vec![other]),
        }));
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let receipt = &more.first().context("a receipt")?.receipt;
    let asked = lab.runtime.block_on(bank.receipt(&id(receipt)?));
    let Err(refusal) = asked else {
        return Ok(Verdict::Failed("an altered record was believed".into()));
    };
    ensure!(is_withheld(&refusal), "{refusal}");
    running.store.play(honest());
    match survives_a_restart(lab, running, &more)? {
        Verdict::Harmless(_) => Ok(Verdict::Refused(refusal.to_string())),
        other => Ok(other),
    }
}
