//! What every test begins with: a boot, a tenant, a customer, commands.

use super::*;

/// One boot of an enclave over a store.
pub(super) struct Boot {
    pub(super) ledgers: Ledgers,
    pub(super) signer: Arc<Ed25519Signer>,
    pub(super) halted: Arc<Mutex<Option<String>>>,
    /// Trusted time; 0 if there is none.
    pub(super) clock: Arc<AtomicU64>,
}

pub(super) fn pool() -> Arc<Pool> {
    static POOL: std::sync::OnceLock<Arc<Pool>> = std::sync::OnceLock::new();
    POOL.get_or_init(new_pool).clone()
}

fn new_pool() -> Arc<Pool> {
    let (certificate, key) = redoubt_attestation::attester::emulated_root("test").unwrap();
    let attester = redoubt_attestation::attester::EmulatedAttester::dangerous_new(
        &certificate,
        &key,
        b"exe",
        0,
    )
    .unwrap();
    Arc::new(Pool::seed(&attester).unwrap())
}

pub(super) fn epoch(secret: u8) -> EpochKey {
    Root::new(&[secret; 32], &[]).epoch(&[0; 32], 0).unwrap()
}

pub(super) fn epoch_of(secret: &[u8], epoch: u32) -> EpochKey {
    Root::new(&[7; 32], secret).epoch(&[0; 32], epoch).unwrap()
}

pub(super) fn tenant() -> TenantId {
    "bank-a".parse().unwrap()
}

pub(super) fn user() -> UserId {
    "customer-1".parse().unwrap()
}

pub(super) fn context() -> TermContext {
    TermContext {
        tenant: tenant(),
        environment: "emulated".into(),
        time_source: "emulated-attester".into(),
        document: "aa".repeat(32),
        policy: "11".repeat(32),
        config: "22".repeat(32),
        models: "33".repeat(32),
        counters_are_reported: false,
        max_failures: 3,
        lockout_ms: 60_000,
        enrollment_ms: 60_000,
        epoch: 0,
        depends_on: Vec::new(),
        freshness: "none".into(),
        unwitnessed_ms: None,
        second_device_above: None,
        throttle: crate::core::Limits::NONE,
        restore_count: 0,
        duplicates: None,
    }
}

pub(super) async fn recovered(
    store: &mut StoreClient,
    secret: u8,
) -> Result<Recovered, ReplayError> {
    recovered_in(store, epoch(secret)).await
}

pub(super) async fn recovered_in(
    store: &mut StoreClient,
    key: EpochKey,
) -> Result<Recovered, ReplayError> {
    recovered_of(store, key, &[(tenant(), TENANT)]).await
}

async fn recovered_of(
    store: &mut StoreClient,
    key: EpochKey,
    tenants: &[(TenantId, LedgerId)],
) -> Result<Recovered, ReplayError> {
    let keys = Keyring::new(key, []);
    recover(store, keys, &pool(), APPLIANCE, tenants, None, None).await
}

pub(super) async fn boot(store: StoreClient) -> Boot {
    boot_with(store, Settings::default()).await
}

pub(super) async fn boot_with(store: StoreClient, settings: Settings) -> Boot {
    let opening = Opening {
        settings,
        ..Opening::default()
    };
    open(store, opening).await.unwrap()
}

/// How an enclave is opened over a store.
pub(super) struct Opening {
    pub(super) epoch: EpochKey,
    pub(super) settings: Settings,
    /// Trusted time; 0 if there is none.
    pub(super) clock: Arc<AtomicU64>,
    pub(super) tenants: Vec<(TenantId, LedgerId)>,
    /// Makes the witnesses' side of a term, instead of that in `settings`.
    pub(super) witnessing: Option<Box<dyn FnOnce(u64) -> Witnessing>>,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            epoch: epoch(7),
            settings: Settings::default(),
            clock: Arc::new(AtomicU64::new(1000)),
            tenants: vec![(tenant(), TENANT)],
            witnessing: None,
        }
    }
}

/// Why an enclave did not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Halt(#[from] HaltReason),
}

/// Recovers, has a quorum vouch for it, begins a term, serves.
pub(super) async fn open(mut store: StoreClient, opening: Opening) -> Result<Boot, NotOpened> {
    let recovered = recovered_of(&mut store, opening.epoch, &opening.tenants).await?;
    let term = recovered.appliance.0.term() + 1;
    let mut new_tenants = Vec::new();
    let mut tenants = HashMap::new();
    for (id, state, book) in recovered.tenants {
        if state.keys.is_none() {
            let keys = TenantKeySeeds {
                es256: [1; 32],
                mldsa65: [2; 32],
            };
            new_tenants.push((id.clone(), Command::OpenTenant { keys }));
        }
        let context = TermContext {
            tenant: id.clone(),
            epoch: recovered.keys.current().epoch(),
            ..context()
        };
        tenants.insert(id, TenantCore::new(state, book, context));
    }
    let signer = Arc::new(Ed25519Signer::generate(&SystemEntropy).unwrap());
    let making = Making {
        term,
        signer: signer.clone(),
        pool: pool(),
        genesis: [0; 32],
    };
    let (keys, stored) = (recovered.keys, recovered.stored);
    let mut core = Core::new(tenants, recovered.appliance, keys, stored, making);
    let now_ms = opening.clock.load(Relaxed);
    let record = TermRecord {
        term,
        at_ms: now_ms,
        document: vec![1],
        preimage: vec![2],
        genesis: [0; 32],
        genesis_counter: 1,
        config: [0; 32],
        config_counter: 1,
    };
    let mut settings = opening.settings;
    if let Some(witnessing) = opening.witnessing {
        settings.witnessing = witnessing(term);
    }
    if core.appliance_book.size() > 0 {
        core.witnessed(&mut store, &mut settings.witnessing).await?;
    }
    let events = vec![ApplianceEvent::TermBegan(record)];
    core.begin_term(&mut store, now_ms, events, new_tenants)
        .await?;
    core.witnessed(&mut store, &mut settings.witnessing).await?;
    let halted = Arc::new(Mutex::new(None));
    let (told, now) = (halted.clone(), opening.clock.clone());
    let ledgers = Ledgers::start(
        core,
        store,
        settings,
        move || Some(now.load(Relaxed)).filter(|now_ms| *now_ms > 0),
        move |reason| {
            *told.lock().unwrap() = Some(reason.to_string());
        },
    );
    Ok(Boot {
        ledgers,
        signer,
        halted,
        clock: opening.clock,
    })
}

/// A fresh store and a first boot over it.
pub(super) async fn started() -> (tempfile::TempDir, FakeStore, Boot) {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    (dir, store, first)
}

impl Boot {
    /// Decides what must not be refused.
    pub(super) async fn decide(&self, command: Command) -> Outcome {
        self.ledgers.decide(&tenant(), command).await.unwrap()
    }
}

pub(super) fn refuse_login() -> Command {
    Command::RefuseLogin {
        user: user(),
        credential_id: Vec::new(),
        reason: "signature",
    }
}

pub(super) fn open_subject() -> Command {
    Command::BeginEnrollment {
        modality: crate::core::Modality::Face,
        user: user(),
        id: redoubt_shared::EnrollmentId::from_bytes([3; 16]),
        token_hash: [0; 32],
        consent_given: true,
    }
}

pub(super) fn ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = redoubt_attestation::jwk::OkpEd25519Jwk::from_bytes(public.try_into().unwrap());
    redoubt_attestation::sign::both::verify_ed25519(&key, message, signature).is_ok()
}

pub(super) fn check(claim: &Claim, signer: &Ed25519Signer) {
    assert_eq!(verified(claim, signer)["user_id"], "customer-1");
}

/// The claims of a receipt that verifies under this boot's key.
pub(super) fn verified(claim: &Claim, signer: &Ed25519Signer) -> serde_json::Value {
    let note_key = NoteKey {
        ed25519: *signer.jwk().as_bytes(),
        mldsa65: vec![],
    };
    let boots = [TrustedBoot {
        document: [0xaa; 32],
        note_key,
    }];
    let algorithms = NoteAlgorithms {
        ed25519,
        mldsa65: |_, _, _| false,
    };
    claim.receipt().verify(&boots, algorithms).unwrap().claims
}

pub(super) fn facial(user: &str, id: u8) -> Command {
    Command::BeginEnrollment {
        modality: crate::core::Modality::Face,
        user: user.parse().unwrap(),
        id: redoubt_shared::EnrollmentId::from_bytes([id; 16]),
        token_hash: [0; 32],
        consent_given: true,
    }
}

pub(super) async fn users(boot: &Boot) -> usize {
    let look = |core: &Core| core.tenants[&tenant()].state.users.len();
    boot.ledgers.look(look).await.unwrap()
}

pub(super) fn receipt_id(claim: &Claim) -> redoubt_shared::ReceiptId {
    let text: serde_json::Value = serde_json::from_str(&claim.text).unwrap();
    text["receipt_id"].as_str().unwrap().parse().unwrap()
}
