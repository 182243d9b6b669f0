//! Snapshots and rotations.

use super::*;

#[tokio::test]
async fn a_restart_begins_at_the_snapshot_and_old_receipts_still_prove() {
    let (dir, store, first) = started().await;
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
    let (dir, store, first) = started().await;
    first.decide(facial("customer-1", 1)).await;
    first.ledgers.snapshot().await.unwrap();
    drop(first);
    let names: Vec<_> = store.disk.lock().unwrap().blobs.keys().copied().collect();
    assert!(names.len() >= 2);
    for name in names {
        let kept = store.disk.lock().unwrap().blobs[&name].clone();
        for at in [0, kept.len() / 2, kept.len() - 1] {
            let mut bent = kept.clone();
            bent[at] ^= 1;
            store.disk.lock().unwrap().blobs.insert(name, bent);
            let mut client = store.serve(dir.path()).await;
            let recovered = recovered(&mut client, 7).await.unwrap();
            assert_eq!(recovered.tenants[0].1.users.len(), 1);
        }
        store.disk.lock().unwrap().blobs.insert(name, kept);
    }
}

#[tokio::test]
async fn an_altered_snapshot_is_passed_over_for_an_older_one() {
    let (dir, store, first) = started().await;
    first.decide(facial("customer-1", 1)).await;
    for _ in 0..20 {
        first.decide(refuse_login()).await;
    }
    first.ledgers.snapshot().await.unwrap();
    first.decide(facial("customer-2", 2)).await;
    first.ledgers.snapshot().await.unwrap();
    drop(first);
    let newest = store.disk.lock().unwrap().latest[0];
    store.disk.lock().unwrap().blobs.remove(&newest).unwrap();
    let mut client = store.serve(dir.path()).await;
    let recovered = recovered(&mut client, 7).await.unwrap();
    assert_eq!(recovered.tenants[0].1.users.len(), 2);
    assert!(recovered.replayed <= 6, "{}", recovered.replayed);
}

#[tokio::test]
async fn without_trusted_time_no_epoch_begins() {
    let (_dir, _store, boot) = started().await;
    let now_ms = boot.clock.swap(0, Relaxed);
    let ledgers = boot.ledgers.clone();
    let rotate = Rotate {
        next: epoch_of(b"second", 1),
        genesis: [0; 32],
    };
    let mut rotation = tokio::spawn(async move { ledgers.rotate(rotate).await });
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), &mut rotation).await;
    assert!(waited.is_err(), "it went on without time");
    boot.clock.store(now_ms, Relaxed);
    rotation.await.unwrap().unwrap();
}

#[tokio::test]
async fn after_a_rotation_only_the_new_secret_opens_anything() {
    let (dir, store, first) = started().await;
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
    let ids = ReceiptIds::new(state.keys.as_ref().unwrap(), TENANT).unwrap();
    let at = ids.place(receipt_id(&claim)).unwrap();
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
    let (dir, store, first) = started().await;
    first.decide(facial("customer-1", 1)).await;
    store.disk.lock().unwrap().refuses_snapshots = true;
    let rotate = Rotate {
        next: epoch_of(b"second", 1),
        genesis: [0; 32],
    };
    assert!(matches!(
        first.ledgers.rotate(rotate).await,
        Err(CommitError::Snapshot(SnapshotFailed::Refused(_)))
    ));
    first.decide(facial("customer-2", 2)).await;
    drop(first);
    let mut client = store.serve(dir.path()).await;
    let recovered = recovered(&mut client, 7).await.unwrap();
    assert_eq!(recovered.tenants[0].1.users.len(), 2);
}

#[test]
fn no_chunk_holds_a_template_and_what_its_key_comes_from() {
    use crate::core::{Content, Event, Recorded, SubjectHandle, SubjectKey};
    use crate::ledger::book::Book;
    use crate::ledger::snapshot::{Frozen, FrozenBook, Out, Root, write};
    use redoubt_attestation::encode::sha256;
    let state = |mark: u8| {
        let mut state = crate::core::TenantState::default();
        let keys = TenantKeySeeds {
            es256: [0xa5; 32],
            mldsa65: [mark; 32],
        };
        let handle = SubjectHandle([mark; 16]);
        let template = Box::new(crate::core::Template {
            version: 2,
            model: "m".into(),
            transform: 1,
            dimension: 256,
            scale: 1.0,
            values: vec![99; 384],
            quality: 1.0,
            worker_tier: "process".into(),
            enrolled_ms: 1,
        });
        for event in [
            Event::TenantOpened {
                tenant: tenant(),
                keys,
            },
            Event::SubjectOpened {
                handle,
                key: SubjectKey::new([1; 32]),
            },
            Event::FaceRenewed { handle, template },
        ] {
            let content = Content::State(Box::new(event));
            let owner = None;
            crate::core::apply(&mut state, &Recorded { owner, content });
        }
        state
    };
    let (pool, epoch) = (pool(), Arc::new(epoch(7)));
    let book = |ledger| {
        let book = Book::new(ledger, Default::default(), epoch.entries(), &pool);
        FrozenBook::of(&book.unwrap(), &[])
    };
    let names = ["bank-a", "bank-b"].map(|name| name.parse().unwrap());
    let [one, other] = names;
    let frozen = Frozen {
        epoch: epoch.clone(),
        genesis: [0; 32],
        earlier: vec![],
        appliance: (Default::default(), book(APPLIANCE)),
        tenants: vec![
            (one, state(3), book(TENANT)),
            (other, state(4), book(LedgerId::from_bytes([3; 16]))),
        ],
        rotates: false,
    };
    let (out, mut written) = tokio::sync::mpsc::channel(64);
    write(frozen, &pool, out).unwrap();
    let (mut blobs, mut root) = (HashMap::new(), None);
    while let Ok(next) = written.try_recv() {
        match next {
            Out::Blob(bytes) => drop(blobs.insert(sha256(&[&bytes]).0, bytes)),
            Out::Done(done) => root = Some(Root::decode(&done.root).unwrap()),
            Out::Tail(_) => panic!("nothing is carried over"),
        }
    }
    let chunks = root.unwrap().opened(&epoch, |name| blobs[name].clone());
    let with = |needle: &'static [u8]| {
        let has = move |chunk: &&Vec<u8>| chunk.windows(needle.len()).any(|part| part == needle);
        chunks.iter().filter(has)
    };
    assert_eq!(with(&[0xa5; 32]).count(), 2);
    assert!(with(&[99; 384]).count() >= 1);
    for seeds in with(&[0xa5; 32]) {
        assert!(!seeds.windows(32).any(|part| part == [99; 32]));
    }
}
