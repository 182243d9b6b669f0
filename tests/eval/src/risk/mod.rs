//! How well the enclave's rules of risk sort fraud before habit, over payments that a
//! published simulation makes up. The rules are the enclave's own functions, and what
//! they remember is what its events make of it.

mod precision;
mod simulation;

use std::path::Path;

use anyhow::{Context, Result};
use redoubt_enclave::core::{
    Act, Band, Content, Ending, Event, Moment, Recorded, Risk, SubjectHandle, SubjectKey, Tag,
    TenantState, Whereabouts, apply, assess_payment,
};
use redoubt_shared::ReceiptId;
use serde_json::{Value, json};

pub use precision::{Scored, average_precision};
pub use simulation::{Fraud, Payment, Plan, payments};

/// A payment, and what the rules say of it.
struct Judged {
    payment: Payment,
    risk: Risk,
}

/// Simulates, judges, and writes the report.
///
/// # Errors
/// The report cannot be written.
pub fn evaluate(plan: &Plan, report: &Path) -> Result<Value> {
    let judged = judge(payments(plan));
    let weeks = plan.days.div_ceil(7);
    let of_week = |week| {
        judged
            .iter()
            .filter(move |one| one.payment.day() / 7 == week)
    };
    let figures = json!({
        "simulation": {
            "source": "Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, 2022, chapter 3",
            "customers": plan.customers, "terminals": plan.terminals, "days": plan.days, "seed": plan.seed,
        },
        "all": figures(judged.iter()),
        "weeks": (0..weeks).map(|week| figures(of_week(week))).collect::<Vec<_>>(),
        "scenarios": Fraud::ALL.map(|fraud| scenario(&judged, fraud)),
        "signals": signals(&judged),
    });
    let text = serde_json::to_string_pretty(&figures)?;
    std::fs::write(report, text).with_context(|| report.display().to_string())?;
    Ok(figures)
}

/// Each payment as it happens: a login, the question, and the approval. Nobody notices
/// a fraud, so that it is remembered like anything else.
fn judge(payments: Vec<Payment>) -> Vec<Judged> {
    let mut state = TenantState::default();
    let mut judged = Vec::with_capacity(payments.len());
    for payment in payments {
        let handle = handle(payment.customer);
        if !state.subjects.contains_key(&handle) {
            let key = SubjectKey::new([0; 32]);
            tell(&mut state, Event::SubjectOpened { handle, key });
        }
        tell(&mut state, login(handle, payment.at_ms));
        let (payees, amount) = ([payee(payment.terminal)], payment.cents * 100);
        let past = state.watch.activity(&handle);
        let risk = past.map(|past| assess_payment(past, payment.at_ms, &payees, ("EUR", amount)));
        let noted = Event::PaymentNoted {
            handle,
            payees: payees.into(),
            currency: "EUR".into(),
            amount,
        };
        tell(&mut state, noted);
        let risk = risk.unwrap_or_default();
        judged.push(Judged { payment, risk });
    }
    judged
}

fn tell(state: &mut TenantState, event: Event) {
    let content = Content::State(Box::new(event));
    let owner = None;
    apply(state, &Recorded { owner, content });
}

fn login(handle: SubjectHandle, at_ms: u64) -> Event {
    let moment = Moment {
        at_ms,
        act: Act::Login,
        ending: Ending::Accepted,
        from: Whereabouts::default(),
        risk: Risk::default(),
        receipt: ReceiptId::from_bytes([0; 16]),
        verification: None,
    };
    let moment = Box::new(moment);
    Event::AttemptNoted { handle, moment }
}

fn numbered(number: usize) -> [u8; 16] {
    (number as u128 + 1).to_be_bytes()
}

fn handle(customer: usize) -> SubjectHandle {
    SubjectHandle(numbered(customer))
}

fn payee(terminal: usize) -> Tag {
    Tag(numbered(terminal))
}

/// Average precision of the rules and, beside it, of the amount alone and of a score
/// that knows nothing; and what the rules' middle band holds.
fn figures<'a>(some: impl Iterator<Item = &'a Judged> + Clone) -> Value {
    let by = |score: fn(&Judged) -> f64| {
        let scored = some.clone().map(|one| Scored {
            score: score(one),
            fraud: one.payment.fraud.is_some(),
        });
        average_precision(scored)
    };
    let count = some.clone().count();
    let frauds = some
        .clone()
        .filter(|one| one.payment.fraud.is_some())
        .count();
    let told = some.clone().filter(|one| one.risk.band() >= Band::Medium);
    let right = told
        .clone()
        .filter(|one| one.payment.fraud.is_some())
        .count();
    let share = |of: usize, all: usize| (all > 0).then(|| of as f64 / all as f64);
    json!({
        "payments": count,
        "frauds": frauds,
        "base_rate": share(frauds, count),
        "average_precision": by(|one| one.risk.score()),
        "average_precision_of_the_amount_alone": by(|one| one.payment.cents as f64),
        "medium_or_high": {
            "payments": told.clone().count(),
            "precision": share(right, told.count()),
            "recall": share(right, frauds),
        },
    })
}

/// One kind of fraud against everything that is none.
fn scenario(judged: &[Judged], fraud: Fraud) -> Value {
    let fits = move |one: &&Judged| one.payment.fraud.is_none_or(|other| other == fraud);
    let mut figures = figures(judged.iter().filter(fits));
    figures["scenario"] = fraud.name().into();
    figures
}

/// How often each signal spoke, and how often of fraud.
fn signals(judged: &[Judged]) -> Value {
    let mut all = std::collections::BTreeMap::<&str, [usize; 2]>::new();
    for one in judged {
        for name in one.risk.names() {
            let [spoke, right] = all.entry(name).or_default();
            (*spoke, *right) = (
                *spoke + 1,
                *right + usize::from(one.payment.fraud.is_some()),
            );
        }
    }
    let told = all.into_iter();
    told.map(|(name, [spoke, right])| json!({ "signal": name, "payments": spoke, "frauds": right }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(at_ms: u64, terminal: usize, cents: u64) -> Payment {
        Payment {
            at_ms,
            customer: 0,
            terminal,
            cents,
            fraud: None,
        }
    }

    #[test]
    fn a_payment_is_judged_by_what_was_paid_before_it() {
        let day = 24 * 3_600_000;
        let paid = vec![
            payment(day, 1, 10_000),
            payment(2 * day, 2, 30_000),
            payment(3 * day, 3, 100_000),
            payment(4 * day, 3, 900_000),
        ];
        let judged = judge(paid);
        let names: Vec<_> = judged.iter().map(|one| one.risk.names()).collect();
        let new = vec!["new_payee_large_amount"];
        // Three times as much is not more than that; a payee is new once.
        assert_eq!(names, [vec![], vec![], new, vec![]]);
    }
}
