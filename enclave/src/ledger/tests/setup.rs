//! What every test begins with: a boot, a tenant, a customer, commands.

use super::*;

/// One boot of an enclave over a store.
pub(super) struct Boot {
    pub(super) ledgers: Ledgers,
    pub(super) signer: Arc<Ed25519Signer>,
    pub(super) halted: Arc<Mutex<Option<String>>>,
    /// Whether there is no trusted time.
    pub(super) timeless: Arc<AtomicBool>,
}

pub(super) fn pool() -> Arc<Pool> {
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
        max_failures: 3,
        lockout_ms: 60_000,
        enrollment_ms: 60_000,
        epoch: 0,
        depends_on: Vec::new(),
        freshness: "none".into(),
        unwitnessed_ms: None,
        restore_count: 0,
    }
}

pub(super) async fn recovered(
    store: &mut StoreClient,
    secret: u8,
) -> Result<Recovered, ReplayError> {
    recover(
        store,
        Keyring::new(epoch(secret), []),
        &pool(),
        APPLIANCE,
        &[(tenant(), TENANT)],
        None,
        None,
    )
    .await
}

pub(super) async fn boot(store: StoreClient) -> Boot {
    boot_with(store, Settings::default()).await
}

pub(super) async fn boot_with(mut store: StoreClient, settings: Settings) -> Boot {
    let recovered = recovered(&mut store, 7).await.unwrap();
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
        tenants.insert(id, TenantCore::new(state, book, context()));
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
    let record = TermRecord {
        term,
        at_ms: 1,
        document: vec![1],
        preimage: vec![2],
        genesis: [0; 32],
        genesis_counter: 1,
        config: [0; 32],
        config_counter: 1,
    };
    core.begin_term(
        &mut store,
        1000,
        vec![ApplianceEvent::TermBegan(record)],
        new_tenants,
    )
    .await
    .unwrap();
    let timeless = Arc::new(AtomicBool::new(false));
    let unknown = timeless.clone();
    let halted = Arc::new(Mutex::new(None));
    let told = halted.clone();
    let ledgers = Ledgers::start(
        core,
        store,
        settings,
        move || (!unknown.load(Ordering::Relaxed)).then_some(1000),
        move |reason| {
            *told.lock().unwrap() = Some(reason.to_string());
        },
    );
    Boot {
        ledgers,
        signer,
        halted,
        timeless,
    }
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
        reason: "signature",
    }
}

pub(super) fn open_subject() -> Command {
    Command::BeginEnrollment {
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
    let verified = claim.receipt().verify(&boots, algorithms).unwrap();
    assert_eq!(verified.claims["user_id"], "customer-1");
}

pub(super) fn facial(user: &str, id: u8) -> Command {
    Command::BeginEnrollment {
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
