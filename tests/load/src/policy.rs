//! What a tenant's own policy costs: logins of a tenant with a bundle in force beside those
//! of another tenant of the same appliance without one, in turns.

use anyhow::Result;
use redoubt_bank::client::Bank;
use redoubt_bank::load::Measured;
use redoubt_e2e::bundles::{STRICTER, Signers, bundle, ledger_of, put};
use redoubt_e2e::{Appliance, Environment};

use crate::cpu;
use crate::login::logins;
use crate::rows::Row;

/// Turns, and seconds of each.
const TURNS: usize = 4;
const SECONDS: u64 = 2;

/// What the turns of one tenant came to.
#[derive(Default)]
struct Sum {
    spent: f64,
    policy: f64,
    turns: Vec<Measured>,
}

impl Sum {
    async fn turn(&mut self, appliance: &Appliance, bank: &Bank, seconds: u64) -> Result<()> {
        let enclave = appliance.enclave_pid().unwrap_or_default();
        let before = cpu::of_children(enclave)?;
        let (spent, measured) = logins(appliance, bank, 1, seconds).await?;
        self.policy += cpu::of_children(enclave)? - before;
        self.spent += spent;
        self.turns.push(measured);
        Ok(())
    }

    fn ok(&self) -> usize {
        self.turns.iter().map(|turn| turn.ok).sum()
    }

    /// Of a figure of each turn the median.
    fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        let mut all: Vec<f64> = self.turns.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}

pub(crate) fn rows(
    environment: &Environment,
    runtime: &tokio::runtime::Runtime,
) -> Result<Vec<Row>> {
    let signers = Signers::new()?;
    let appliance = Appliance::serving(environment, signers.options())?;
    runtime.block_on(measure(&appliance, &signers))
}

async fn measure(appliance: &Appliance, signers: &Signers) -> Result<Vec<Row>> {
    let ruled = appliance.bank(&appliance.banks.a)?;
    let plain = appliance.bank(&appliance.banks.b)?;
    let payload = bundle(&ledger_of(appliance)?, 1, &STRICTER);
    put(&ruled, &signers.sign(&payload, 2)?).await?;
    let mut sums = [Sum::default(), Sum::default()];
    for bank in [&ruled, &plain] {
        Sum::default().turn(appliance, bank, 1).await?;
    }
    for _ in 0..TURNS {
        for (sum, bank) in sums.iter_mut().zip([&ruled, &plain]) {
            sum.turn(appliance, bank, SECONDS).await?;
        }
    }
    let [with, without] = sums;
    let (n, each) = (with.ok(), |sum: &Sum| sum.spent / sum.ok() as f64);
    let beside = |what: &str, figure: fn(&Measured) -> f64| {
        let name = format!("{what} of a login under a tenant's policy, 1 client, against without");
        Row::new(name, with.median(figure), without.median(figure), "ms", n)
    };
    Ok(vec![
        beside("p50", |turn| turn.p50_ms),
        beside("p99", |turn| turn.p99_ms),
        Row::new(
            "CPU of a login under a tenant's policy, its process included, 1 client, against without",
            each(&with),
            each(&without),
            "us",
            n,
        ),
        Row::new(
            "CPU of the policy's process for one decision, against the whole login's",
            with.policy / n as f64,
            each(&with),
            "us",
            n,
        ),
    ])
}
