//! What the time of a reply tells of a name, or of a user handle: customers and
//! strangers take turns, with options and with answers that are refused.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use redoubt_bank::api::b64u;
use redoubt_bank::client::Bank;
use redoubt_bank::{PremadeKey, random_name};
use redoubt_e2e::appliance::Tenant;
use redoubt_e2e::{Appliance, Customer, Environment, Options};
use serde_json::{Value, json};

use crate::rows::{Row, percentile};

const OPTIONS: &str = "/api/v1/passkeys/authenticate/options";
const VERIFY: &str = "/api/v1/passkeys/authenticate/verify";
/// Tries of each kind.
const TRIES: usize = 10_000;

pub(super) fn rows() -> Result<Vec<Row>> {
    let Some(environment) = Environment::find("webauthn") else {
        bail!("start this with cargo xtask bench")
    };
    let appliance = Appliance::serving(&environment, Options::default())?;
    let bank = appliance.bank(&appliance.banks.a)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let times = runtime.block_on(tries(&bank, &appliance.banks.a))?;
    Ok(times.rows())
}

/// Times of options and of refusals, of strangers and of customers.
struct Times {
    options: [Vec<Duration>; 2],
    refusals: [Vec<Duration>; 2],
    unnamed: [Vec<Duration>; 2],
}

async fn tries(bank: &Bank, tenant: &Tenant) -> Result<Times> {
    let mut customer = Customer::new(tenant)?;
    let options = bank.register_options(&customer.id).await?;
    let created = customer.key.create(tenant.origin, &options)?;
    bank.register_verify(&customer.id, &created).await?;
    let (known, account) = (customer.id, [&created["id"], &options["user"]["id"]]);
    // Not the customer's: what is signed with it is refused.
    let mut key = PremadeKey::generate()?;
    let empty = || [Vec::with_capacity(TRIES), Vec::with_capacity(TRIES)];
    let mut times = Times {
        options: empty(),
        refusals: empty(),
        unnamed: empty(),
    };
    for turn in 0..TRIES {
        let names = [random_name("customer"), known.clone()];
        // Whoever comes first waits for what the other left behind.
        for at in [turn % 2, (turn + 1) % 2] {
            let name = &names[at];
            let began = Instant::now();
            let options = bank.login_options(name).await?;
            times.options[at].push(began.elapsed());
            let mut signed = key.get(tenant.origin, &options)?;
            let id = options["allowCredentials"][0]["id"].clone();
            (signed["id"], signed["rawId"]) = (id.clone(), id);
            let began = Instant::now();
            let answer = bank.login_verify(name, &signed).await;
            times.refusals[at].push(began.elapsed());
            ensure!(answer.is_err(), "a forged login was accepted");
            let nobody = [json!(b64u(&random()?)), json!(b64u(&random()?[..16]))];
            let [id, handle] = [nobody.each_ref(), account][at];
            let options: Value = bank.post(OPTIONS, &json!({})).await?.read()?;
            let mut signed = key.get(tenant.origin, &options)?;
            (signed["id"], signed["rawId"]) = (id.clone(), id.clone());
            signed["response"]["userHandle"] = handle.clone();
            let began = Instant::now();
            let answer = bank.post(VERIFY, &signed).await?;
            times.unnamed[at].push(began.elapsed());
            ensure!(answer.status == 401, "{}", answer.status);
        }
    }
    Ok(times)
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no random bytes"))?;
    Ok(bytes)
}

impl Times {
    fn rows(mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (what, both) in [
            ("login options", &mut self.options),
            ("a refused login", &mut self.refusals),
            ("a refused login by user handle", &mut self.unnamed),
        ] {
            both.iter_mut().for_each(|times| times.sort_unstable());
            for (named, share) in [("median", 0.5), ("p95", 0.95)] {
                let [strange, known] = both.each_ref().map(|times| percentile(times, share));
                let name = format!("webauthn: {named} of {what} of nobody's, against a customer's");
                rows.push(Row::new(name, strange, known, "ms", TRIES));
            }
            rows.push(told_apart(what, both));
        }
        rows
    }
}

/// How often the slower of one stranger's and one customer's time is the
/// customer's (area under the ROC curve), beside chance.
fn told_apart(what: &str, [strange, known]: &[Vec<Duration>; 2]) -> Row {
    let mut below = 0;
    let mut slower = 0u64;
    for time in known {
        while strange.get(below).is_some_and(|other| other < time) {
            below += 1;
        }
        slower += below as u64;
    }
    let share = slower as f64 / (known.len() * strange.len()) as f64;
    let name = format!(
        "webauthn: share of pairs in which {what} took longer for the customer, against chance"
    );
    Row::new(name, share, 0.5, "", known.len())
}
