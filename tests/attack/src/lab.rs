//! One genesis and one history for many attacks, and places to run them in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use anyhow::{Context, Result};
use redoubt_e2e::peers::{PeerSet, Ports};
use redoubt_e2e::{Appliance, Environment, Options};
use redoubt_shared::LedgerId;
use serde_json::Value;
use tempfile::tempdir;

use crate::disk::Disk;
use crate::history::History;
use crate::nonces::Nonces;
use crate::witnesses::appoint;

/// Attacks made at once: they wait for processes and leases most of the time.
pub const AT_ONCE: usize = 3;

/// Genesis, configuration, history; nothing in it runs by itself.
pub struct Lab {
    /// Genesis, configuration, credentials; never started.
    pub appliance: Appliance,
    /// Every key and nonce seen.
    pub nonces: Arc<Nonces>,
    /// For stores, relays and clients.
    pub runtime: tokio::runtime::Runtime,
    ledgers: Ledgers,
    history: Option<History>,
    slots: (Mutex<usize>, Condvar),
    places: AtomicUsize,
    peers: Option<PeerSet>,
    others: Mutex<HashMap<Kind, Arc<Lab>>>,
}

/// What a genesis names besides officers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nobody.
    Alone,
    /// Witnesses whom every batch waits for.
    Strict,
    /// Witnesses whose last word counts for the lease.
    Lease,
    /// A custodian of the epoch secret, and no witnesses.
    Custodian,
}

/// The ledgers as the configuration names them.
#[derive(Debug, Clone, Copy)]
pub struct Ledgers {
    /// The appliance's.
    pub appliance: LedgerId,
    /// The first tenant's.
    pub a: LedgerId,
    /// The second tenant's.
    pub b: LedgerId,
}

impl Lab {
    /// Makes everything that attacks share.
    pub fn new(environment: &Environment) -> Result<Self> {
        Self::of(environment, Kind::Alone, Arc::default())
    }

    fn of(environment: &Environment, kind: Kind, nonces: Arc<Nonces>) -> Result<Self> {
        let keys = tempdir()?;
        let (peers, ceremony) = appoint(environment, keys.path(), kind)?.unzip();
        let ceremony = ceremony.unwrap_or_default();
        let appliance = Appliance::prepare_with(environment, Options::default(), &ceremony)?;
        let ledgers = Ledgers::read(&appliance)?;
        let here = |peers: PeerSet| peers.copy_to(&appliance.dir().join("peers"));
        let mut peers = peers.map(here).transpose()?;
        if let Some(peers) = &mut peers {
            peers.start(&appliance.policy())?;
        }
        let mut lab = Self {
            appliance,
            nonces,
            runtime: redoubt_e2e::behaviour::runtime(),
            ledgers,
            history: None,
            slots: (Mutex::new(AT_ONCE), Condvar::new()),
            places: AtomicUsize::new(0),
            peers,
            others: Mutex::default(),
        };
        lab.history = Some(History::make(&lab).context("the honest history")?);
        if let (Some(peers), Kind::Strict | Kind::Lease) = (&mut lab.peers, kind) {
            // Each attack goes on from here with witnesses of its own.
            peers.kill_all();
        }
        Ok(lab)
    }

    /// A lab with other peers in its genesis; made when first asked for.
    pub fn other(&self, kind: Kind) -> Result<Arc<Self>> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lab) = others.get(&kind) {
            return Ok(lab.clone());
        }
        let lab = Self::of(self.appliance.environment(), kind, self.nonces.clone())?;
        let lab = Arc::new(lab);
        others.insert(kind, lab.clone());
        Ok(lab)
    }

    /// The peers that run as long as the lab does.
    pub fn lasting_peers(&self) -> Option<Ports> {
        let ports = self.peers.as_ref()?.ports();
        (!ports.is_empty()).then_some(ports)
    }

    /// The lab's witnesses with all they remember of the history, started anew.
    pub fn witnesses(&self) -> Result<PeerSet> {
        let peers = self.peers.as_ref().context("no witnesses here")?;
        let mut peers = peers.copy_to(&self.place()?.join("peers"))?;
        peers.start(&self.appliance.policy())?;
        Ok(peers)
    }

    /// The lab of this test process, or `None` after saying what is not set.
    pub fn shared(test: &str) -> Option<Arc<Self>> {
        static SLOT: Mutex<Weak<Lab>> = Mutex::new(Weak::new());
        let environment = Environment::find(test)?;
        let mut slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lab) = slot.upgrade() {
            return Some(lab);
        }
        let lab = Self::new(&environment).unwrap_or_else(|error| panic!("{error:?}"));
        let lab = Arc::new(lab);
        *slot = Arc::downgrade(&lab);
        Some(lab)
    }

    /// What happened honestly before every attack.
    pub fn history(&self) -> Result<&History> {
        self.history.as_ref().context("no history yet")
    }

    /// The ledgers' names.
    pub fn ledgers(&self) -> Ledgers {
        self.ledgers
    }

    /// An empty disk with the signed files.
    pub fn blank(&self) -> Result<Disk> {
        let boot = self.appliance.boot_dir();
        Ok(Disk {
            genesis: std::fs::read(boot.join("genesis.json"))?,
            config: std::fs::read(boot.join("config.json"))?,
            ..Disk::default()
        })
    }

    /// A fresh folder for one enclave.
    pub(crate) fn place(&self) -> Result<PathBuf> {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let place = self.appliance.dir().join(number.to_string());
        std::fs::create_dir_all(&place)?;
        Ok(place)
    }

    /// Waits for one of the places in which attacks run.
    pub fn slot(&self) -> Slot<'_> {
        let (free, changed) = &self.slots;
        let guard = free.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = changed.wait_while(guard, |free| *free == 0);
        *guard.unwrap_or_else(PoisonError::into_inner) -= 1;
        Slot(self)
    }
}

/// Given back when dropped.
pub struct Slot<'a>(&'a Lab);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let (free, changed) = &self.0.slots;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_one();
    }
}

impl Ledgers {
    fn read(appliance: &Appliance) -> Result<Self> {
        let path = appliance.dir().join("config.plain.json");
        let config: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let ledger = |pointer: &str| -> Result<LedgerId> {
            let text = config.pointer(pointer).and_then(Value::as_str);
            Ok(text.context("no ledger in the configuration")?.parse()?)
        };
        Ok(Self {
            appliance: ledger("/appliance_ledger")?,
            a: ledger("/tenants/0/ledger")?,
            b: ledger("/tenants/1/ledger")?,
        })
    }
}
