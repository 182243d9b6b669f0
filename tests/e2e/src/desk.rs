//! An appliance in which one enclave hands over to another.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use redoubt_bank::Bank;
use serde_json::Value;
use tempfile::TempDir;

use crate::appliance::{Appliance, Options, wait_for};
use crate::behaviour::{Needs, on};
use crate::handover::Papers;
use crate::manifests;
use crate::peers::{Duty, PeerSet};
use crate::process::run_ok;

const PATIENCE: Duration = Duration::from_secs(15);

/// An appliance with a second place, its peers, and its officer's papers.
pub struct Desk {
    /// The appliance.
    pub appliance: Appliance,
    /// Its officer's.
    pub papers: Papers,
    /// Witnesses and custodians, if there are any.
    pub peers: Option<PeerSet>,
    beside: TempDir,
    /// Whether the enclave that waits is in the first place.
    back: bool,
}

impl Desk {
    /// `None` when there are no programs: the test is skipped by name.
    fn new(
        test: &str,
        peers: usize,
        duties: &[(Duty, usize)],
        needs: Needs,
    ) -> Result<Option<Self>> {
        let Some(environment) = needs.find(test) else {
            return Ok(None);
        };
        let beside = tempfile::Builder::new().prefix("rdh").tempdir()?;
        let dir = beside.path().join("peers");
        std::fs::create_dir(&dir)?;
        let options = Options {
            without_worker: needs == Needs::Programs,
            standby: true,
            ..Options::default()
        };
        let mut peers = match peers {
            0 => None,
            count => Some(PeerSet::init(&environment, &dir, count)?),
        };
        let words = |(duty, needed): &(Duty, usize)| match &peers {
            Some(peers) => peers.ceremony(*duty, *needed),
            None => Vec::new(),
        };
        let ceremony: Vec<_> = duties.iter().flat_map(words).collect();
        let mut appliance = Appliance::prepare_with(&environment, options, &ceremony)?;
        if let Some(peers) = &mut peers {
            peers.start(&appliance.policy())?;
            appliance.options.peers = peers.addresses();
        }
        appliance.keep_on_failure(Appliance::bring_up)?;
        appliance.keep_on_failure(Appliance::start_standby)?;
        Ok(Some(Self {
            papers: Papers::new(&appliance, beside.path())?,
            appliance,
            peers,
            beside,
            back: false,
        }))
    }

    /// A client of the first tenant.
    pub fn bank(&self) -> Result<Bank> {
        self.appliance.bank(&self.appliance.banks.a)
    }

    /// A client under an officer's certificate.
    pub fn officer(&self) -> Result<Bank> {
        let officer = self.appliance.banks.officer.1.clone();
        self.appliance.client(Some(officer), false)
    }

    /// An order between the enclaves of now: from the one that banks reach.
    pub fn order(&self) -> Result<Value> {
        let to = self.waiting()?;
        self.papers.order(&self.appliance.url(), &to)
    }

    /// The same, signed.
    pub fn signed(&self) -> Result<PathBuf> {
        let to = self.waiting()?;
        self.papers.signed(&self.appliance.url(), &to)
    }

    /// `redoubt handover run` between them.
    pub fn run(&self, signed: &Path) -> Result<Command> {
        let to = self.waiting()?;
        Ok(self.papers.run(&self.appliance.url(), &to, signed))
    }

    /// `redoubt genesis successor` of the present manifest into a folder beside.
    pub fn successor(&self, name: &str, more: &[&str]) -> Result<PathBuf> {
        let all = [&manifests::STAYS[..], more].concat();
        manifests::successor(&self.appliance, &self.file(name), &all)
    }

    /// Has the enclave that serves take over a successor, with all its shares.
    pub fn change_to(&self, next: &Path) -> Result<()> {
        let mut command = manifests::change_to(&self.appliance, self.beside.path(), next)?;
        run_ok(&mut command).map(drop)
    }

    /// A file beside the appliance.
    pub fn file(&self, name: &str) -> PathBuf {
        self.beside.path().join(name)
    }

    /// Gives the order to the enclave that banks reach; the code of its refusal.
    pub async fn refusal(&self, order: &Value) -> Result<(String, String)> {
        let signed = self.papers.sign_blindly(order)?;
        self.refusal_of(&signed).await
    }

    /// The same of a signed order.
    pub async fn refusal_of(&self, signed: &Value) -> Result<(String, String)> {
        let reply = self.papers.give(&self.officer()?, signed).await?;
        let problem: Value = serde_json::from_slice(&reply.body)?;
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        Ok((text("code"), text("detail")))
    }

    /// Where officers reach the enclave that waits.
    pub fn waiting(&self) -> Result<String> {
        match self.back {
            true => self.appliance.first_url(),
            false => self.appliance.standby_url(),
        }
    }

    /// Starts an enclave in the first place, whose enclave is gone; from now on it is
    /// the one that waits.
    pub fn another(&mut self) -> Result<()> {
        self.appliance.start()?;
        self.back = true;
        let url = self.waiting()?;
        wait_for(PATIENCE, "another enclave", || {
            let phase = self.appliance.phase_at(&url).ok()?;
            (phase == "awaiting_unseal").then_some(())
        })
    }

    /// Waits until banks reach an enclave that serves.
    pub async fn until_served(&self) -> Result<()> {
        let bank = self.bank()?;
        for _ in 0..200 {
            if let Ok(reply) = bank.get("/healthz").await {
                let health: Value = reply.read()?;
                if health["phase"] == "serving" {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("banks reach no enclave that serves")
    }
}

/// Runs a behaviour on a desk of its own.
pub fn desk(
    test: &str,
    peers: usize,
    duties: &[(Duty, usize)],
    behaviour: impl AsyncFnOnce(&mut Desk) -> Result<()>,
) {
    on(
        || Desk::new(test, peers, duties, Needs::Programs),
        behaviour,
    );
}

/// The same with a worker, and photographs for it.
pub fn desk_with_faces(test: &str, behaviour: impl AsyncFnOnce(&mut Desk) -> Result<()>) {
    on(|| Desk::new(test, 0, &[], Needs::Photographs), behaviour);
}

impl AsRef<Appliance> for Desk {
    fn as_ref(&self) -> &Appliance {
        &self.appliance
    }
}
