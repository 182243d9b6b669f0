//! Killed between the reservation of an attempt and its verdict, by a host that
//! keeps or forgets what it was just given. With the real host and worker behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use redoubt_bank::{Bank, random_name};
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::mangler::Mangler;
use redoubt_e2e::{Appliance, Options};

use super::on_appends;
use crate::lab::Lab;
use crate::outcome::{Case, Verdict};
use crate::running::PATIENCE;
use crate::store::{Act, Store, honest};

const GROUP: &str = "reserve";
/// `max_failed_attempts` of the configuration.
const BUDGET: usize = 3;

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, attack: fn(&Lab) -> Result<Verdict>| {
        Case::harmless(GROUP, name, attack).with_photographs()
    };
    vec![
        case("killed_with_the_verdict_forgotten", |lab| {
            killed(lab, || Act::Silence)
        }),
        case("killed_with_the_verdict_kept", |lab| {
            killed(lab, || Act::KeepInSilence)
        }),
        case(
            "no_sample_leaves_before_the_reservation_is_durable",
            unreserved,
        ),
    ]
}

/// A whole appliance whose streams run through this host.
struct Whole {
    appliance: Appliance,
    store: Store,
    to_worker: Mangler,
    // They end with their owner.
    _relays: Vec<Mangler>,
}

impl Whole {
    fn start(lab: &Lab) -> Result<Self> {
        let options = Options {
            interposed: true,
            ..Options::default()
        };
        let appliance = Appliance::prepare(lab.appliance.environment(), options)?;
        let near = |side, name| appliance.stream(side, name);
        let _context = lab.runtime.enter();
        let relays = vec![
            Mangler::between(&near('h', "ingress"), &near('e', "ingress"))?,
            Mangler::between(&near('h', "supervise"), &near('e', "supervise"))?,
        ];
        let to_worker = Mangler::between(&near('e', "worker"), &near('h', "worker"))?;
        let (ours, real) = (near('e', "store"), near('h', "store"));
        let store = Store::before(&ours, &real, lab.nonces.clone())?;
        let mut whole = Self {
            appliance,
            store,
            to_worker,
            _relays: relays,
        };
        whole.appliance.bring_up()?;
        Ok(whole)
    }

    fn bank(&self) -> Result<Bank> {
        self.appliance.bank(&self.appliance.banks.a)
    }

    fn sent_to_worker(&self) -> u64 {
        self.to_worker.passed()[0]
    }

    /// An enrolled customer, and a photograph of somebody else.
    fn enrolled(&self, lab: &Lab) -> Result<(String, Vec<u8>)> {
        let media = self.appliance.environment().media()?;
        let user = random_name("customer");
        let bank = self.bank()?;
        lab.runtime.block_on(bank.enroll(&user, &media.person))?;
        Ok((user, media.other))
    }
}

/// The reservation is durable, the verdict is not acknowledged, the kill comes.
fn killed(lab: &Lab, verdict: fn() -> Act) -> Result<Verdict> {
    let mut whole = Whole::start(lab)?;
    let (user, wrong) = whole.enrolled(lab)?;
    let mut appends = 0;
    whole.store.play(on_appends(move || {
        appends += 1;
        match appends {
            1 => Act::Honest,
            _ => verdict(),
        }
    }));
    let bank = whole.bank()?;
    let (waiting_bank, waiting_user, sample) = (bank, user.clone(), wrong.clone());
    let waiting = lab
        .runtime
        .spawn(async move { waiting_bank.verify(&waiting_user, &sample).await });
    wait_for(PATIENCE, "the verdict at the store", || {
        (whole.store.silences() > 0).then_some(())
    })?;
    ensure!(!waiting.is_finished(), "a verdict before it was durable");
    whole.appliance.kill_all()?;
    whole.store.play(honest());
    let answer = lab.runtime.block_on(waiting)?;
    ensure!(answer.is_err(), "a killed appliance answered");
    whole.appliance.bring_up()?;
    let bank = whole.bank()?;
    let mut compared = 0;
    let mut last = String::new();
    for _ in 0..2 * BUDGET {
        match lab.runtime.block_on(bank.verify(&user, &wrong)) {
            Ok(_) => compared += 1,
            Err(error) => last = error.to_string(),
        }
    }
    if compared >= BUDGET {
        let text = format!("{compared} comparisons after the kill: the attempt came back");
        return Ok(Verdict::Failed(text));
    }
    ensure!(
        compared == BUDGET - 1,
        "{compared} comparisons, then: {last}"
    );
    Ok(Verdict::Harmless(format!(
        "{compared} of {BUDGET} comparisons are left, then: {last}"
    )))
}

/// While the reservation is not acknowledged, the worker gets nothing.
fn unreserved(lab: &Lab) -> Result<Verdict> {
    let whole = Whole::start(lab)?;
    let (user, wrong) = whole.enrolled(lab)?;
    let before = whole.sent_to_worker();
    ensure!(
        before > wrong.len() as u64 / 4,
        "the control: nothing was sent"
    );
    whole.store.play(on_appends(|| Act::Silence));
    let impatient = whole.bank()?.with_deadline(Duration::from_secs(3));
    let outcome = lab.runtime.block_on(impatient.verify(&user, &wrong));
    let Err(error) = outcome else {
        return Ok(Verdict::Failed("a verdict without a reservation".into()));
    };
    let sent = whole.sent_to_worker() - before;
    if sent > 0 {
        return Ok(Verdict::Failed(format!("{sent} bytes went to the worker")));
    }
    Ok(Verdict::Harmless(format!(
        "{sent} bytes went to the worker; the bank saw: {error}"
    )))
}
