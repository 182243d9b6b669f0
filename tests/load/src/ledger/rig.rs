//! An enclave's ledgers in this process, over whatever store a client leads to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use redoubt_attestation::attester::{EmulatedAttester, emulated_root};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::ledger::merkle::{Tree, leaf_hash};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_enclave::core::{Command, TenantKeySeeds, TenantState, TermContext};
use redoubt_enclave::keys::{Keyring, Pool, Root};
use redoubt_enclave::ledger::{
    ApplianceEvent, ApplianceState, Book, Core, Ledgers, Making, Settings, StoreClient, Stored,
    TenantCore, TermRecord, Witnessing, recover,
};
use redoubt_shared::{LedgerId, TenantId};

pub(crate) const APPLIANCE: LedgerId = LedgerId::from_bytes([6; 16]);
pub(crate) const TENANT: LedgerId = LedgerId::from_bytes([9; 16]);

/// What a boot needs besides its store.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) pool: Arc<Pool>,
    pub(crate) signer: Arc<Ed25519Signer>,
    pub(crate) tenant: TenantId,
}

/// Ledgers that take commands.
pub(crate) struct Running {
    pub(crate) ledgers: Ledgers,
    /// Entries read when it began.
    pub(crate) replayed: u64,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let (certificate, key) = emulated_root("bench")?;
        let attester = EmulatedAttester::dangerous_new(&certificate, &key, b"bench", 0)?;
        Ok(Self {
            pool: Arc::new(Pool::seed(&attester)?),
            signer: Arc::new(Ed25519Signer::generate(&SystemEntropy)?),
            tenant: "bank-a".parse()?,
        })
    }

    /// Recovers what the store holds and begins the next term.
    pub(crate) async fn start(&self, store: StoreClient) -> Result<Running> {
        self.start_with(store, Witnessing::none(), "none").await
    }

    pub(crate) async fn start_with(
        &self,
        mut store: StoreClient,
        witnessing: Witnessing,
        freshness: &str,
    ) -> Result<Running> {
        let ids = [(self.tenant.clone(), TENANT)];
        let pool = &self.pool;
        let recovered = recover(&mut store, keyring()?, pool, APPLIANCE, &ids, None, None).await?;
        let replayed = recovered.replayed;
        let term = recovered.appliance.0.term() + 1;
        let mut tenants = HashMap::new();
        for (id, state, book) in recovered.tenants {
            tenants.insert(id, TenantCore::new(state, book, self.context(freshness)));
        }
        let core = Core::new(
            tenants,
            recovered.appliance,
            recovered.keys,
            recovered.stored,
            self.making(term),
        );
        let ledgers = self.serve(core, store, term, witnessing).await?;
        Ok(Running { ledgers, replayed })
    }

    /// Ledgers that stand behind this many entries of `state`, none of which the
    /// store was given.
    pub(crate) async fn start_behind(
        &self,
        store: StoreClient,
        state: TenantState,
        entries: u64,
    ) -> Result<Ledgers> {
        let keys = keyring()?;
        let tree = || Tree::from_leaves((0..entries).map(|at| leaf_hash(&at.to_be_bytes())));
        let book = |id| Book::new(id, tree(), keys.current().entries(), &self.pool);
        let tenant = TenantCore::new(state, book(TENANT)?, self.context("none"));
        let tenants = HashMap::from([(self.tenant.clone(), tenant)]);
        let appliance = (ApplianceState::default(), book(APPLIANCE)?);
        let stored = Stored {
            snapshot: None,
            leaves: HashMap::new(),
        };
        let core = Core::new(tenants, appliance, keys, stored, self.making(1));
        self.serve(core, store, 1, Witnessing::none()).await
    }

    fn making(&self, term: u64) -> Making {
        Making {
            term,
            signer: self.signer.clone(),
            pool: self.pool.clone(),
            genesis: [0; 32],
        }
    }

    /// Begins the term and takes commands.
    async fn serve(
        &self,
        mut core: Core,
        mut store: StoreClient,
        term: u64,
        witnessing: Witnessing,
    ) -> Result<Ledgers> {
        let new = |core: &TenantCore| core.state.keys.is_none();
        let tenants = core.tenants.iter().filter(|(_, core)| new(core));
        let first = tenants.map(|(id, _)| (id.clone(), open_tenant())).collect();
        let at_ms = now_ms().context("no time")?;
        let events = vec![ApplianceEvent::TermBegan(term_record(term))];
        core.begin_term(&mut store, at_ms, events, first).await?;
        let settings = Settings {
            witnessing,
            ..Settings::default()
        };
        Ok(Ledgers::start(core, store, settings, now_ms, |reason| {
            eprintln!("redoubt-bench: the ledgers stopped: {reason}");
        }))
    }

    /// What claims repeat, as long as in an appliance.
    pub(crate) fn context(&self, freshness: &str) -> TermContext {
        TermContext {
            tenant: self.tenant.clone(),
            environment: "emulated".into(),
            time_source: "emulated-attester".into(),
            document: "aa".repeat(32),
            policy: "11".repeat(32),
            config: "22".repeat(32),
            models: "33".repeat(32),
            counters_are_reported: false,
            max_failures: 3,
            lockout_ms: 1_800_000,
            enrollment_ms: 1_800_000,
            epoch: 0,
            depends_on: Vec::new(),
            freshness: freshness.into(),
            unwitnessed_ms: (freshness != "none").then_some(0),
            restore_count: 0,
            duplicates: None,
            second_device_above: None,
            throttle: redoubt_enclave::core::Limits::NONE,
        }
    }
}

fn keyring() -> Result<Keyring> {
    let epoch = Root::new(&[7; 32], &[]).epoch(&[0; 32], 0)?;
    Ok(Keyring::new(epoch, []))
}

fn open_tenant() -> Command {
    let keys = TenantKeySeeds {
        es256: [1; 32],
        mldsa65: [2; 32],
    };
    Command::OpenTenant { keys }
}

fn term_record(term: u64) -> TermRecord {
    TermRecord {
        term,
        at_ms: 1,
        // About the sizes of a real document and its preimage.
        document: vec![1; 4500],
        preimage: vec![2; 6000],
        genesis: [0; 32],
        genesis_counter: 1,
        config: [0; 32],
        config_counter: 1,
    }
}

fn now_ms() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
