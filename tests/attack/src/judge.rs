//! Whether an enclave that serves after an attack still keeps every word.

use anyhow::{Result, bail};
use redoubt_bank::BankError;
use redoubt_bank::receipts::{claims, id};

use crate::history::Kept;
use crate::lab::Lab;
use crate::outcome::Verdict;
use crate::running::{End, Running};

/// A host that gives a receipt's record damaged, or not at all, withholds it: the
/// appliance may say that it cannot answer, and nothing else.
pub fn is_withheld(error: &BankError) -> bool {
    error.code() == Some("store_unavailable")
}

/// Refused, or served with nothing lost; anything else is a success of the attack.
pub fn judge(lab: &Lab, running: &Running, end: End) -> Result<Verdict> {
    match end {
        End::Serving => keeps_its_word(lab, running, &lab.history()?.receipts),
        End::Halted(reason) | End::Ended(reason) => Ok(Verdict::Refused(reason)),
        End::Waiting(warning) => Ok(Verdict::Refused(format!("never serves: {warning}"))),
    }
}

/// Every receipt, the counters, and the payment that was approved already. The store
/// is honest now.
pub fn keeps_its_word(lab: &Lab, running: &Running, receipts: &[Kept]) -> Result<Verdict> {
    asked_again(lab, running, receipts, 0)
}

/// The same where the host may still withhold records.
pub fn says_nothing_false(lab: &Lab, running: &Running, receipts: &[Kept]) -> Result<Verdict> {
    asked_again(lab, running, receipts, receipts.len())
}

fn asked_again(lab: &Lab, running: &Running, receipts: &[Kept], most: usize) -> Result<Verdict> {
    let mut withheld = 0;
    for kept in receipts {
        match found_again(lab, running, kept)? {
            Found::Same => {}
            Found::Withheld => withheld += 1,
            Found::Wrong(why) => return Ok(Verdict::Failed(why)),
        }
    }
    if let Some(why) = rewound(lab, running)? {
        return Ok(Verdict::Failed(why));
    }
    let verified = receipts.len() - withheld;
    let mut text = format!("serves: {verified} acknowledged receipts verify");
    if withheld > 0 {
        text += &format!(", {withheld} withheld (store_unavailable)");
    }
    Ok(match withheld > most {
        true => Verdict::Failed(text),
        false => Verdict::Harmless(text),
    })
}

enum Found {
    Same,
    Withheld,
    Wrong(String),
}

fn found_again(lab: &Lab, running: &Running, kept: &Kept) -> Result<Found> {
    let banks = &lab.appliance.banks;
    let bank = running.bank(lab, if kept.of_a { &banks.a } else { &banks.b })?;
    let id = id(&kept.receipt)?;
    let again = match lab.runtime.block_on(bank.receipt(&id)) {
        Ok(again) => again,
        Err(error) if is_withheld(&error) => return Ok(Found::Withheld),
        Err(error) => return Ok(Found::Wrong(format!("an acknowledged receipt: {error}"))),
    };
    if again["claims"] != kept.receipt["claims"] {
        return Ok(Found::Wrong("a receipt tells other claims now".into()));
    }
    let audit = lab.appliance.auditor().verify_value(&again)?;
    if !audit.accepted() {
        let why = format!("an auditor refuses it: {} {}", audit.json, audit.stderr);
        return Ok(Found::Wrong(why));
    }
    Ok(Found::Same)
}

/// What came back that had been spent, if anything did.
pub fn rewound(lab: &Lab, running: &Running) -> Result<Option<String>> {
    let history = lab.history()?;
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let mut customer = history.a();
    let payment = &history.payment;
    let replay = bank.approve_verify(&payment.id, &customer.id, &payment.assertion);
    if lab.runtime.block_on(replay).is_ok() {
        return Ok(Some("the payment was approved a second time".into()));
    }
    // A copied authenticator: its counter stands where the first login was.
    let counter = customer.key.counter();
    customer.key.set_counter(0);
    let stale = lab.runtime.block_on(customer.login(&bank));
    customer.key.set_counter(counter);
    match stale {
        Ok(_) => return Ok(Some("a signature counter went back".into())),
        Err(error) if error.code() == Some("authentication_failed") => {}
        Err(error) => bail!("a login with a stale counter: {error}"),
    }
    let fresh = lab.runtime.block_on(customer.login(&bank));
    Ok(fresh
        .err()
        .map(|error| format!("an honest customer: {error}")))
}

/// The claims say that no witness took part.
pub fn says_freshness_none(receipt: &serde_json::Value) -> Result<bool> {
    Ok(claims(receipt)?["freshness"] == "none")
}
