//! Card payments, made up: the generator that "Reproducible Machine Learning for Credit
//! Card Fraud Detection - Practical Handbook" describes (Le Borgne, Siblini, Lebichot,
//! Bontempi; Université Libre de Bruxelles, 2022; chapter 3, "Transaction data
//! simulator"), written anew from that description. The process is theirs, the
//! numbers drawn are not: another generator of random numbers stands below.

use crate::stats::SplitMix;

const DAY_MS: u64 = 24 * 3_600_000;
/// The first of April 2018, where theirs begins; a Sunday.
const BEGIN_MS: u64 = 1_522_540_800_000;
/// A customer pays at terminals no farther than this, on a square of 100 by 100.
const REACH: f64 = 5.0;

/// How much is made up.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// People who pay.
    pub customers: usize,
    /// Where they pay.
    pub terminals: usize,
    /// For how long.
    pub days: u64,
    /// Where the drawing begins.
    pub seed: u64,
}

impl Default for Plan {
    /// As published.
    fn default() -> Self {
        Self {
            customers: 5000,
            terminals: 10_000,
            days: 183,
            seed: 2022,
        }
    }
}

/// Why a payment counts as fraud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fraud {
    /// More than 220 (scenario 1).
    Amount,
    /// At a terminal that is compromised for 28 days, two of which begin each day
    /// (scenario 2).
    Terminal,
    /// A third of what somebody pays in 14 days is five times as much; three people
    /// each day (scenario 3).
    Customer,
}

impl Fraud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Amount, Self::Terminal, Self::Customer];

    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amount => "amount_above_220",
            Self::Terminal => "compromised_terminal",
            Self::Customer => "compromised_customer",
        }
    }
}

/// One payment.
#[derive(Debug, Clone, Copy)]
pub struct Payment {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Who, from 0.
    pub customer: usize,
    /// Where, from 0.
    pub terminal: usize,
    /// How much, in hundredths.
    pub cents: u64,
    /// Whether it is fraud; a later scenario takes over from an earlier one.
    pub fraud: Option<Fraud>,
}

impl Payment {
    /// Days since the beginning.
    pub fn day(&self) -> u64 {
        (self.at_ms - BEGIN_MS) / DAY_MS
    }
}

/// Everything that is paid, in the order of time.
pub fn payments(plan: &Plan) -> Vec<Payment> {
    let mut random = SplitMix::new(plan.seed);
    let mut place = || [random.unit() * 100.0, random.unit() * 100.0];
    let terminals: Vec<_> = (0..plan.terminals).map(|_| place()).collect();
    let mut all = Vec::new();
    for customer in 0..plan.customers {
        let habit = Habit::draw(&mut random, &terminals);
        for day in 0..plan.days {
            habit.pay(&mut random, customer, day, &mut all);
        }
    }
    all.sort_by_key(|payment| (payment.at_ms, payment.customer));
    defraud(&mut random, plan, &mut all);
    all
}

/// What one customer usually does.
struct Habit {
    mean: f64,
    a_day: f64,
    near: Vec<usize>,
}

impl Habit {
    fn draw(random: &mut SplitMix, terminals: &[[f64; 2]]) -> Self {
        let [x, y] = [random.unit() * 100.0, random.unit() * 100.0];
        let far = |[a, b]: [f64; 2]| (a - x).hypot(b - y);
        let near = terminals.iter().enumerate();
        let near = near.filter(|(_, at)| far(**at) < REACH);
        Self {
            near: near.map(|(number, _)| number).collect(),
            mean: 5.0 + 95.0 * random.unit(),
            a_day: 4.0 * random.unit(),
        }
    }

    /// One day: so many payments (Poisson), around noon (normal, 20 000 s), amounts
    /// normal with half the mean as deviation, anywhere reachable.
    fn pay(&self, random: &mut SplitMix, customer: usize, day: u64, all: &mut Vec<Payment>) {
        for _ in 0..random.poisson(self.a_day) {
            let second = (43_200.0 + 20_000.0 * random.normal()) as i64;
            let drawn = self.mean * (1.0 + random.normal() / 2.0);
            let amount = match drawn < 0.0 {
                true => 2.0 * self.mean * random.unit(),
                false => drawn,
            };
            // What falls on another day is not made, and those without a terminal pay nowhere.
            if !(1..86_400).contains(&second) || self.near.is_empty() {
                continue;
            }
            all.push(Payment {
                at_ms: BEGIN_MS + day * DAY_MS + second as u64 * 1000,
                customer,
                terminal: self.near[random.below(self.near.len())],
                cents: (amount * 100.0).round() as u64,
                fraud: None,
            });
        }
    }
}

fn defraud(random: &mut SplitMix, plan: &Plan, all: &mut [Payment]) {
    for payment in all.iter_mut().filter(|payment| payment.cents > 22_000) {
        payment.fraud = Some(Fraud::Amount);
    }
    let by = |count: usize, of: fn(&Payment) -> usize| {
        let mut by = vec![Vec::new(); count];
        all.iter()
            .enumerate()
            .for_each(|(at, payment)| by[of(payment)].push(at));
        by
    };
    let at_terminal = by(plan.terminals, |payment| payment.terminal);
    let of_customer = by(plan.customers, |payment| payment.customer);
    let within = |all: &[Payment], some: &[usize], from: u64, days: u64| -> Vec<usize> {
        let days = from..from + days;
        let some = some.iter().copied();
        some.filter(|at| days.contains(&all[*at].day())).collect()
    };
    for day in 0..plan.days {
        for terminal in random.some(2, plan.terminals) {
            for at in within(all, &at_terminal[terminal], day, 28) {
                all[at].fraud = Some(Fraud::Terminal);
            }
        }
    }
    for day in 0..plan.days {
        for customer in random.some(3, plan.customers) {
            let paid = within(all, &of_customer[customer], day, 14);
            for chosen in random.some(paid.len() / 3, paid.len()) {
                let payment = &mut all[paid[chosen]];
                payment.cents *= 5;
                payment.fraud = Some(Fraud::Customer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_as_described_and_the_same_each_time() {
        let plan = Plan {
            customers: 500,
            terminals: 1000,
            days: 60,
            seed: 1,
        };
        let all = payments(&plan);
        // Two a day of each on average; what falls on another day (3 %) is not made.
        let a_day = all.len() as f64 / (500.0 * 60.0);
        assert!((1.8..2.1).contains(&a_day), "{a_day}");
        let mean = all.iter().map(|one| one.cents as f64 / 100.0).sum::<f64>() / all.len() as f64;
        assert!((45.0..65.0).contains(&mean), "{mean}");
        assert!(all.is_sorted_by_key(|payment| payment.at_ms));
        for fraud in Fraud::ALL {
            let of: Vec<_> = all.iter().filter(|one| one.fraud == Some(fraud)).collect();
            assert!(!of.is_empty(), "{fraud:?}");
            let large = of.iter().all(|one| one.cents > 22_000);
            assert_eq!(large, fraud == Fraud::Amount, "{fraud:?}");
        }
        let again = payments(&plan);
        let same = |one: &Payment| (one.at_ms, one.customer, one.terminal, one.cents, one.fraud);
        assert!(all.iter().map(same).eq(again.iter().map(same)));
    }
}
