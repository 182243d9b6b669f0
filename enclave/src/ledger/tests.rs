//! The committer and recovery against a store that misbehaves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::ledger::checkpoint::NoteAlgorithms;
use redoubt_attestation::ledger::{NoteKey, TrustedBoot};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::store::{StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::{
    Endpoint, LedgerId, TenantId, UserId, VerificationId, read_frame, write_frame,
};

use super::*;
use crate::core::{Command, Refusal, TenantKeySeeds, TermContext};
use crate::keys::{EpochKey, Keyring, Pool, Root};

mod erasure;

const APPLIANCE: LedgerId = LedgerId::from_bytes([1; 16]);
const TENANT: LedgerId = LedgerId::from_bytes([2; 16]);

/// What the fake store does with the next append.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Honest,
    /// Keeps it, then drops the connection without an answer.
    KeepsSilently,
    /// Loses it and drops the connection.
    Loses,
    /// Says the disk is full.
    Full,
    /// Says the record differs from one it keeps, though it keeps none.
    ClaimsDifferent,
    /// Answers another question.
    AnswersAnother,
    /// Keeps something else in its place and says so.
    KeepsAnother,
}

#[derive(Default)]
struct Disk {
    records: HashMap<LedgerId, Vec<StoredRecord>>,
    moods: Vec<Mood>,
    blobs: HashMap<[u8; 32], Vec<u8>>,
    latest: Vec<[u8; 32]>,
    refuses_snapshots: bool,
}

#[derive(Clone, Default)]
struct FakeStore(Arc<Mutex<Disk>>);

impl FakeStore {
    /// Serves on a socket in `dir`.
    async fn serve(&self, dir: &std::path::Path) -> StoreClient {
        // A socket of its own per boot: the last one's may still be open.
        let nth = std::fs::read_dir(dir).unwrap().count();
        let endpoint = Endpoint::Unix(dir.join(format!("store-{nth}")));
        let mut listener = endpoint.listen().await.unwrap();
        let store = self.clone();
        tokio::spawn(async move {
            loop {
                let mut stream = listener.accept().await.unwrap();
                while let Ok(request) = read_frame::<StoreRequest, _>(&mut stream).await {
                    let Some(response) = store.answer(request) else {
                        break;
                    };
                    if write_frame(&mut stream, &response).await.is_err() {
                        break;
                    }
                }
            }
        });
        StoreClient::new(endpoint)
    }

    fn answer(&self, request: StoreRequest) -> Option<StoreResponse> {
        let mut disk = self.0.lock().unwrap();
        match request {
            StoreRequest::Boot => None,
            StoreRequest::PutBlob { name, bytes } => {
                disk.blobs.insert(name, bytes);
                Some(StoreResponse::Stored)
            }
            StoreRequest::GetBlob { name } => Some(match disk.blobs.get(&name) {
                Some(bytes) => StoreResponse::Blob {
                    bytes: bytes.clone(),
                },
                None => refusal(StoreRefusal::Missing),
            }),
            StoreRequest::SetSnapshot { .. } if disk.refuses_snapshots => {
                Some(refusal(StoreRefusal::Storage))
            }
            StoreRequest::SetSnapshot { latest, keep } => {
                disk.latest = latest;
                disk.blobs.retain(|name, _| keep.contains(name));
                Some(StoreResponse::Stored)
            }
            StoreRequest::Snapshot => Some(StoreResponse::Snapshot {
                latest: disk.latest.clone(),
            }),
            StoreRequest::Drop { .. } => Some(StoreResponse::Stored),
            StoreRequest::Heads => Some(StoreResponse::Heads(
                disk.records
                    .iter()
                    .map(|(l, r)| (*l, r.len() as u64))
                    .collect(),
            )),
            StoreRequest::Read {
                ledger,
                from,
                limit,
            } => {
                let all = disk.records.get(&ledger).cloned().unwrap_or_default();
                let some = all
                    .into_iter()
                    .skip(from as usize)
                    .take(limit as usize)
                    .collect();
                Some(StoreResponse::Records(some))
            }
            StoreRequest::Append { records } => match disk.moods.pop().unwrap_or(Mood::Honest) {
                Mood::Honest => disk.keep(records),
                Mood::KeepsSilently => {
                    disk.keep(records);
                    None
                }
                Mood::Loses => None,
                Mood::Full => Some(refusal(StoreRefusal::Storage)),
                Mood::ClaimsDifferent => Some(refusal(StoreRefusal::Different)),
                Mood::AnswersAnother => Some(StoreResponse::Heads(Vec::new())),
                Mood::KeepsAnother => {
                    let other = records.into_iter().map(|r| StoredRecord {
                        bytes: vec![1],
                        ..r
                    });
                    disk.keep(other.collect());
                    Some(refusal(StoreRefusal::Different))
                }
            },
            // This disk keeps no snapshots.
        }
    }

    /// The same disk, copied.
    fn copy(&self) -> Self {
        let disk = self.0.lock().unwrap();
        Self(Arc::new(Mutex::new(Disk {
            records: disk.records.clone(),
            blobs: disk.blobs.clone(),
            latest: disk.latest.clone(),
            ..Disk::default()
        })))
    }

    fn edit(&self, edit: impl FnOnce(&mut HashMap<LedgerId, Vec<StoredRecord>>)) {
        edit(&mut self.0.lock().unwrap().records);
    }

    fn moods(&self, moods: &[Mood]) {
        self.0.lock().unwrap().moods = moods.iter().rev().copied().collect();
    }
}

fn refusal(reason: StoreRefusal) -> StoreResponse {
    StoreResponse::Refused {
        reason,
        detail: "as told".into(),
    }
}

impl Disk {
    fn keep(&mut self, records: Vec<StoredRecord>) -> Option<StoreResponse> {
        for record in records {
            let kept = self.records.entry(record.ledger).or_default();
            match kept.get(record.index as usize) {
                Some(old) if *old == record => {}
                Some(_) => return Some(refusal(StoreRefusal::Different)),
                None if kept.len() as u64 == record.index => kept.push(record),
                None => return Some(refusal(StoreRefusal::OutOfOrder)),
            }
        }
        Some(StoreResponse::Appended)
    }
}

/// One boot of an enclave over a store.
struct Boot {
    ledgers: Ledgers,
    signer: Arc<Ed25519Signer>,
    halted: Arc<Mutex<Option<String>>>,
    /// Whether there is no trusted time.
    timeless: Arc<AtomicBool>,
}

fn pool() -> Arc<Pool> {
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

fn epoch(secret: u8) -> EpochKey {
    Root::new(&[secret; 32], &[]).epoch(&[0; 32], 0).unwrap()
}

fn tenant() -> TenantId {
    "bank-a".parse().unwrap()
}

fn user() -> UserId {
    "customer-1".parse().unwrap()
}

fn context() -> TermContext {
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

async fn recovered(store: &mut StoreClient, secret: u8) -> Result<Recovered, ReplayError> {
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

async fn boot(store: StoreClient) -> Boot {
    boot_with(store, Settings::default()).await
}

async fn boot_with(mut store: StoreClient, settings: Settings) -> Boot {
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

fn refuse_login() -> Command {
    Command::RefuseLogin {
        user: user(),
        reason: "signature",
    }
}

fn open_subject() -> Command {
    Command::BeginEnrollment {
        user: user(),
        id: redoubt_shared::EnrollmentId::from_bytes([3; 16]),
        token_hash: [0; 32],
        consent_given: true,
    }
}

fn ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = redoubt_attestation::jwk::OkpEd25519Jwk::from_bytes(public.try_into().unwrap());
    redoubt_attestation::sign::both::verify_ed25519(&key, message, signature).is_ok()
}

fn check(claim: &Claim, signer: &Ed25519Signer) {
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

#[tokio::test]
async fn every_claim_gets_a_receipt_that_verifies_now_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    first
        .ledgers
        .decide(&tenant(), open_subject())
        .await
        .unwrap();
    let waiting = (0..40).map(|_| {
        let ledgers = first.ledgers.clone();
        async move {
            ledgers
                .decide(&tenant(), refuse_login())
                .await
                .unwrap()
                .claim
                .unwrap()
        }
    });
    let claims = futures::future::join_all(waiting).await;
    claims.iter().for_each(|claim| check(claim, &first.signer));
    drop(first);
    let second = boot(store.serve(dir.path()).await).await;
    for claim in claims {
        let text: serde_json::Value = serde_json::from_str(&claim.text).unwrap();
        let id = text["receipt_id"].as_str().unwrap().parse().unwrap();
        let again = second.ledgers.fetch(&tenant(), id).await.unwrap();
        assert_eq!(again.text, claim.text);
        check(&again, &second.signer);
    }
}

#[tokio::test]
async fn concurrent_commands_share_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let boot = boot(store.serve(dir.path()).await).await;
    boot.ledgers
        .decide(&tenant(), open_subject())
        .await
        .unwrap();
    let id = tenant();
    let waiting = (0..64).map(|_| boot.ledgers.decide(&id, refuse_login()));
    assert!(
        futures::future::join_all(waiting)
            .await
            .iter()
            .all(Result::is_ok)
    );
    store.edit(|records| assert!(records[&TENANT].len() < 40, "{}", records[&TENANT].len()));
}

#[tokio::test]
async fn many_large_claims_are_spread_over_batches_the_store_takes() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let boot = boot(store.serve(dir.path()).await).await;
    boot.ledgers
        .decide(&tenant(), open_subject())
        .await
        .unwrap();
    let id = tenant();
    let reason: &'static str = Box::leak("x".repeat(40_000).into_boxed_str());
    let refuse = || Command::RefuseLogin {
        user: user(),
        reason,
    };
    let waiting = (0..300).map(|_| boot.ledgers.decide(&id, refuse()));
    assert!(
        futures::future::join_all(waiting)
            .await
            .iter()
            .all(Result::is_ok)
    );
    let largest = redoubt_shared::limits::BATCH_MAX / 4;
    store.edit(|records| {
        assert!(
            records
                .values()
                .flatten()
                .all(|record| record.bytes.len() < largest)
        );
    });
}

#[tokio::test]
async fn length_tells_neither_kind_nor_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let boot = boot(store.serve(dir.path()).await).await;
    let id = redoubt_shared::EnrollmentId::from_bytes([3; 16]);
    let attempt = VerificationId::from_bytes([4; 16]);
    let sample = crate::core::SampleUse {
        model: "sface-2021dec".into(),
        worker_tier: "confidential_gpu".into(),
        template_tier: "confidential_gpu".into(),
        quality: 0.875,
    };
    let comparison = crate::core::Comparison {
        accepted: false,
        confidence: 0.45,
        sample,
    };
    let template = crate::core::Template {
        version: 1,
        model: "sface-2021dec".into(),
        transform: 0,
        dimension: 256,
        scale: 0.01,
        values: vec![-1; 256],
        quality: 0.9,
        worker_tier: "confidential_gpu".into(),
        enrolled_ms: 1,
    };
    let commands = [
        open_subject(),
        Command::ReserveEnrollmentSample {
            id,
            token_hash: [0; 32],
        },
        Command::CompleteEnrollment {
            id,
            template: Box::new(template),
        },
        Command::ReserveAttempt {
            user: user(),
            id: attempt,
        },
        Command::ConcludeAttempt {
            user: user(),
            id: attempt,
            comparison,
        },
        refuse_login(),
    ];
    let before = store.0.lock().unwrap().records[&TENANT].len();
    for command in commands {
        boot.ledgers.decide(&tenant(), command).await.unwrap();
    }
    store.edit(|records| {
        let lengths: std::collections::BTreeSet<usize> = records[&TENANT][before..]
            .iter()
            .map(|record| record.bytes.len())
            .collect();
        assert_eq!(lengths.len(), 1, "{lengths:?}");
    });
}

#[tokio::test]
async fn unknown_outcomes_are_settled_by_sending_identical_bytes() {
    for moods in [
        vec![Mood::KeepsSilently],
        vec![Mood::Loses],
        vec![Mood::Full, Mood::Full],
        vec![Mood::Loses, Mood::KeepsSilently, Mood::Full],
        vec![Mood::ClaimsDifferent],
        vec![Mood::AnswersAnother],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = FakeStore::default();
        let first = boot(store.serve(dir.path()).await).await;
        store.moods(&moods);
        first
            .ledgers
            .decide(&tenant(), open_subject())
            .await
            .unwrap();
        first
            .ledgers
            .decide(&tenant(), refuse_login())
            .await
            .unwrap();
        assert_eq!(*first.halted.lock().unwrap(), None);
        boot(store.serve(dir.path()).await).await;
    }
}

#[tokio::test]
async fn another_record_in_its_place_halts() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let boot = boot(store.serve(dir.path()).await).await;
    store.moods(&[Mood::KeepsAnother]);
    let refused = boot.ledgers.decide(&tenant(), open_subject()).await;
    assert!(matches!(refused, Err(CommitError::Halted)));
    assert!(boot.halted.lock().unwrap().is_some());
    let after = boot.ledgers.decide(&tenant(), open_subject()).await;
    assert!(matches!(after, Err(CommitError::Halted)));
}

/// Two boots' worth of entries.
async fn two_terms(store: &FakeStore, dir: &std::path::Path) {
    for _ in 0..2 {
        let boot = boot(store.serve(dir).await).await;
        let id = redoubt_shared::EnrollmentId::from_bytes([9; 16]);
        let command = Command::BeginEnrollment {
            user: user(),
            id,
            token_hash: [0; 32],
            consent_given: true,
        };
        boot.ledgers.decide(&tenant(), command).await.unwrap();
    }
}

async fn refused_after(
    edit: impl FnOnce(&mut HashMap<LedgerId, Vec<StoredRecord>>),
) -> ReplayError {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    two_terms(&store, dir.path()).await;
    store.edit(edit);
    let mut client = store.serve(dir.path()).await;
    match recovered(&mut client, 7).await {
        Err(error) => error,
        Ok(_) => panic!("recovery accepted an edited store"),
    }
}

#[tokio::test]
async fn an_edited_store_is_refused() {
    let flipped = refused_after(|records| {
        let bytes = &mut records.get_mut(&TENANT).unwrap()[1].bytes;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    })
    .await;
    assert!(
        matches!(flipped, ReplayError::Entry { index: 1, .. }),
        "{flipped}"
    );

    let dropped = refused_after(|records| drop(records.get_mut(&TENANT).unwrap().pop())).await;
    assert!(matches!(dropped, ReplayError::Rewound { .. }), "{dropped}");

    let swapped = refused_after(|records| {
        let list = records.get_mut(&TENANT).unwrap();
        let (a, b) = (list[0].bytes.clone(), list[1].bytes.clone());
        (list[0].bytes, list[1].bytes) = (b, a);
    })
    .await;
    assert!(
        matches!(swapped, ReplayError::Entry { index: 0, .. }),
        "{swapped}"
    );

    let moved = refused_after(|records| {
        let foreign = records[&APPLIANCE][0].bytes.clone();
        records.get_mut(&TENANT).unwrap()[0].bytes = foreign;
    })
    .await;
    assert!(
        matches!(moved, ReplayError::Entry { index: 0, .. }),
        "{moved}"
    );

    let appliance_cut =
        refused_after(|records| drop(records.get_mut(&APPLIANCE).unwrap().pop())).await;
    assert!(
        matches!(appliance_cut, ReplayError::Rewound { .. }),
        "{appliance_cut}"
    );
}

#[tokio::test]
async fn another_secret_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    two_terms(&store, dir.path()).await;
    let mut client = store.serve(dir.path()).await;
    assert!(matches!(
        recovered(&mut client, 8).await,
        Err(ReplayError::Entry { index: 0, .. })
    ));
}

#[tokio::test]
async fn no_two_entries_share_a_key_and_nonce_even_after_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    two_terms(&store, dir.path()).await;
    let before: HashMap<LedgerId, Vec<StoredRecord>> = store.0.lock().unwrap().records.clone();
    two_terms(&store, dir.path()).await;
    let fork_one = store.0.lock().unwrap().records.clone();
    store.edit(|records| *records = before);
    two_terms(&store, dir.path()).await;
    let fork_two = store.0.lock().unwrap().records.clone();
    let mut seen: HashMap<([u8; 32], u64), Vec<u8>> = HashMap::new();
    for record in fork_one.values().chain(fork_two.values()).flatten() {
        let id = SealedRecord::decode(&record.bytes).unwrap().nonce_id();
        let other = seen.insert(id, record.bytes.clone());
        assert!(
            other.is_none_or(|other| other == record.bytes),
            "a nonce was used for two bodies"
        );
    }
}

#[tokio::test]
async fn a_reservation_survives_a_crash_as_spent() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    first
        .ledgers
        .decide(&tenant(), open_subject())
        .await
        .unwrap();
    let id = redoubt_shared::EnrollmentId::from_bytes([3; 16]);
    let reserve = Command::ReserveEnrollmentSample {
        id,
        token_hash: [0; 32],
    };
    first.ledgers.decide(&tenant(), reserve).await.unwrap();
    let template = crate::core::Template {
        version: 1,
        model: "m".into(),
        transform: 0,
        dimension: 1,
        scale: 1.0,
        values: vec![1],
        quality: 1.0,
        worker_tier: "process".into(),
        enrolled_ms: 1,
    };
    let complete = Command::CompleteEnrollment {
        id,
        template: Box::new(template),
    };
    first.ledgers.decide(&tenant(), complete).await.unwrap();
    for n in 0..3 {
        let id = VerificationId::from_bytes([n; 16]);
        first
            .ledgers
            .decide(&tenant(), Command::ReserveAttempt { user: user(), id })
            .await
            .unwrap();
    }
    drop(first);
    let second = boot(store.serve(dir.path()).await).await;
    let id = VerificationId::from_bytes([9; 16]);
    let refused = second
        .ledgers
        .decide(&tenant(), Command::ReserveAttempt { user: user(), id })
        .await;
    assert!(
        matches!(refused, Err(CommitError::Refused(Refusal::Locked { .. }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn sealed_records_hold_no_clear_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    two_terms(&store, dir.path()).await;
    store.edit(|records| {
        for record in records.values().flatten() {
            let found = record
                .bytes
                .windows(10)
                .any(|window| window == b"customer-1");
            assert!(!found, "a customer's name stands in a stored record");
        }
    });
}

fn facial(user: &str, id: u8) -> Command {
    Command::BeginEnrollment {
        user: user.parse().unwrap(),
        id: redoubt_shared::EnrollmentId::from_bytes([id; 16]),
        token_hash: [0; 32],
        consent_given: true,
    }
}

async fn users(boot: &Boot) -> usize {
    let look = |core: &Core| core.tenants[&tenant()].state.users.len();
    boot.ledgers.look(look).await.unwrap()
}

fn receipt_id(claim: &Claim) -> redoubt_shared::ReceiptId {
    let text: serde_json::Value = serde_json::from_str(&claim.text).unwrap();
    text["receipt_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_restart_begins_at_the_snapshot_and_old_receipts_still_prove() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    let id = tenant();
    let decide = |command| first.ledgers.decide(&id, command);
    let claim = decide(facial("customer-1", 1))
        .await
        .unwrap()
        .claim
        .unwrap();
    for _ in 0..20 {
        decide(refuse_login()).await.unwrap();
    }
    first.ledgers.snapshot().await.unwrap();
    decide(facial("customer-2", 2)).await.unwrap();
    drop(first);
    let mut client = store.serve(dir.path()).await;
    let recovered = recovered(&mut client, 7).await.unwrap();
    assert!(recovered.replayed <= 4, "{}", recovered.replayed);
    let second = boot(client).await;
    assert_eq!(users(&second).await, 2);
    let again = second
        .ledgers
        .fetch(&tenant(), receipt_id(&claim))
        .await
        .unwrap();
    assert_eq!(again.text, claim.text);
    check(&again, &second.signer);
}

#[tokio::test]
async fn an_altered_snapshot_is_passed_over_for_the_entries_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    first
        .ledgers
        .decide(&tenant(), facial("customer-1", 1))
        .await
        .unwrap();
    first.ledgers.snapshot().await.unwrap();
    drop(first);
    let names: Vec<_> = store.0.lock().unwrap().blobs.keys().copied().collect();
    assert!(names.len() >= 2);
    for name in names {
        let kept = store.0.lock().unwrap().blobs[&name].clone();
        for at in [0, kept.len() / 2, kept.len() - 1] {
            let mut bent = kept.clone();
            bent[at] ^= 1;
            store.0.lock().unwrap().blobs.insert(name, bent);
            let mut client = store.serve(dir.path()).await;
            let recovered = recovered(&mut client, 7).await.unwrap();
            assert_eq!(recovered.tenants[0].1.users.len(), 1);
        }
        store.0.lock().unwrap().blobs.insert(name, kept);
    }
}

#[tokio::test]
async fn an_altered_snapshot_is_passed_over_for_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    first
        .ledgers
        .decide(&tenant(), facial("customer-1", 1))
        .await
        .unwrap();
    for _ in 0..20 {
        first
            .ledgers
            .decide(&tenant(), refuse_login())
            .await
            .unwrap();
    }
    first.ledgers.snapshot().await.unwrap();
    first
        .ledgers
        .decide(&tenant(), facial("customer-2", 2))
        .await
        .unwrap();
    first.ledgers.snapshot().await.unwrap();
    drop(first);
    let newest = store.0.lock().unwrap().latest[0];
    store.0.lock().unwrap().blobs.remove(&newest).unwrap();
    let mut client = store.serve(dir.path()).await;
    let recovered = recovered(&mut client, 7).await.unwrap();
    assert_eq!(recovered.tenants[0].1.users.len(), 2);
    assert!(recovered.replayed <= 6, "{}", recovered.replayed);
}

#[tokio::test]
async fn without_trusted_time_no_epoch_begins() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let boot = boot(store.serve(dir.path()).await).await;
    boot.timeless.store(true, Ordering::Relaxed);
    let ledgers = boot.ledgers.clone();
    let rotate = Rotate {
        next: epoch_of(b"second", 1),
        genesis: [0; 32],
    };
    let mut rotation = tokio::spawn(async move { ledgers.rotate(rotate).await });
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), &mut rotation).await;
    assert!(waited.is_err(), "it went on without time");
    boot.timeless.store(false, Ordering::Relaxed);
    rotation.await.unwrap().unwrap();
}

fn epoch_of(secret: &[u8], epoch: u32) -> EpochKey {
    Root::new(&[7; 32], secret).epoch(&[0; 32], epoch).unwrap()
}

async fn recovered_in(store: &mut StoreClient, key: EpochKey) -> Result<Recovered, ReplayError> {
    let tenants = [(tenant(), TENANT)];
    recover(
        store,
        Keyring::new(key, []),
        &pool(),
        APPLIANCE,
        &tenants,
        None,
        None,
    )
    .await
}

#[tokio::test]
async fn after_a_rotation_only_the_new_secret_opens_anything() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    let id = tenant();
    let decide = |command| first.ledgers.decide(&id, command);
    let claim = decide(facial("customer-1", 1))
        .await
        .unwrap()
        .claim
        .unwrap();
    let old_disk = store.copy();
    let rotate = Rotate {
        next: epoch_of(b"second", 1),
        genesis: [0; 32],
    };
    let (rotated, written) = tokio::join!(first.ledgers.rotate(rotate), async {
        for nth in 0..60u8 {
            decide(facial(&format!("customer-{}", nth + 2), nth + 2))
                .await
                .unwrap();
        }
    });
    rotated.unwrap();
    let () = written;
    decide(facial("customer-last", 99)).await.unwrap();
    assert_eq!(users(&first).await, 62);
    drop(first);

    let mut client = store.serve(dir.path()).await;
    assert!(recovered_in(&mut client, epoch_of(b"", 0)).await.is_err());
    assert!(
        recovered_in(&mut client, epoch_of(b"guess", 1))
            .await
            .is_err()
    );
    let recovered = recovered_in(&mut client, epoch_of(b"second", 1))
        .await
        .unwrap();
    assert_eq!(recovered.tenants[0].1.users.len(), 62);
    let (state, book) = (&recovered.tenants[0].1, &recovered.tenants[0].2);
    let at = state.receipts[&receipt_id(&claim)];
    let stored = client.try_read_one(TENANT, at.entry).await.unwrap();
    let (_, events) = book.reopen(&recovered.keys, &stored, at.entry).unwrap();
    let carried = body::Carried::new();
    let unwrap = body::Unwrap::Carried(&carried);
    let opened: Vec<_> = events
        .into_iter()
        .map(|event| body::open_event(event, state, unwrap))
        .collect();
    let dark = |result: &Result<_, _>| matches!(result, Err(BodyError::Dark));
    assert!(
        opened.iter().any(dark),
        "the old copy of the subject's key is dark"
    );
    assert!(
        opened.iter().any(|result| result.is_ok()),
        "the claim is not"
    );

    let mut old = old_disk.serve(dir.path()).await;
    assert!(
        recovered_in(&mut old, epoch_of(b"second", 1))
            .await
            .is_err()
    );
    assert!(
        recovered_in(&mut old, epoch_of(b"", 0)).await.is_ok(),
        "control"
    );
}

#[tokio::test]
async fn a_rotation_that_died_before_its_last_step_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let first = boot(store.serve(dir.path()).await).await;
    first
        .ledgers
        .decide(&tenant(), facial("customer-1", 1))
        .await
        .unwrap();
    store.0.lock().unwrap().refuses_snapshots = true;
    let rotate = Rotate {
        next: epoch_of(b"second", 1),
        genesis: [0; 32],
    };
    assert!(matches!(
        first.ledgers.rotate(rotate).await,
        Err(CommitError::Snapshot(SnapshotFailed::Refused(_)))
    ));
    first
        .ledgers
        .decide(&tenant(), facial("customer-2", 2))
        .await
        .unwrap();
    drop(first);
    let mut client = store.serve(dir.path()).await;
    let recovered = recovered(&mut client, 7).await.unwrap();
    assert_eq!(recovered.tenants[0].1.users.len(), 2);
}

/// A witness in memory: cosigns what grows, unless told otherwise.
#[derive(Default)]
struct FakeWitness {
    size: Mutex<u64>,
    asked: std::sync::atomic::AtomicU64,
    mood: Mutex<Option<CosignError>>,
}

impl Cosigner for FakeWitness {
    fn name(&self) -> &str {
        "w"
    }
    fn cosign(&self, old: u64, _: Vec<[u8; 32]>, note: String) -> Cosigning {
        self.asked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answer = match self.mood.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => {
                let mut size = self.size.lock().unwrap();
                if *size == old {
                    *size = note.lines().nth(1).unwrap().parse().unwrap();
                    Ok(vec!["line\n".to_owned()])
                } else {
                    Err(CosignError::Size(*size))
                }
            }
        };
        Box::pin(async move { answer })
    }
}

fn witnessed(witnesses: &[Arc<FakeWitness>], quorum: usize, strict: bool) -> Settings {
    let freshness = Freshness {
        strict,
        quorum,
        lease: std::time::Duration::from_millis(400),
    };
    let members = witnesses
        .iter()
        .map(|witness| witness.clone() as Arc<dyn Cosigner>)
        .collect();
    let witnessing = Witnessing::new(freshness, members);
    Settings {
        witnessing,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_strict_answer_waits_for_a_quorum_and_its_anchor_carries_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let witnesses = [0; 3].map(|_| Arc::new(FakeWitness::default()));
    let settings = witnessed(&witnesses, 2, true);
    let boot = boot_with(store.serve(dir.path()).await, settings).await;
    *witnesses[2].mood.lock().unwrap() = Some(CosignError::Passing("down".into()));
    let outcome = boot
        .ledgers
        .decide(&tenant(), facial("customer-1", 1))
        .await
        .unwrap();
    let entry = outcome.claim.unwrap().entry;
    let anchor = entry.anchor.clone().unwrap();
    let proof = boot.ledgers.prove(anchor.clone()).await.unwrap();
    assert!(proof.tree_size > anchor.header.index && proof.note.ends_with("line\nline\n"));
    *witnesses[1].mood.lock().unwrap() = Some(CosignError::Passing("down".into()));
    let id = tenant();
    let alone = boot.ledgers.decide(&id, facial("customer-2", 2));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(600), alone).await;
    assert!(waited.is_err(), "one of three is no quorum");
    assert!(boot.halted.lock().unwrap().is_none());
    *witnesses[1].mood.lock().unwrap() = None;
    boot.ledgers
        .decide(&tenant(), facial("customer-3", 3))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lease_is_renewed_without_traffic_and_reads_end_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let witness = [Arc::new(FakeWitness::default())];
    let boot = boot_with(store.serve(dir.path()).await, witnessed(&witness, 1, false)).await;
    users(&boot).await;
    let asked = |w: &FakeWitness| w.asked.load(std::sync::atomic::Ordering::Relaxed);
    let before = asked(&witness[0]);
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert!(asked(&witness[0]) >= before + 2);
    *witness[0].mood.lock().unwrap() = Some(CosignError::Passing("down".into()));
    tokio::time::sleep(std::time::Duration::from_millis(450)).await;
    let look = tokio::time::timeout(std::time::Duration::from_millis(300), users(&boot)).await;
    assert!(look.is_err(), "no lease, no reading");
}

#[tokio::test]
async fn a_witness_that_refuses_stops_a_copy_only_when_no_quorum_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let witnesses = [0; 3].map(|_| Arc::new(FakeWitness::default()));
    let boot = boot_with(
        store.serve(dir.path()).await,
        witnessed(&witnesses, 2, true),
    )
    .await;
    *witnesses[0].mood.lock().unwrap() = Some(CosignError::Size(1 << 40));
    for nth in 1..5 {
        boot.ledgers
            .decide(&tenant(), facial("customer-1", nth))
            .await
            .unwrap();
    }
    *witnesses[1].mood.lock().unwrap() = Some(CosignError::Refused("superseded by term 9".into()));
    assert!(
        boot.ledgers
            .decide(&tenant(), facial("customer-1", 9))
            .await
            .is_err()
    );
    let halted = boot.halted.lock().unwrap().clone().unwrap();
    assert!(halted.contains("superseded by term 9"), "{halted}");
}
