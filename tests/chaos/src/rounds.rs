//! Load, kill, restart, ask: the rounds and what they add up to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::artefact::Trust;
use redoubt_bank::Bank;
use redoubt_e2e::{Customer, Environment};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::check;
use crate::draw::Draw;
use crate::faces::Faces;
use crate::kept::Kept;
use crate::load;
use crate::machine::{Machine, VICTIMS, Victim};

const CLIENTS: usize = 6;
/// The load runs at least this long before the kill, and at most the sum of both.
const LOAD_MIN_MS: usize = 15;
const LOAD_SPREAD_MS: usize = 90;
/// Of earlier rounds, so many receipts and approvals are asked for again each round.
const SAMPLE: usize = 6;
/// In one round of so many, the kill comes again while the appliance recovers.
const TWICE_IN: usize = 8;
/// In one round of so many, faces are enrolled and verified too.
const FACES_EVERY: u32 = 40;
const PROGRESS_EVERY: u32 = 20;

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Rounds, each with a kill.
    pub(crate) rounds: u32,
    pub(crate) seed: u64,
    /// Receipts acknowledged.
    pub(crate) acknowledged: usize,
    /// Acknowledged receipts or approvals that were not there again, or did not verify.
    pub(crate) lost: usize,
    /// Counters that went back: ledger sizes, signature counters, failures, lockouts.
    pub(crate) rewound: usize,
    pub(crate) approvals: usize,
    /// Signature counters used before a kill and offered again after it.
    pub(crate) counters: u32,
    pub(crate) kills: Kills,
    /// With faces, where sample photographs are there.
    pub(crate) face_rounds: u32,
    pub(crate) seconds: f64,
    /// Median of a round, from the start of its load.
    pub(crate) round_ms: u64,
    /// Median from the kill to the first login acknowledged.
    pub(crate) outage_ms: u64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Kills {
    enclave: u32,
    host: u32,
    both: u32,
    while_recovering: u32,
}

struct Chaos {
    machine: Machine,
    trust: Trust,
    kept: Kept,
    draw: Draw,
    customers: Vec<Customer>,
    canary: Customer,
    faces: Option<Faces>,
    report: Report,
    rounds_ms: Vec<u64>,
    outages_ms: Vec<u64>,
}

pub(crate) fn run(rounds: u32, seed: u64) -> Result<Report> {
    let environment = Environment::find("chaos").context("start this with cargo xtask chaos")?;
    let began = Instant::now();
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let mut chaos = Chaos::prepare(&environment, seed).await?;
        let outcome = chaos.all(rounds).await;
        if outcome.is_err() || chaos.report.lost + chaos.report.rewound > 0 {
            chaos.machine.appliance.keep_files();
        }
        outcome?;
        let mut report = chaos.report;
        report.seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        report.round_ms = median(chaos.rounds_ms);
        report.outage_ms = median(chaos.outages_ms);
        Ok(report)
    })
}

impl Chaos {
    async fn prepare(environment: &Environment, seed: u64) -> Result<Self> {
        let media = environment.media_dir().map(|_| environment.media());
        let media = media.transpose()?;
        let mut machine = Machine::new(environment, media.is_some())?;
        let kept = Kept::default();
        let bank = machine.until_serving().await?;
        let faces = match media {
            Some(media) => Some(Faces::prepare(&bank, media, &kept).await?),
            None => {
                println!("without faces: REDOUBT_MEDIA_DIR is not set");
                None
            }
        };
        let tenant = &machine.appliance.banks.a;
        let mut customers = Vec::new();
        for _ in 0..CLIENTS {
            customers.push(Customer::registered(&bank, tenant).await?);
        }
        let canary = Customer::registered(&bank, tenant).await?;
        let policy = std::fs::read(machine.appliance.policy())?;
        let mut chaos = Self {
            trust: Trust::from_policy(&policy)?,
            machine,
            kept,
            draw: Draw::new(seed),
            customers,
            canary,
            faces,
            report: Report::empty(seed),
            rounds_ms: Vec::new(),
            outages_ms: Vec::new(),
        };
        chaos.worker(false).await?;
        Ok(chaos)
    }

    async fn all(&mut self, rounds: u32) -> Result<()> {
        let mut bank = self.machine.until_serving().await?;
        for round in 1..=rounds {
            let began = Instant::now();
            let with_faces = self.faces.is_some() && round % FACES_EVERY == FACES_EVERY / 2;
            bank = match with_faces {
                true => self.face_round().await,
                false => self.round(bank).await,
            }
            .with_context(|| format!("round {round}, seed {}", self.report.seed))?;
            self.rounds_ms.push(began.elapsed().as_millis() as u64);
            self.report.rounds = round;
            self.report.acknowledged = self.kept.inner().receipts.len();
            if round % PROGRESS_EVERY == 0 {
                println!(
                    "round {round}: {} acknowledged, {} lost, {} rewound",
                    self.report.acknowledged, self.report.lost, self.report.rewound
                );
            }
        }
        self.finish(bank).await
    }

    /// Load, a kill at a random moment, a restart, questions.
    async fn round(&mut self, bank: Bank) -> Result<Bank> {
        let since = self.kept.inner().receipts.len();
        let customers = std::mem::take(&mut self.customers);
        let tenant = &self.machine.appliance.banks.a;
        let running = load::start(&bank, tenant, customers, &mut self.draw, &self.kept)?;
        let moment = LOAD_MIN_MS + self.draw.below(LOAD_SPREAD_MS);
        tokio::time::sleep(Duration::from_millis(moment as u64)).await;
        let victim = self.kill();
        let killed = Instant::now();
        self.customers = running.cut_off(&self.kept).await?;
        self.start_again(victim).await?;
        self.questions(since, killed).await
    }

    /// The same with faces, for which the host is started anew with a worker.
    async fn face_round(&mut self) -> Result<Bank> {
        let bank = self.worker(true).await?;
        let since = self.kept.inner().receipts.len();
        let faces = self.faces.as_ref().context("no faces")?;
        let mut running = faces.load(&bank, &self.kept).await?;
        let moment = 50 + self.draw.below(900);
        tokio::time::sleep(Duration::from_millis(moment as u64)).await;
        let victim = self.kill();
        let killed = Instant::now();
        while let Some(done) = running.join_next().await {
            done??;
        }
        self.start_again(victim).await?;
        self.questions(since, killed).await?;
        self.report.face_rounds += 1;
        self.worker(false).await
    }

    fn kill(&mut self) -> Victim {
        let victim = VICTIMS[self.draw.below(VICTIMS.len())];
        self.machine.kill(victim);
        let kills = &mut self.report.kills;
        match victim {
            Victim::Enclave => kills.enclave += 1,
            Victim::Host => kills.host += 1,
            Victim::Both => kills.both += 1,
        }
        victim
    }

    /// Now and then the kill comes again at some moment of the recovery.
    async fn start_again(&mut self, victim: Victim) -> Result<()> {
        self.machine.start()?;
        if self.draw.below(TWICE_IN) == 0 {
            let moment = Duration::from_millis(self.draw.below(150) as u64);
            match self.draw.below(2) {
                0 => tokio::time::sleep(moment).await,
                // With the share given, it is reading its ledger.
                _ => drop(tokio::time::timeout(moment, self.machine.until_serving()).await),
            }
            self.machine.kill(victim);
            self.report.kills.while_recovering += 1;
            self.machine.start()?;
        }
        Ok(())
    }

    async fn questions(&mut self, since: usize, killed: Instant) -> Result<Bank> {
        let bank = self.machine.until_serving().await?;
        let grows = check::goes_on(&bank, &mut self.canary, &self.kept).await?;
        self.outages_ms.push(killed.elapsed().as_millis() as u64);
        let remembered = tokio::task::block_in_place(|| self.machine.remember())?;
        let counts = check::counts_up(&bank, &self.kept).await?;
        self.report.counters += u32::from(counts.is_some());
        let locked = match &self.faces {
            Some(faces) => faces.still_locked(&bank).await?,
            None => true,
        };
        for (held, what) in [
            (grows, "a tenant's ledger is shorter than acknowledged"),
            (remembered, "the appliance's ledger is shorter than shown"),
            (
                counts.unwrap_or(true),
                "a signature counter was accepted twice",
            ),
            (locked, "a lockout is over early"),
        ] {
            if !held {
                println!("{what}");
                self.report.rewound += 1;
            }
        }
        let (receipts, approvals) = self.sample(since);
        self.report.lost += check::lost(&bank, &self.trust, receipts).await?;
        self.report.lost += check::taken_back(&bank, approvals).await?;
        let surprises = std::mem::take(&mut self.kept.inner().surprises);
        ensure!(surprises.is_empty(), "unexpected answers: {surprises:?}");
        Ok(bank)
    }

    /// All receipts of the last round and some earlier ones; some approvals.
    fn sample(&mut self, since: usize) -> (Vec<serde_json::Value>, Vec<String>) {
        let inner = self.kept.inner();
        let mut receipts = inner.receipts[since..].to_vec();
        let earlier = self.draw.places(SAMPLE, since);
        receipts.extend(earlier.into_iter().map(|at| inner.receipts[at].clone()));
        let approvals = self.draw.places(SAMPLE, inner.approvals.len());
        let approvals = approvals.into_iter().map(|at| inner.approvals[at].clone());
        (receipts, approvals.collect())
    }

    /// Starts the host anew, with or without a worker.
    async fn worker(&mut self, wanted: bool) -> Result<Bank> {
        self.machine.kill(Victim::Host);
        self.machine.appliance.options.without_worker = !wanted;
        self.machine.start()?;
        let bank = self.machine.until_serving().await?;
        // The enclave finds the store again with the first request that needs it.
        ensure!(check::goes_on(&bank, &mut self.canary, &self.kept).await?);
        Ok(bank)
    }

    /// What was never acknowledged must be missed, or the questions ask nothing.
    async fn control(&self, bank: &Bank) -> Result<()> {
        let mut told = self.kept.inner().receipts.last().cloned();
        let altered = told.as_mut().context("nothing was acknowledged")?;
        let claims = altered["claims"].as_str().context("claims")?;
        altered["claims"] = claims.replacen("bank", "bAnk", 1).into();
        let missed = check::lost(bank, &self.trust, told.into_iter().collect()).await?;
        ensure!(missed == 1, "an altered receipt is not missed");
        let invented = vec!["00000000-0000-4000-8000-000000000000".to_owned()];
        let missed = check::taken_back(bank, invented).await?;
        ensure!(missed == 1, "an approval that never was is not missed");
        Ok(())
    }

    /// Every receipt and every approval there ever was.
    async fn finish(&mut self, mut bank: Bank) -> Result<()> {
        if self.faces.is_some() {
            bank = self.worker(true).await?;
        }
        if let Some(faces) = &self.faces {
            let kept = faces.failures_were_kept(&bank, &self.kept).await?;
            self.report.rewound += usize::from(!kept);
        }
        let receipts = self.kept.inner().receipts.clone();
        let approvals = self.kept.inner().approvals.clone();
        self.report.acknowledged = receipts.len();
        self.report.approvals = approvals.len();
        self.control(&bank).await?;
        println!("asking for all {} receipts again", receipts.len());
        // Those found missing on the way are missing now as well: count each once.
        let lost = check::lost(&bank, &self.trust, receipts).await?;
        let taken_back = check::taken_back(&bank, approvals).await?;
        self.report.lost = self.report.lost.max(lost + taken_back);
        Ok(())
    }
}

impl Report {
    fn empty(seed: u64) -> Self {
        Self {
            rounds: 0,
            seed,
            acknowledged: 0,
            lost: 0,
            rewound: 0,
            approvals: 0,
            counters: 0,
            kills: Kills::default(),
            face_rounds: 0,
            seconds: 0.0,
            round_ms: 0,
            outage_ms: 0,
        }
    }
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}
