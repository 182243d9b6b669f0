//! Recovery from a store that was edited, and what no two boots share.

use super::*;

async fn two_terms(store: &FakeStore, dir: &std::path::Path) {
    for _ in 0..2 {
        let boot = boot(store.serve(dir).await).await;
        let id = redoubt_shared::EnrollmentId::from_bytes([9; 16]);
        let command = Command::BeginEnrollment {
            modality: crate::core::Modality::Face,
            user: user(),
            id,
            token_hash: [0; 32],
            consent_given: true,
        };
        boot.decide(command).await;
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
async fn a_store_that_refuses_to_read_for_a_moment_ends_no_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    two_terms(&store, dir.path()).await;
    let refusing = |times| store.disk.lock().unwrap().refuses_reads = times;
    for times in [1, 7] {
        let mut client = store.serve(dir.path()).await;
        refusing(times);
        let opened = recovered(&mut client, 7).await;
        assert!(opened.is_ok(), "{:?}", opened.err());
    }
    // One reading for one caller is asked for twice, and not for ever.
    let mut client = store.serve(dir.path()).await;
    refusing(1);
    assert_eq!(client.try_read(APPLIANCE, 0, 1).await.unwrap().len(), 1);
    refusing(u32::MAX);
    let refused = recovered(&mut client, 7).await.err().unwrap();
    assert!(
        matches!(refused, ReplayError::Store(StoreError::Refused(_))),
        "{refused}"
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
    let before: HashMap<LedgerId, Vec<StoredRecord>> = store.disk.lock().unwrap().records.clone();
    two_terms(&store, dir.path()).await;
    let fork_one = store.disk.lock().unwrap().records.clone();
    store.edit(|records| *records = before);
    two_terms(&store, dir.path()).await;
    let fork_two = store.disk.lock().unwrap().records.clone();
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
