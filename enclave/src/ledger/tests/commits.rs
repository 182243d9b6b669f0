//! Commits and their receipts, over a store that fails in every way.

use super::*;

#[tokio::test]
async fn every_claim_gets_a_receipt_that_verifies_now_and_after_a_restart() {
    let (dir, store, first) = started().await;
    first.decide(open_subject()).await;
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
    let (_dir, store, boot) = started().await;
    boot.decide(open_subject()).await;
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
    let (_dir, store, boot) = started().await;
    boot.decide(open_subject()).await;
    let id = tenant();
    let reason: &'static str = Box::leak("x".repeat(40_000).into_boxed_str());
    let refuse = || Command::RefuseLogin {
        user: user(),
        credential_id: Vec::new(),
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
    let (_dir, store, boot) = started().await;
    let id = redoubt_shared::EnrollmentId::from_bytes([3; 16]);
    let attempt = VerificationId::from_bytes([4; 16]);
    let sample = crate::core::SampleUse {
        model: "sface-2021dec".into(),
        worker_tier: "confidential_gpu".into(),
        template_tier: "confidential_gpu".into(),
        quality: 0.875,
        liveness: None,
        performed: None,
        spoken: None,
    };
    let comparison = crate::core::Comparison {
        accepted: false,
        confidence: 0.45,
        sample,
        parts: Vec::new(),
        from: crate::core::Whereabouts::default(),
    };
    let template = crate::core::Template {
        version: 2,
        model: "sface-2021dec".into(),
        transform: 1,
        dimension: 256,
        scale: 0.01,
        values: vec![-1; 384],
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
            liveness: None,
            performed: None,
            searched: None,
        },
        Command::ReserveAttempt {
            means: crate::core::Means::Face,
            user: user(),
            id: attempt,
            from: Default::default(),
        },
        Command::ConcludeAttempt {
            user: user(),
            id: attempt,
            comparison,
        },
        refuse_login(),
    ];
    let before = store.disk.lock().unwrap().records[&TENANT].len();
    for command in commands {
        boot.decide(command).await;
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
        first.decide(open_subject()).await;
        first.decide(refuse_login()).await;
        assert_eq!(*first.halted.lock().unwrap(), None);
        boot(store.serve(dir.path()).await).await;
    }
}

#[tokio::test]
async fn another_record_in_its_place_halts() {
    let (_dir, store, boot) = started().await;
    store.moods(&[Mood::KeepsAnother]);
    let refused = boot.ledgers.decide(&tenant(), open_subject()).await;
    assert!(matches!(refused, Err(CommitError::Halted)));
    assert!(boot.halted.lock().unwrap().is_some());
    let after = boot.ledgers.decide(&tenant(), open_subject()).await;
    assert!(matches!(after, Err(CommitError::Halted)));
}

/// Two boots' worth of entries.
#[tokio::test]
async fn a_reservation_survives_a_crash_as_spent() {
    let (dir, store, first) = started().await;
    first.decide(open_subject()).await;
    let id = redoubt_shared::EnrollmentId::from_bytes([3; 16]);
    let reserve = Command::ReserveEnrollmentSample {
        id,
        token_hash: [0; 32],
    };
    first.decide(reserve).await;
    let template = crate::core::Template {
        version: 2,
        model: "m".into(),
        transform: 1,
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
        liveness: None,
        performed: None,
        searched: None,
    };
    first.decide(complete).await;
    for n in 0..3 {
        let id = VerificationId::from_bytes([n; 16]);
        first
            .decide(Command::ReserveAttempt {
                means: crate::core::Means::Face,
                user: user(),
                id,
                from: Default::default(),
            })
            .await;
    }
    drop(first);
    let second = boot(store.serve(dir.path()).await).await;
    let id = VerificationId::from_bytes([9; 16]);
    let refused = second
        .ledgers
        .decide(
            &tenant(),
            Command::ReserveAttempt {
                means: crate::core::Means::Face,
                user: user(),
                id,
                from: Default::default(),
            },
        )
        .await;
    assert!(
        matches!(refused, Err(CommitError::Refused(Refusal::Locked { .. }))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_said_twice_acknowledges_one_batch() {
    let (_dir, store, boot) = started().await;
    let kept = || store.disk.lock().unwrap().records[&TENANT].len();
    boot.decide(open_subject()).await;
    store.moods(&[Mood::AnswersTwice; 300]);
    let before = kept();
    for done in 1..=300 {
        boot.decide(refuse_login()).await;
        assert_eq!(kept(), before + done);
    }
    assert_eq!(*boot.halted.lock().unwrap(), None);
}

#[tokio::test]
async fn an_id_that_nobody_was_given_finds_nothing() {
    let (_dir, _store, boot) = started().await;
    boot.decide(open_subject()).await;
    let waiting = (0..20).map(|_| boot.decide(refuse_login()));
    let given = futures::future::join_all(waiting).await;
    let given = given.into_iter().map(|outcome| outcome.claim.unwrap());
    let given: Vec<_> = given.map(|claim| receipt_id(&claim)).collect();
    let cipher = |core: &Core| {
        let seeds = core.tenants[&tenant()].state.keys.clone();
        ReceiptIds::new(&seeds.unwrap(), TENANT).unwrap()
    };
    let cipher = boot.ledgers.look(cipher).await.unwrap();
    for id in &given {
        boot.ledgers.fetch(&tenant(), *id).await.unwrap();
        let at = cipher.place(*id).unwrap();
        for entry in [at.entry, at.entry + 1000] {
            let id = cipher.id(Place { entry, ..at }, [0; 7]).unwrap();
            let found = boot.ledgers.fetch(&tenant(), id).await;
            assert!(matches!(found, Err(CommitError::UnknownReceipt)));
        }
        let mut bytes = *id.as_bytes();
        bytes[3] ^= 1;
        let bent = redoubt_shared::ReceiptId::from_bytes(bytes);
        let found = boot.ledgers.fetch(&tenant(), bent).await;
        assert!(matches!(found, Err(CommitError::UnknownReceipt)));
    }
    assert_eq!(*boot.halted.lock().unwrap(), None);
}
