//! The appliance and an officer who is always there: quick kills, quick restarts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redoubt_attestation::binding::{Head, Purpose};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::shares::{Share, UnsealAad, seal_share};
use redoubt_audit::fetch::{AttestedConnection, FetchError, Pinned};
use redoubt_bank::Bank;
use redoubt_e2e::appliance::only_file;
use redoubt_e2e::{Appliance, Environment, Options};
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(4);
const ROUTE: &str = "/api/v1/unseal/share";

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Enclave,
    Host,
    Both,
}

pub(crate) const VICTIMS: [Victim; 3] = [Victim::Enclave, Victim::Host, Victim::Both];

pub(crate) struct Machine {
    pub(crate) appliance: Appliance,
    pinned: Pinned,
    share: Share,
    /// What the officer remembers; goes with every share.
    remembered: Option<Head>,
    /// The enclave was started anew and has no share yet.
    sealed: bool,
}

impl Machine {
    /// A new appliance, serving.
    pub(crate) fn new(environment: &Environment, with_worker: bool) -> Result<Self> {
        let options = Options {
            without_worker: !with_worker,
            ..Options::default()
        };
        let appliance = Appliance::serving(environment, options)?;
        let share = std::fs::read(only_file(&appliance.genesis_dir(), "share")?)?;
        Ok(Self {
            pinned: Pinned::from_policy(&std::fs::read(appliance.policy())?)?,
            share: Share::parse(&Zeroizing::new(share))?,
            appliance,
            remembered: None,
            sealed: false,
        })
    }

    pub(crate) fn kill(&mut self, victim: Victim) {
        if victim != Victim::Host {
            self.appliance.kill_enclave();
            self.sealed = true;
        }
        if victim != Victim::Enclave {
            self.appliance.kill_host();
        }
    }

    /// Starts what was killed; does not wait for it.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.appliance.start()
    }

    /// Unseals if need be, and waits until banks are served under the pinned CA.
    pub(crate) async fn until_serving(&mut self) -> Result<Bank> {
        if self.sealed {
            tokio::task::block_in_place(|| self.unseal())?;
        }
        let bank = self.appliance.bank(&self.appliance.banks.a)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let health = bank.get("/healthz").await;
            let page = health.map(|reply| String::from_utf8_lossy(&reply.body).into_owned());
            match page {
                Ok(page) if page.contains("\"serving\"") => break,
                Ok(page) if page.contains("\"halted\"") => bail!("the enclave halted"),
                other if Instant::now() > end => bail!("does not serve: {other:?}"),
                _ => tokio::time::sleep(STEP).await,
            }
        }
        // A request cut off in the middle must not hold up the next round.
        Ok(bank.with_deadline(Duration::from_secs(10)))
    }

    /// Gives the share to the attested enclave.
    fn unseal(&mut self) -> Result<()> {
        let mut enclave = self.attested(Purpose::Unseal)?;
        let aad = UnsealAad {
            document: enclave.appraised.document_sha256,
            genesis: self.pinned.genesis.digest,
            counter: self.pinned.genesis.manifest.counter,
            head: self.remembered,
        };
        let recipient = &enclave.binding.boot_keys.unseal_xwing;
        let sealed = seal_share(&self.share, recipient, &aad, &SystemEntropy)?;
        let reply = enclave.post_json(ROUTE, &serde_json::to_vec(&sealed)?)?;
        reply.successful(ROUTE)?;
        self.sealed = false;
        Ok(())
    }

    /// The officer looks at the appliance's ledger; whether it is what they remember or
    /// its future.
    pub(crate) fn remember(&mut self) -> Result<bool> {
        let seen = self.attested(Purpose::Serve)?.binding.head;
        let size = |head: Option<Head>| head.map_or(0, |head| head.size);
        let same_size = size(seen) == size(self.remembered);
        let grew = size(seen) > size(self.remembered) || (same_size && seen == self.remembered);
        if grew {
            self.remembered = seen;
        }
        Ok(grew)
    }

    /// Asks until somebody answers: the front door opens a moment after the start.
    fn attested(&self, purpose: Purpose) -> Result<AttestedConnection> {
        let end = Instant::now() + PATIENCE;
        loop {
            match AttestedConnection::open(&self.appliance.url(), &self.pinned, purpose, None) {
                Ok(enclave) => return Ok(enclave),
                // What it says about itself will not change by asking again.
                Err(error @ (FetchError::Refused(_) | FetchError::Status { .. })) => {
                    return Err(error.into());
                }
                Err(error) if Instant::now() > end => {
                    return Err(error).context("no attested answer");
                }
                Err(_) => std::thread::sleep(STEP),
            }
        }
    }
}
