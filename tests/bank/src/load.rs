//! Bounded load: many clients, fresh challenges, keys made beforehand.
//!
//! Every acknowledged receipt is kept in a file at once, so that after any crash
//! a check can demand each of them back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::api::{BankError, Payee, Transaction};
use crate::client::Bank;
use crate::media::Media;
use crate::origins::Origins;
use crate::receipts::Journal;
use crate::signer::PremadeKey;

/// What each client repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A passkey login: options, then assertion.
    Assert,
    /// A face verification.
    Verify,
    /// A payment's approval: creation, then assertion.
    Approve,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to repeat.
    pub kind: Kind,
    /// Clients at once.
    pub clients: usize,
    /// How long.
    pub duration: Duration,
    /// Sample photographs, for [`Kind::Verify`].
    pub media: Option<PathBuf>,
    /// Where acknowledged receipts are kept.
    pub receipts: PathBuf,
}

/// What a run measured. Times are of whole rounds, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// What was repeated.
    pub kind: Kind,
    /// Clients at once.
    pub clients: usize,
    /// Seconds of the run.
    pub seconds: f64,
    /// Rounds that succeeded.
    pub ok: usize,
    /// Rounds that did not, by code.
    pub errors: BTreeMap<String, usize>,
    /// Successful rounds per second.
    pub per_second: f64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Slowest.
    pub max_ms: f64,
    /// Acknowledged receipts kept.
    pub receipts: PathBuf,
}

#[derive(Default)]
struct Tally {
    times: Vec<Duration>,
    errors: BTreeMap<String, usize>,
}

/// Prepares the clients, then runs them until the time is over.
pub async fn run(bank: &Bank, plan: &Plan) -> Result<Measured> {
    let origins = Origins::discover(bank).await?;
    let samples = plan.media.as_deref().map(Media::read).transpose()?;
    let samples = samples.map(Arc::new);
    let mut clients = Vec::with_capacity(plan.clients);
    for _ in 0..plan.clients {
        clients.push(Client::prepare(bank, plan.kind, &origins, samples.clone()).await?);
    }
    let journal = Journal::create(&plan.receipts)?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let started = Instant::now();
    let end = started + plan.duration;
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.repeat(end, journal.clone(), tally.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(measured(plan, seconds, &mut tally))
}

fn measured(plan: &Plan, seconds: f64, tally: &mut Tally) -> Measured {
    tally.times.sort_unstable();
    let times = &tally.times;
    let at = |share: f64| {
        let rank = (times.len() as f64 * share).ceil() as usize;
        let time = times.get(rank.saturating_sub(1));
        time.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    Measured {
        kind: plan.kind,
        clients: plan.clients,
        seconds,
        ok: times.len(),
        errors: tally.errors.clone(),
        per_second: times.len() as f64 / seconds,
        p50_ms: at(0.50),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        receipts: plan.receipts.clone(),
    }
}

struct Client {
    bank: Bank,
    kind: Kind,
    user: String,
    origins: Origins,
    key: PremadeKey,
    samples: Option<Arc<Media>>,
}

impl Client {
    async fn prepare(
        bank: &Bank,
        kind: Kind,
        origins: &Origins,
        samples: Option<Arc<Media>>,
    ) -> Result<Self> {
        let mut client = Self {
            bank: bank.clone(),
            kind,
            user: crate::random_name("load"),
            origins: origins.clone(),
            key: PremadeKey::generate()?,
            samples,
        };
        match kind {
            Kind::Verify => {
                let media = client.samples.as_ref();
                let media = media.context("load of kind verify needs --media")?;
                bank.enroll(&client.user, &media.person).await?;
            }
            Kind::Assert | Kind::Approve => {
                let options = bank.register_options(&client.user).await?;
                let created = client.key.create(&client.origins.login, &options)?;
                bank.register_verify(&client.user, &created).await?;
            }
        }
        Ok(client)
    }

    async fn repeat(
        mut self,
        end: Instant,
        journal: Journal,
        tally: Arc<Mutex<Tally>>,
    ) -> Result<()> {
        while Instant::now() < end {
            let started = Instant::now();
            let outcome = self.round().await;
            let elapsed = started.elapsed();
            let failed = outcome.as_ref().err().map(label);
            if let Ok(receipt) = outcome {
                journal.keep(&receipt)?;
            }
            let broken = failed.as_deref() == Some("transport");
            {
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                match failed {
                    None => tally.times.push(elapsed),
                    Some(label) => *tally.errors.entry(label).or_default() += 1,
                }
            }
            if broken {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<Value, BankError> {
        match self.kind {
            Kind::Assert => self.login().await,
            Kind::Approve => self.approve().await,
            Kind::Verify => self.verify().await,
        }
    }

    async fn login(&mut self) -> Result<Value, BankError> {
        let options = self.bank.login_options(&self.user).await?;
        let signed = self.key.get(&self.origins.login, &options)?;
        Ok(self.bank.login_verify(&self.user, &signed).await?.receipt)
    }

    async fn approve(&mut self) -> Result<Value, BankError> {
        let payment = Transaction {
            amount: "17.20".into(),
            currency: "EUR".into(),
            payee: Payee {
                name: "Utility".into(),
                account: "DE89370400440532013000".into(),
            },
            reference: crate::random_name("load"),
        };
        let pending = self.bank.approve(&self.user, &payment).await?;
        let signed = self.key.get(&self.origins.approval, &pending.options)?;
        let id = &pending.approval_id;
        let approved = self.bank.approve_verify(id, &self.user, &signed).await?;
        Ok(approved.receipt)
    }

    async fn verify(&mut self) -> Result<Value, BankError> {
        let Some(media) = self.samples.clone() else {
            return Err(BankError::Authenticator("no samples".into()));
        };
        let verification = self.bank.verify(&self.user, &media.person_again).await?;
        Ok(verification.receipt)
    }
}

fn label(error: &BankError) -> String {
    match error {
        BankError::Refused { problem, .. } => problem.code.clone(),
        BankError::Unreadable { status, .. } => format!("unreadable_{status}"),
        BankError::Transport(_) => "transport".into(),
        BankError::TimedOut(_) => "timed_out".into(),
        BankError::Authenticator(_) => "authenticator".into(),
    }
}
