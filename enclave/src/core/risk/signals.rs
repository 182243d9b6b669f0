//! The rules. Each looks at one attempt and what is remembered, and says whether it
//! holds; none looks at a clock or at another customer's data.

use super::{Act, Activity, Ending, Moment, Risk, Signal, Tag, Whereabouts};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// As fast as an airliner with a tail wind, in kilometres an hour.
const FASTEST_KMH: f64 = 1000.0;
/// Below this, places differ by how they were measured.
const NEAR_KM: f64 = 100.0;
/// Attempts of the same kind before this one, within a minute and within ten, that are many.
const MANY: [(u64, usize); 2] = [(MINUTE_MS, 5), (10 * MINUTE_MS, 10)];
/// Failures of one kind that count, and within how long.
pub(in crate::core) const FAILURES: usize = 2;
pub(in crate::core) const FAILURES_MS: u64 = 30 * MINUTE_MS;
/// Accepted attempts before anything is called usual.
const USUAL: usize = 10;
/// Hours from every earlier attempt that are unusual.
const FAR_HOURS: u64 = 4;
/// Equal gaps that no person keeps, and how equal: the standard deviation as a part
/// of the mean.
const GAPS: usize = 5;
const EVEN: f64 = 0.05;
/// Other customers on one device that are several.
const SHARED_BY: usize = 3;
/// How many times the largest payment so far is much more.
const MUCH_MORE: u64 = 3;

/// What is asked now.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Asked {
    /// What.
    pub(in crate::core) act: Act,
    /// When, Unix milliseconds.
    pub(in crate::core) at_ms: u64,
    /// Whence.
    pub(in crate::core) from: Whereabouts,
    /// Other customers who used this device.
    pub(in crate::core) others: usize,
}

type Rule = (Signal, fn(&Activity, &Asked) -> bool);

/// What is unusual about an attempt.
pub(in crate::core) fn assess(past: &Activity, now: &Asked) -> Risk {
    let rules: [Rule; 8] = [
        (Signal::ImpossibleTravel, impossible_travel),
        (Signal::Velocity, velocity),
        (Signal::DeviceMismatch, device_mismatch),
        (Signal::RepeatedFailures, repeated_failures),
        (Signal::UnusualHour, unusual_hour),
        (Signal::RegularRhythm, regular_rhythm),
        (Signal::SharedDevice, |_, now| now.others >= SHARED_BY),
        (Signal::ContextWithheld, context_withheld),
    ];
    let held = rules.into_iter().filter(|(_, holds)| holds(past, now));
    Risk {
        signals: held.map(|(signal, _)| signal).collect(),
    }
}

/// What is unusual about a payment at this moment, of somebody with this past: its
/// payees and amount (ten-thousandths; of a batch the largest), and how its maker's
/// logins come. Of a past without anything remembered nothing is.
pub fn assess_payment(
    past: &Activity,
    at_ms: u64,
    payees: &[Tag],
    (currency, amount): (&str, u64),
) -> Risk {
    let now = Asked {
        act: Act::Login,
        at_ms,
        from: Whereabouts::default(),
        others: 0,
    };
    let mut risk = assess(past, &now);
    let strange = past.is_unusual_payment(payees, currency, amount);
    risk.signals
        .extend(strange.then_some(Signal::NewPayeeLargeAmount));
    risk
}

impl Activity {
    /// Whether a payment is unusual: somebody among the payees was never paid, and it
    /// is much more than ever in this currency. `amount` in ten-thousandths.
    pub(in crate::core) fn is_unusual_payment(
        &self,
        payees: &[Tag],
        currency: &str,
        amount: u64,
    ) -> bool {
        let strange = payees.iter().any(|payee| !self.payees.contains(payee));
        let largest = self.largest.iter().find(|(known, _)| known == currency);
        let much = largest.is_some_and(|(_, most)| amount > most.saturating_mul(MUCH_MORE));
        strange && much
    }

    /// Accepted attempts that say what is usual of this one. A voice that a loudspeaker
    /// may have says nothing of a face, nor of both together, nor do both of a face: whoever
    /// plays it makes no device or place known.
    fn accepted(&self, act: Act) -> impl DoubleEndedIterator<Item = &Moment> {
        let all = self.moments.iter();
        let told = move |moment: &&Moment| match moment.act {
            Act::Login | Act::Face => true,
            Act::Both => matches!(act, Act::Both | Act::Voice),
            Act::Voice => act == Act::Voice,
        };
        all.filter(|moment| moment.ending == Ending::Accepted)
            .filter(told)
    }

    /// Attempts of one kind: refused logins, which need no secret, say nothing of a face.
    fn since(&self, from_ms: u64, act: Act) -> impl Iterator<Item = &Moment> {
        let all = self.moments.iter();
        all.filter(move |moment| moment.at_ms >= from_ms && moment.act == act)
    }
}

fn impossible_travel(past: &Activity, now: &Asked) -> bool {
    let last = past
        .accepted(now.act)
        .rev()
        .find_map(|moment| Some((moment.at_ms, moment.from.place?)));
    let (Some((at_ms, there)), Some(here)) = (last, now.from.place) else {
        return false;
    };
    let hours = now.at_ms.saturating_sub(at_ms) as f64 / HOUR_MS as f64;
    let km = there.km_to(here);
    km > NEAR_KM && km > FASTEST_KMH * hours
}

fn velocity(past: &Activity, now: &Asked) -> bool {
    MANY.iter().any(|(within_ms, many)| {
        let from_ms = now.at_ms.saturating_sub(*within_ms);
        past.since(from_ms, now.act).count() >= *many
    })
}

fn device_mismatch(past: &Activity, now: &Asked) -> bool {
    let Some(device) = now.from.device else {
        return false;
    };
    let mut known = past
        .accepted(now.act)
        .filter_map(|moment| moment.from.device);
    let first = known.next();
    first.is_some_and(|first| first != device) && !known.any(|known| known == device)
}

fn repeated_failures(past: &Activity, now: &Asked) -> bool {
    let recent = past.since(now.at_ms.saturating_sub(FAILURES_MS), now.act);
    let failed = recent.filter(|moment| moment.ending != Ending::Accepted);
    failed.count() >= FAILURES
}

fn unusual_hour(past: &Activity, now: &Asked) -> bool {
    const DAY_MS: u64 = 24 * HOUR_MS;
    let apart = |other: &Moment| {
        let between = (now.at_ms % DAY_MS).abs_diff(other.at_ms % DAY_MS);
        between.min(DAY_MS - between)
    };
    let nearest = past.accepted(now.act).map(apart).min();
    past.accepted(now.act).count() >= USUAL && nearest.is_some_and(|ms| ms > FAR_HOURS * HOUR_MS)
}

fn regular_rhythm(past: &Activity, now: &Asked) -> bool {
    let same = past.moments.iter().rev().filter(|one| one.act == now.act);
    let latest = same.map(|moment| moment.at_ms);
    let times: Vec<u64> = std::iter::once(now.at_ms)
        .chain(latest)
        .take(GAPS + 1)
        .collect();
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| pair[0].saturating_sub(pair[1]) as f64)
        .collect();
    let mean = gaps.iter().sum::<f64>() / GAPS as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / GAPS as f64;
    // Under a second they came in parallel; over an hour a habit is no machine.
    let countable = (1000.0..=HOUR_MS as f64).contains(&mean);
    gaps.len() == GAPS && countable && variance.sqrt() < EVEN * mean
}

fn context_withheld(past: &Activity, now: &Asked) -> bool {
    let withheld = |known: &Moment| {
        (known.from.place.is_some() && now.from.place.is_none())
            || (known.from.device.is_some() && now.from.device.is_none())
    };
    now.act != Act::Login && past.accepted(now.act).any(withheld)
}
