//! An appliance with witnesses or custodians beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use redoubt_bank::client::Bank;
use serde_json::Value;
use tempfile::TempDir;

use crate::appliance::{Appliance, Options};
use crate::behaviour::on;
use crate::customer::Customer;
use crate::environment::Environment;
use crate::manifests;
use crate::peers::{Duty, PeerSet};

/// An appliance with its peers beside it.
pub struct Guarded {
    /// The appliance.
    pub appliance: Appliance,
    /// Its witnesses or custodians.
    pub peers: PeerSet,
    beside: TempDir,
}

impl Guarded {
    /// `None` when there are no programs: the test is skipped by name.
    fn new(test: &str, count: usize, duties: &[(Duty, usize)]) -> Result<Option<Self>> {
        let Some(environment) = Environment::find(test) else {
            return Ok(None);
        };
        let beside = tempfile::Builder::new().prefix("rdp").tempdir()?;
        let dir = beside.path().join("peers");
        std::fs::create_dir(&dir)?;
        let mut peers = PeerSet::init(&environment, &dir, count)?;
        let ceremony: Vec<_> = duties
            .iter()
            .flat_map(|(duty, needed)| peers.ceremony(*duty, *needed))
            .collect();
        let options = Options {
            without_worker: true,
            ..Options::default()
        };
        let mut appliance = Appliance::prepare_with(&environment, options, &ceremony)?;
        peers.start(&appliance.policy())?;
        appliance.options.peers = peers.addresses();
        appliance.keep_on_failure(Appliance::bring_up)?;
        Ok(Some(Self {
            appliance,
            peers,
            beside,
        }))
    }

    /// A client of the first tenant.
    pub fn bank(&self) -> Result<Bank> {
        self.appliance.bank(&self.appliance.banks.a)
    }

    /// A customer of the first tenant, registered.
    pub async fn customer(&self) -> Result<Customer> {
        Customer::registered(&self.bank()?, &self.appliance.banks.a).await
    }

    /// Everything ends; nothing on disk changes.
    pub fn stop(&mut self) -> Result<()> {
        self.appliance.kill_all()?;
        self.peers.kill_all();
        Ok(())
    }

    /// Peers first, at new ports, then the appliance's processes.
    pub fn start(&mut self) -> Result<()> {
        self.peers.start(&self.appliance.policy())?;
        self.appliance.options.peers = self.peers.addresses();
        self.appliance.start()
    }

    /// A path in a folder that goes with the test.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.beside.path().join(name)
    }

    /// `redoubt rotate`, with more arguments.
    pub fn rotate(&self, more: &[&Path]) -> Result<Command> {
        let mut command = manifests::rotate(&self.appliance, self.beside.path())?;
        command.args(more);
        Ok(command)
    }

    /// `redoubt genesis successor` of the present manifest into a folder beside.
    pub fn successor(&self, name: &str, more: &[&str]) -> Result<PathBuf> {
        manifests::successor(&self.appliance, &self.beside(name), more)
    }

    /// `redoubt rotate` to a successor, with all its shares.
    pub fn change_to(&self, next: &Path) -> Result<Command> {
        manifests::change_to(&self.appliance, self.beside.path(), next)
    }

    /// A client under the officer's certificate.
    pub fn officer(&self) -> Result<Bank> {
        let officer = self.appliance.banks.officer.1.clone();
        self.appliance.client(Some(officer), false)
    }

    /// The epoch in force.
    pub async fn epoch(&self) -> Result<u64> {
        let status: Value = self.officer()?.get("/api/v1/epochs").await?.read()?;
        status["epoch"].as_u64().context("no epoch")
    }

    /// What is under way, or null.
    pub async fn rotation(&self, officer: &Bank) -> Result<Value> {
        let mut status: Value = officer.get("/api/v1/epochs").await?.read()?;
        Ok(status["rotation"].take())
    }
}

/// Runs a behaviour on a guarded appliance of its own, serving when it begins.
pub fn guarded(
    test: &str,
    count: usize,
    duties: &[(Duty, usize)],
    behaviour: impl AsyncFnOnce(&mut Guarded) -> Result<()>,
) {
    on(|| Guarded::new(test, count, duties), behaviour);
}

impl AsRef<Appliance> for Guarded {
    fn as_ref(&self) -> &Appliance {
        &self.appliance
    }
}
