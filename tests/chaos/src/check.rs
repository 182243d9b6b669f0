//! After each restart: is everything that was acknowledged still there?

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use redoubt_attestation::artefact::{Trust, verify_receipt};
use redoubt_bank::{Bank, BankError, receipts};
use redoubt_e2e::Customer;
use serde_json::Value;

use crate::kept::{Kept, place};
use crate::load;

const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// The first login after a restart: its entry must lie behind every acknowledged one.
/// Whether it does.
pub(crate) async fn goes_on(bank: &Bank, canary: &mut Customer, kept: &Kept) -> Result<bool> {
    let before = kept.inner().sizes.clone();
    let end = Instant::now() + PATIENCE;
    let receipt = loop {
        match canary.login(bank).await {
            Ok(login) => break login.receipt,
            Err(error) if Instant::now() > end => return Err(error).context("no login"),
            Err(error) => load::explain(&error, kept),
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    };
    let (ledger, size) = place(&receipt)?;
    kept.receipt(receipt)?;
    Ok(before.get(&ledger).is_none_or(|known| size > *known))
}

/// An answer with a signature counter that was used already must be refused, the next
/// one accepted. Whether both held; `None` where no new customer got so far.
pub(crate) async fn counts_up(bank: &Bank, kept: &Kept) -> Result<Option<bool>> {
    let Some(mut customer) = kept.inner().counted.pop() else {
        return Ok(None);
    };
    let used = customer.key.counter();
    customer.key.set_counter(used.saturating_sub(1));
    match customer.login(bank).await {
        Ok(_) => return Ok(Some(false)),
        Err(error) if error.code() == Some("authentication_failed") => {}
        Err(error) => return Err(error).context("a login with a counter used before"),
    }
    customer.key.set_counter(used);
    load::login(bank, &mut customer, kept).await?;
    Ok(Some(true))
}

/// How many of these approvals are no longer given.
pub(crate) async fn taken_back(bank: &Bank, approvals: Vec<String>) -> Result<usize> {
    let mut asked = futures::stream::iter(approvals)
        .map(|id| async move { bank.approval(&id).await })
        .buffer_unordered(AT_ONCE);
    let mut missing = 0;
    while let Some(state) = asked.next().await {
        match state {
            Ok(state) => missing += usize::from(state["status"] != "approved"),
            Err(error) => missing += usize::from(no_answer_is_an_error(error)?),
        }
    }
    Ok(missing)
}

/// How many of these receipts are not found again with the same claim, or do not verify.
pub(crate) async fn lost(bank: &Bank, trust: &Trust, kept: Vec<Value>) -> Result<usize> {
    let mut asked = futures::stream::iter(kept)
        .map(|receipt| one(bank, trust, receipt))
        .buffer_unordered(AT_ONCE);
    let mut lost = 0;
    while let Some(found) = asked.next().await {
        lost += usize::from(!found?);
    }
    Ok(lost)
}

async fn one(bank: &Bank, trust: &Trust, kept: Value) -> Result<bool> {
    let id = receipts::id(&kept)?;
    let again = match bank.receipt(&id).await {
        Ok(again) => again,
        Err(error) => {
            println!("receipt {id}: {error}");
            return no_answer_is_an_error(error).map(|_| false);
        }
    };
    let trust = trust.clone();
    tokio::task::spawn_blocking(move || {
        let same = again["claims"] == kept["claims"];
        let receipt = serde_json::from_value(again)?;
        let verdict = verify_receipt(&receipt, &trust);
        if let Err(refusal) = &verdict {
            println!("receipt {id}: {refusal}");
        }
        Ok(same && verdict.is_ok())
    })
    .await?
}

/// "Not found" is a loss; no answer at all says nothing.
fn no_answer_is_an_error(error: BankError) -> Result<bool> {
    match error.status() {
        Some(503) | None => bail!("no answer while nothing was killed: {error}"),
        Some(_) => Ok(true),
    }
}
