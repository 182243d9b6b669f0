//! The committer and recovery against a store that misbehaves.

use std::collections::HashMap;
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
use crate::keys::{EpochKey, Pool, Root};

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
            _ => None,
        }
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
        &epoch(secret),
        &pool(),
        APPLIANCE,
        &[(tenant(), TENANT)],
    )
    .await
}

async fn boot(mut store: StoreClient) -> Boot {
    let recovered = recovered(&mut store, 7).await.unwrap();
    let (appliance, book) = recovered.appliance;
    let term = appliance.term() + 1;
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
    let mut core = Core::new(
        tenants,
        appliance,
        book,
        Arc::new(epoch(7)),
        term,
        signer.clone(),
        pool(),
    );
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
    let halted = Arc::new(Mutex::new(None));
    let told = halted.clone();
    let ledgers = Ledgers::start(
        core,
        store,
        || Some(1000),
        move |reason| {
            *told.lock().unwrap() = Some(reason.to_string());
        },
    );
    Boot {
        ledgers,
        signer,
        halted,
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
