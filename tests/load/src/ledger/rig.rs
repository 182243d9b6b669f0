//! An enclave's ledgers in this process, over whatever store a client leads to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use redoubt_attestation::attester::{EmulatedAttester, emulated_root};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_enclave::core::{Command, TenantKeySeeds, TermContext};
use redoubt_enclave::keys::{Keyring, Pool, Root};
use redoubt_enclave::ledger::{
    ApplianceEvent, Core, Ledgers, Making, Settings, StoreClient, TenantCore, TermRecord,
    Witnessing, recover,
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
        let epoch = Root::new(&[7; 32], &[]).epoch(&[0; 32], 0)?;
        let ids = [(self.tenant.clone(), TENANT)];
        let keys = Keyring::new(epoch, []);
        let recovered = recover(&mut store, keys, &self.pool, APPLIANCE, &ids, None, None).await?;
        let replayed = recovered.replayed;
        let term = recovered.appliance.0.term() + 1;
        let (mut tenants, mut first) = (HashMap::new(), Vec::new());
        for (id, state, book) in recovered.tenants {
            if state.keys.is_none() {
                first.push((id.clone(), open_tenant()));
            }
            tenants.insert(id, TenantCore::new(state, book, self.context(freshness)));
        }
        let making = Making {
            term,
            signer: self.signer.clone(),
            pool: self.pool.clone(),
            genesis: [0; 32],
        };
        let (keys, stored) = (recovered.keys, recovered.stored);
        let mut core = Core::new(tenants, recovered.appliance, keys, stored, making);
        let events = vec![ApplianceEvent::TermBegan(term_record(term))];
        let at_ms = now_ms().context("no time")?;
        core.begin_term(&mut store, at_ms, events, first).await?;
        let settings = Settings {
            witnessing,
            ..Settings::default()
        };
        let ledgers = Ledgers::start(core, store, settings, now_ms, |reason| {
            eprintln!("redoubt-bench: the ledgers stopped: {reason}");
        });
        Ok(Running { ledgers, replayed })
    }

    /// What claims repeat, as long as in an appliance.
    fn context(&self, freshness: &str) -> TermContext {
        TermContext {
            tenant: self.tenant.clone(),
            environment: "emulated".into(),
            time_source: "emulated-attester".into(),
            document: "aa".repeat(32),
            policy: "11".repeat(32),
            config: "22".repeat(32),
            models: "33".repeat(32),
            max_failures: 3,
            lockout_ms: 1_800_000,
            enrollment_ms: 1_800_000,
            epoch: 0,
            depends_on: Vec::new(),
            freshness: freshness.into(),
            unwitnessed_ms: (freshness != "none").then_some(0),
            restore_count: 0,
        }
    }
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
