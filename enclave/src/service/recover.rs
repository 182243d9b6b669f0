//! From the officers' secret to serving: root, replay, new term, certificates.
//!
//! Protects against serving from a state that cannot be proven: what was replayed
//! is held against what was signed, the term entry is durable first, and
//! witnesses vouch for both.

use std::collections::HashMap;
use std::sync::Arc;

use redoubt_attestation::attester::AttesterError;
use redoubt_attestation::binding::{Head, NonceInput, Purpose};
use redoubt_attestation::entropy::EntropyError;
use redoubt_attestation::genesis::{SignCountRule, Tenant, WitnessMode};
use redoubt_attestation::shares::OfficersSecret;
use redoubt_attestation::sign::{HybridSeeds, HybridSigner, SignerError};
use redoubt_shared::TenantId;

use super::boot::{Appliance, BootError};
use super::decoys::Decoys;
use super::documents::ServingFacts;
use super::duplicates;
use super::epochs::EpochSecret;
use super::handover::{HandoverClaim, check_taken};
use super::passkey_rules::PasskeyRules;
use super::rotate::Epochs;
use super::serving::{Serving, TenantService};
use super::watch::Tags;
use crate::biometrics::{Gallery, Transforms};
use crate::core::{Command, DuplicateRules, Limits, TenantKeySeeds, TermContext};
use crate::keys::{CertificateAuthority, CertificateError, EpochKey, Keyring, Root, SealError};
use crate::ledger::{
    ApplianceEvent, ApplianceState, Book, CaSecret, Core, HaltReason, Ledgers, Making, Recovered,
    ReplayError, Retention, Settings, StoreClient, StoreError, TenantCore, TermRecord, Witnessing,
    newest_snapshot, recover,
};
use crate::worker_link::{Rules, Watching, WorkerLink, WorkerTrust};

/// Recovery failed: the enclave halts.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoverError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(
        "genesis manifest {offered} does not follow manifest {recorded}, which the ledger records; use that one or a later one"
    )]
    OldGenesis { offered: u64, recorded: u64 },
    #[error("a tenant's ledger is another tenant's, or another than the one recorded for it")]
    ForeignLedger,
    #[error("the attester's time is before the last term's beginning")]
    TimeWentBack,
    #[error("the last term's own preimage does not parse")]
    OwnPreimage,
    #[error(
        "the officers remember {remembered} entries of this appliance's ledger; the store shows {found}, or another history: it was rolled back"
    )]
    RolledBack { remembered: u64, found: u64 },
    #[error(
        "configuration {offered} does not follow configuration {recorded}, which the ledger records; use that one or a later one"
    )]
    OldConfig { offered: u64, recorded: u64 },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Attester(#[from] AttesterError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Halt(#[from] HaltReason),
    #[error(transparent)]
    Trust(#[from] BootError),
    #[error("the configuration orders restore {ordered}; the ledger records {recorded}")]
    RestoreCount { ordered: u32, recorded: u32 },
    #[error(
        "the genesis manifest names other custodians than the ledger records; custodians and their threshold stay for the life of an appliance"
    )]
    CustodiansChanged,
    #[error(
        "the faces of a tenant that looks for duplicates could not be made ready to be searched"
    )]
    NoGallery,
    #[error("an appliance with custodians cannot be restored by this version")]
    RestoreWithCustodians,
    #[error("there is no trusted time")]
    Time,
    #[error("no entropy: {0}")]
    Entropy(#[from] EntropyError),
    #[error("the custodians' shares make no secret; one of them is of another splitting")]
    EpochSecret,
    #[error("custodians refuse the epoch's secret: {0}")]
    Custodians(String),
    #[error("worker link: {0}")]
    Worker(#[from] rustls::Error),
    #[error("a tenant has no signing keys in its ledger")]
    NoTenantKeys,
    #[error(
        "the ledger does not end with the handover to this enclave: the store hides its end, or another enclave went on"
    )]
    NotHandedOver,
}

/// What opens the ledgers.
pub(super) struct Opening {
    /// From k shares, or from the enclave before.
    pub(super) secret: OfficersSecret,
    /// Highest head that the officers, or the enclave before, saw.
    pub(super) remembered: Option<Head>,
    /// What the enclave before must have written last, if it gave the secret.
    pub(super) taken: Option<HandoverClaim>,
}

impl Appliance {
    /// Everything between the secret and serving.
    pub(super) async fn open_ledgers(
        self: &Arc<Self>,
        opening: Opening,
        mut store: StoreClient,
    ) -> Result<Arc<Serving>, RecoverError> {
        let Opening {
            secret,
            remembered,
            taken,
        } = opening;
        let config = &self.config.config;
        // Read now: the enclave before may have written one since this one booted.
        let newest = newest_snapshot(&mut store).await?;
        let epoch = newest.as_ref().map_or(0, |newest| newest.epoch);
        let first = newest.is_none() && store.count(config.appliance_ledger).await? == 0;
        if config.restore.is_some() && !self.peers.custodians().is_empty() {
            return Err(RecoverError::RestoreWithCustodians);
        }
        let epoch_secret = self.epoch_secret(epoch, first).await?;
        let epoch = self.epoch_key(&secret, epoch_secret.as_ref(), epoch)?;
        let ledgers: Vec<_> = config
            .tenants
            .iter()
            .map(|t| (t.id.clone(), t.ledger))
            .collect();
        let recovered = recover(
            &mut store,
            Keyring::new(epoch, []),
            &self.pool,
            config.appliance_ledger,
            &ledgers,
            remembered.map(|head| head.size),
            self.origin().as_ref(),
        )
        .await?;
        let now_ms = self.clock.now_ms().ok_or(RecoverError::Time)?;
        self.check_history(&recovered, remembered, now_ms)?;
        if let Some(claim) = &taken {
            check_taken(&recovered, claim)?;
        }
        let (ca, opening) = self.certificate_authority(&recovered.appliance.0, now_ms)?;
        let term = self.new_term(&recovered, &ca, now_ms)?;
        let mut core = self.core(recovered, &term)?;
        let facts = serving_facts(&core.appliance_book, &ca, term.term);
        let mut witnessing = self.witnessing(facts);
        // The term is durable before a witness hears of it, so that no crash leaves
        // witnesses with a term that nobody can continue; and nothing is served before
        // a quorum vouches for what was read, this entry included.
        self.begin(&mut core, &term, opening, now_ms, &mut store)
            .await?;
        core.witnessed(&mut store, &mut witnessing).await?;
        self.serve(core, store, witnessing, ca, term, secret)
    }

    /// The key of an epoch of this appliance under these officers.
    pub(super) fn epoch_key(
        &self,
        officers: &OfficersSecret,
        secret: Option<&EpochSecret>,
        epoch: u32,
    ) -> Result<EpochKey, SealError> {
        let custodians: &[u8] = secret.map_or(&[], |secret| &secret[..]);
        let root = Root::new(officers.expose_secret(), custodians);
        root.epoch(officers.commitment().as_bytes(), epoch)
    }

    /// The CA of the sealed ledger, or a new one with the event that keeps it.
    fn certificate_authority(
        &self,
        state: &ApplianceState,
        now_ms: u64,
    ) -> Result<(CertificateAuthority, Option<ApplianceEvent>), RecoverError> {
        if let Some((_, ca)) = &state.opened {
            return Ok((
                CertificateAuthority::restore(&ca.pkcs8, ca.certificate.clone())?,
                None,
            ));
        }
        let ca = CertificateAuthority::generate(&self.genesis.manifest.name, now_ms, &*self.pool)?;
        let secret = CaSecret {
            pkcs8: ca.expose_pkcs8()?.to_vec(),
            certificate: ca.certificate().to_vec(),
        };
        let opened = ApplianceEvent::Opened {
            genesis: self.genesis.digest.0,
            ca: secret,
        };
        Ok((ca, Some(opened)))
    }

    /// This boot's serve document, kept in the ledger for every later receipt.
    fn new_term(
        &self,
        recovered: &Recovered,
        ca: &CertificateAuthority,
        now_ms: u64,
    ) -> Result<TermRecord, RecoverError> {
        let (state, book) = &recovered.appliance;
        let term = state.term() + 1;
        let facts = serving_facts(book, ca, term);
        let (document, preimage) = self.document(Purpose::Serve, facts, NonceInput::NoSession)?;
        Ok(TermRecord {
            term,
            at_ms: now_ms,
            document,
            preimage,
            genesis: self.genesis.digest.0,
            genesis_counter: self.genesis.manifest.counter,
            config: self.config.digest.0,
            config_counter: self.config.config.counter,
        })
    }

    /// What was recovered, as the committer owns it.
    fn core(&self, recovered: Recovered, term: &TermRecord) -> Result<Core, RecoverError> {
        let recorded = recovered.appliance.0.restores();
        let ordered = self.config.config.restore.as_ref();
        let restores = ordered.map_or(recorded, |restore| restore.count);
        let mut tenants = HashMap::new();
        for (id, state, book) in recovered.tenants {
            let context = self.context(&id, term, recovered.keys.current().epoch(), restores);
            tenants.insert(id, TenantCore::new(state, book, context));
        }
        let making = Making {
            term: term.term,
            signer: Arc::clone(&self.keys.checkpoint),
            pool: Arc::clone(&self.pool),
            genesis: self.genesis.digest.0,
        };
        tracing::info!(entries = recovered.replayed, "replayed");
        let (keys, stored) = (recovered.keys, recovered.stored);
        Ok(Core::new(
            tenants,
            recovered.appliance,
            keys,
            stored,
            making,
        ))
    }

    /// Makes the new term durable in every ledger.
    async fn begin(
        &self,
        core: &mut Core,
        term: &TermRecord,
        opening: Option<ApplianceEvent>,
        now_ms: u64,
        store: &mut StoreClient,
    ) -> Result<(), RecoverError> {
        let mut first = Vec::new();
        for (id, tenant) in &core.tenants {
            if tenant.state.keys.is_none() {
                first.push((id.clone(), self.open_tenant()?));
            }
        }
        let mut events: Vec<ApplianceEvent> = opening.into_iter().collect();
        if core.appliance.custodians.is_none() {
            events.push(ApplianceEvent::Custodians(self.custodians_digest()));
        }
        if let Some(restore) = self.restoring(&core.appliance)? {
            let entries = (restore.found.size, restore.lost.size);
            let known = core.tenants.iter();
            let known = known.filter(|(_, tenant)| tenant.state.keys.is_some());
            first.extend(known.map(|(id, _)| (id.clone(), Command::Restore { entries })));
            events.push(ApplianceEvent::Restored {
                count: restore.count,
                from: (restore.ledger, restore.found.size, restore.found.root.0),
                lost: (restore.lost.size, restore.lost.root.0),
            });
            tracing::warn!(
                count = restore.count,
                "going on after a loss, by officers' order"
            );
        }
        events.push(ApplianceEvent::TermBegan(term.clone()));
        core.begin_term(store, now_ms, events, first).await?;
        Ok(())
    }

    fn open_tenant(&self) -> Result<Command, RecoverError> {
        let signer = HybridSigner::generate(&*self.pool)?;
        let seeds = signer.expose_seeds();
        let keys = TenantKeySeeds {
            es256: *seeds.expose_es256(),
            mldsa65: *seeds.expose_mldsa65(),
        };
        Ok(Command::OpenTenant { keys })
    }

    fn context(
        &self,
        tenant: &TenantId,
        term: &TermRecord,
        epoch: u32,
        restores: u32,
    ) -> TermContext {
        const MINUTE_MS: u64 = 60_000;
        let policy = &self.config.config.policy;
        let environment = self.genesis.manifest.environment.name();
        let freshness = self.genesis.manifest.witness_policy;
        TermContext {
            tenant: tenant.clone(),
            environment: environment.to_owned(),
            time_source: format!("{environment}-attester"),
            document: term.document_digest().to_string(),
            policy: self.config.policy_digest.to_string(),
            config: self.config.digest.to_string(),
            models: self.manifest.digest().to_string(),
            counters_are_reported: self.counters_are_reported(tenant),
            max_failures: policy.max_failed_attempts,
            lockout_ms: u64::from(policy.lockout_minutes) * MINUTE_MS,
            enrollment_ms: u64::from(policy.enrollment_minutes) * MINUTE_MS,
            epoch,
            depends_on: self.erasure_depends_on(),
            freshness: freshness
                .map_or("none", |policy| policy.mode.name())
                .to_owned(),
            unwitnessed_ms: freshness.map(|policy| match policy.mode {
                WitnessMode::Strict => 0,
                WitnessMode::Lease => policy.lease_ms,
            }),
            second_device_above: policy.second_device_limits(),
            throttle: Limits {
                device: policy.failed_per_device(),
                source: policy.failed_per_source(),
                tenant: policy.failed_per_tenant(),
            },
            restore_count: restores,
            duplicates: self.duplicate_rules(tenant),
        }
    }

    /// Whether a signature counter that did not grow is reported instead of refused.
    fn counters_are_reported(&self, id: &TenantId) -> bool {
        let mut tenants = self.config.config.tenants.iter();
        let policy = tenants.find(|tenant| tenant.id == *id);
        let policy = policy.and_then(|tenant| tenant.passkeys.as_ref());
        policy.is_some_and(|policy| policy.sign_count == SignCountRule::Report)
    }

    fn duplicate_rules(&self, id: &TenantId) -> Option<DuplicateRules> {
        let mut tenants = self.config.config.tenants.iter();
        duplicates::rules(tenants.find(|tenant| tenant.id == *id)?)
    }

    /// How long each tenant's entries are kept.
    fn retention(&self) -> Retention {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let tenants = self.config.config.tenants.iter();
        let keep = |t: &Tenant| (t.id.clone(), u64::from(t.retention_days) * DAY_MS);
        Retention {
            keep_ms: tenants.map(keep).collect(),
        }
    }

    /// Certificates, committer, worker link: what answers banks.
    fn serve(
        self: &Arc<Self>,
        mut core: Core,
        store: StoreClient,
        witnessing: Witnessing,
        ca: CertificateAuthority,
        term: TermRecord,
        officers: OfficersSecret,
    ) -> Result<Arc<Serving>, RecoverError> {
        let mut tenants = HashMap::new();
        for tenant in &self.config.config.tenants {
            tenants.insert(tenant.id.clone(), tenant_service(tenant, &core)?);
            if let Some(core) = core.tenants.get_mut(&tenant.id)
                && duplicates::rules(tenant).is_some()
            {
                let made = Gallery::of(&core.state);
                core.gallery = Some(made.ok_or(RecoverError::NoGallery)?);
            }
        }
        self.install_leaf(&ca)?;
        let clock = Arc::clone(&self.clock);
        let appliance = Arc::downgrade(self);
        let ledgers = Ledgers::start(
            core,
            store,
            Settings {
                witnessing,
                snapshot_bytes: self.snapshot_bytes,
                retention: self.retention(),
            },
            move || clock.now_ms(),
            move |reason| {
                if let Some(appliance) = appliance.upgrade() {
                    appliance.halt(&reason);
                }
            },
        );
        let worker = self.worker_link(ledgers.clone())?;
        let serving = Arc::new(Serving {
            ledgers,
            tenants,
            ca,
            term: term.term,
            challenges: Default::default(),
            moves: Default::default(),
            digits: Default::default(),
            idle: Default::default(),
            listeners: Default::default(),
            note_keys: Default::default(),
            worker,
            epochs: Epochs::new(officers),
        });
        self.renew_leaf(&serving);
        self.watch_models(&serving);
        self.finish_retirement(&serving);
        Ok(serving)
    }

    fn worker_link(&self, ledgers: Ledgers) -> Result<WorkerLink, RecoverError> {
        let policy = &self.config.config.policy;
        let (clock, time) = (Arc::clone(&self.clock), Arc::clone(&self.clock));
        let watching = Watching {
            rules: Rules::of(policy),
            counts: Arc::clone(&self.counters.workers),
            disagreed: Arc::new(move |tier| {
                let event = ApplianceEvent::WorkerDisagreed {
                    at_ms: time.now_ms().unwrap_or_default(),
                    tier: tier.name().to_owned(),
                };
                let ledgers = ledgers.clone();
                Box::pin(async move {
                    if let Err(error) = ledgers.record(event).await {
                        tracing::error!(%error, "that two workers disagreed was not recorded");
                    }
                })
            }),
        };
        let trust = WorkerTrust {
            genesis: Arc::new(self.genesis.clone()),
            accepted_tiers: policy.accepted_tiers.clone(),
            entropy: self.pool.clone(),
            // Without trusted time the evidence of every worker is too old.
            now_ms: Arc::new(move || clock.now_ms().unwrap_or(u64::MAX)),
        };
        let endpoint = self.worker.clone();
        Ok(WorkerLink::new(endpoint, trust, &self.manifest, watching)?)
    }
}

fn serving_facts(book: &Book, ca: &CertificateAuthority, term: u64) -> ServingFacts {
    ServingFacts {
        ca_spki_sha256: Some(ca.spki_sha256()),
        head: Some(Head {
            size: book.size(),
            root: redoubt_attestation::encode::Digest32(book.root()),
        }),
        term: Some(term),
    }
}

fn tenant_service(tenant: &Tenant, core: &Core) -> Result<TenantService, RecoverError> {
    let missing = || RecoverError::NoTenantKeys;
    let state = &core.tenants.get(&tenant.id).ok_or_else(missing)?.state;
    let keys = state.keys.as_ref().ok_or_else(missing)?;
    let signer = HybridSigner::from_seeds(HybridSeeds::new(&keys.es256, &keys.mldsa65))?;
    Ok(TenantService {
        config: tenant.clone(),
        signer: Arc::new(signer),
        decoys: Decoys::new(keys).ok_or_else(missing)?,
        transforms: Transforms::new(keys),
        tags: Tags::new(keys),
        rules: Arc::new(PasskeyRules::new(tenant)?),
        acting: tokio::sync::Mutex::default(),
    })
}
