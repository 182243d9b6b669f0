//! A store that never answers: the host takes availability, and nothing else.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redoubt_bank::BankError;
use redoubt_e2e::appliance::wait_for;
use redoubt_shared::store::StoreRequest;

use super::{logins, on_appends, served, survives_a_restart};
use crate::judge::judge;
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::running::{End, PATIENCE};
use crate::store::{Act, honest};

const GROUP: &str = "silence";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::harmless(GROUP, "until_the_appliance_gives_the_request_up", |lab| {
            while_serving(lab, Duration::from_secs(90), |error| {
                error.code() == Some("request_deadline")
            })
        })
        .waiting(),
        Case::harmless(GROUP, "until_the_bank_gives_up", |lab| {
            while_serving(lab, Duration::from_secs(2), |error| {
                matches!(error, BankError::TimedOut(_))
            })
        }),
        Case::harmless(GROUP, "while_opening", while_opening),
    ]
}

/// Appends are never answered; the bank waits as long as it is told.
fn while_serving(
    lab: &Lab,
    patience: Duration,
    expected: fn(&BankError) -> bool,
) -> Result<Verdict> {
    let mut running = served(lab, lab.history()?.last.clone())?;
    running.store.play(on_appends(|| Act::Silence));
    let bank = running.bank(lab, &lab.appliance.banks.a)?;
    let impatient = bank.clone().with_deadline(patience);
    let user = redoubt_bank::random_name("customer");
    // A customer of its own: nobody else has to wait with it.
    let options = lab.runtime.block_on(impatient.register_options(&user));
    let asked = Instant::now();
    let outcome = match options {
        Ok(options) => {
            let mut key = redoubt_bank::PremadeKey::generate()?;
            let created = key.create(lab.appliance.banks.a.origin, &options)?;
            let answer = impatient.register_verify(&user, &created);
            lab.runtime.block_on(answer).map(drop)
        }
        Err(error) => Err(error),
    };
    let Err(error) = outcome else {
        return Ok(Verdict::Failed("acknowledged without the store".into()));
    };
    let waited = asked.elapsed().as_secs();
    ensure!(expected(&error), "no clear answer: {error}");
    ensure!(running.is_alive(), "the enclave ended: {}", running.log()?);
    running.store.play(honest());
    let more = logins(lab, &running, 2)?;
    match survives_a_restart(lab, running, &more)? {
        Verdict::Harmless(text) => Ok(Verdict::Harmless(format!(
            "after {waited} s: {error}; resumes when the store answers; {text}"
        ))),
        other => Ok(other),
    }
}

/// Reads are never answered while the ledgers are opened.
fn while_opening(lab: &Lab) -> Result<Verdict> {
    let silent = |request: &_, _: &mut _| match request {
        StoreRequest::Read { .. } => Act::Silence,
        _ => Act::Honest,
    };
    let running = lab.start_with(lab.history()?.last.clone(), Box::new(silent))?;
    let end = running.unseal(lab, None, Duration::from_secs(2));
    // No warning is due yet: it still waits for its first answer.
    ensure!(!matches!(end, Ok(End::Serving)), "{end:?}");
    running.store.play(honest());
    wait_for(PATIENCE, "the opening to resume", || {
        let log = running.log().ok()?;
        log.contains(" serving").then_some(())
    })?;
    judge(lab, &running, End::Serving)
}
