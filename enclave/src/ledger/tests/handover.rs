//! The last entry: what came before it is answered, nothing comes after it.

use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::{Digest32, sha256};
use redoubt_attestation::shares::envelope_ledger;

use super::*;

const RECIPIENT: Digest32 = Digest32([9; 32]);
const ORDER: Digest32 = Digest32([1; 32]);

pub(super) fn order(name: u8) -> HandOver {
    HandOver {
        order: [name; 32],
        order_digest: [name + 1; 32],
        recipient: RECIPIENT,
        not_after_ms: 1000,
        seal: Box::new(|head: Head| Ok(head.root.0.to_vec())),
    }
}

/// Records in the ledger of the first order's envelope.
pub(super) fn envelopes(store: &FakeStore) -> u64 {
    store.count(envelope_ledger(APPLIANCE, &RECIPIENT, &ORDER))
}

async fn client(store: &FakeStore, dir: &tempfile::TempDir) -> StoreClient {
    store.serve(dir.path()).await
}

#[tokio::test]
async fn a_handover_is_the_last_entry_and_its_envelope_stands_under_the_head_before() {
    let (dir, store, boot) = started().await;
    boot.decide(open_subject()).await;
    let handed = boot.ledgers.hand_over(order(1)).await.unwrap();
    let before = handed.before;
    assert_eq!(store.count(APPLIANCE), before.size + 1);
    assert_eq!(envelopes(&store), 1);

    // Nothing is taken any more, neither commands nor readings, and nothing is written.
    let refused = boot.ledgers.decide(&tenant(), refuse_login()).await;
    assert!(matches!(refused, Err(CommitError::HandedOver)));
    let refused = boot.ledgers.root_at(None, 1).await;
    assert!(matches!(refused, Err(CommitError::HandedOver)));
    let refused = boot.ledgers.hand_over(order(2)).await;
    assert!(matches!(refused, Err(CommitError::HandedOver)));
    assert_eq!(boot.halted.lock().unwrap().clone(), None);
    drop(boot);

    // Who holds the recipient's key finds the envelope, and the ledger ends as it says.
    let mut client = client(&store, &dir).await;
    let envelope = read_envelope(&mut client, APPLIANCE, &RECIPIENT, &ORDER)
        .await
        .unwrap();
    let envelope = envelope.unwrap();
    assert_eq!(envelope, before.root.0);
    let none = Digest32([8; 32]);
    for (recipient, order) in [(&none, &ORDER), (&RECIPIENT, &none)] {
        let other = read_envelope(&mut client, APPLIANCE, recipient, order).await;
        assert_eq!(other.unwrap(), None);
    }
    let recovered = recovered(&mut client, 7).await.unwrap();
    let (state, book) = &recovered.appliance;
    assert_eq!(book.size(), before.size + 1);
    assert_eq!(book.tree().root_at(before.size), Some(before.root.0));
    assert_eq!(state.handovers, std::slice::from_ref(&handed.record));
    assert_eq!(handed.record.envelope, sha256(&[&envelope]).0);
    assert_eq!(handed.record.recipient, RECIPIENT.0);
}

#[tokio::test]
async fn an_altered_envelope_is_none() {
    let (dir, store, boot) = started().await;
    boot.ledgers.hand_over(order(1)).await.unwrap();
    drop(boot);
    let ledger = envelope_ledger(APPLIANCE, &RECIPIENT, &ORDER);
    store.edit(|records| {
        let bytes = &mut records.get_mut(&ledger).unwrap()[0].bytes;
        *bytes.last_mut().unwrap() ^= 1;
    });
    let mut client = client(&store, &dir).await;
    let read = read_envelope(&mut client, APPLIANCE, &RECIPIENT, &ORDER).await;
    assert_eq!(read.unwrap(), None);
}

#[tokio::test]
async fn what_came_before_is_answered_and_what_comes_after_is_not_decided() {
    const EACH: usize = 40;
    let (dir, store, boot) = started().await;
    let tenant = tenant();
    let ask = |nth: usize| {
        let command = facial(&format!("customer-{nth}"), 3);
        boot.ledgers.decide(&tenant, command)
    };
    let early = futures::future::join_all((0..EACH).map(ask));
    let readings = futures::future::join_all((0..EACH).map(|_| boot.ledgers.root_at(None, 1)));
    let late = futures::future::join_all((EACH..2 * EACH).map(ask));
    // Polled in this order, so asked in this order.
    let handing = boot.ledgers.hand_over(order(1));
    let (early, readings, handed, late) =
        futures::future::join4(early, readings, handing, late).await;
    handed.unwrap();
    assert!(early.iter().all(Result::is_ok));
    assert!(readings.iter().all(|read| matches!(read, Ok(Some(_)))));
    assert!(
        late.iter()
            .all(|answer| matches!(answer, Err(CommitError::HandedOver)))
    );
    let mut client = client(&store, &dir).await;
    let recovered = recovered(&mut client, 7).await.unwrap();
    assert_eq!(recovered.tenants[0].1.users.len(), EACH);
}

#[tokio::test]
async fn an_order_is_spent_for_good_and_another_one_is_not() {
    let (dir, store, first) = started().await;
    first.ledgers.hand_over(order(1)).await.unwrap();
    drop(first);
    // Over entries, then over a snapshot alone, then after a further term.
    for _ in 0..3 {
        let boot = boot(client(&store, &dir).await).await;
        let again = boot.ledgers.hand_over(order(1)).await;
        assert!(matches!(again, Err(CommitError::OrderSpent)));
        boot.decide(open_subject()).await;
        boot.ledgers.snapshot().await.unwrap();
    }
    // Even to a recipient that was named before and never took.
    let boot = boot(client(&store, &dir).await).await;
    boot.ledgers.hand_over(order(2)).await.unwrap();
}

#[tokio::test]
async fn an_order_that_ends_before_the_secret_is_sealed_is_not_obeyed() {
    let (_dir, store, boot) = started().await;
    // It was good when it arrived: time passes while requests come to their end.
    for (now_ms, expired) in [(1001, true), (0, false)] {
        boot.clock.store(now_ms, Relaxed);
        match boot.ledgers.hand_over(order(1)).await {
            Err(CommitError::OrderExpired) => assert!(expired),
            Err(CommitError::NoTime) => assert!(!expired),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(envelopes(&store), 0);
    boot.clock.store(1000, Relaxed);
    let handed = boot.ledgers.hand_over(order(1)).await.unwrap();
    assert_eq!(handed.record.at_ms, 1000);
}

#[tokio::test]
async fn an_envelope_that_cannot_be_made_changes_nothing() {
    let (_dir, store, boot) = started().await;
    let size = store.count(APPLIANCE);
    let unsealed = HandOver {
        seal: Box::new(|_| Err(CommitError::NotSealed)),
        ..order(1)
    };
    let refused = boot.ledgers.hand_over(unsealed).await;
    assert!(matches!(refused, Err(CommitError::NotSealed)));
    assert_eq!(store.count(APPLIANCE), size);
    boot.decide(open_subject()).await;
    boot.ledgers.hand_over(order(1)).await.unwrap();
}

#[tokio::test]
async fn spent_orders_outlive_being_folded_and_unfolded() {
    let record = |name: u8| HandoverRecord {
        order: [name; 32],
        order_digest: [0; 32],
        recipient: [1; 32],
        envelope: [2; 32],
        at_ms: 3,
    };
    let mut state = ApplianceState::default();
    for name in [1, 2] {
        state.apply(&ApplianceEvent::HandedOver(record(name)));
    }
    let mut again = ApplianceState::default();
    state.events().iter().for_each(|event| again.apply(event));
    assert!(again == state);
    assert!(again.is_spent(&[1; 32]) && again.is_spent(&[2; 32]) && !again.is_spent(&[3; 32]));
}

/// The bytes that are recorded: what is written once is read for ever.
#[test]
fn a_handover_has_golden_bytes() {
    let event = ApplianceEvent::HandedOver(HandoverRecord {
        order: [1; 32],
        order_digest: [2; 32],
        recipient: [3; 32],
        envelope: [4; 32],
        at_ms: 300,
    });
    let bytes = postcard::to_stdvec(&event).unwrap();
    let fields: Vec<u8> = (1..=4).flat_map(|byte| [byte; 32]).collect();
    assert_eq!(bytes, [&[10][..], &fields, &[0xac, 0x02]].concat());
}

/// The bytes that are recorded, and a state that does not care.
#[test]
fn a_disagreement_of_workers_has_golden_bytes_and_changes_no_state() {
    let event = ApplianceEvent::WorkerDisagreed {
        at_ms: 300,
        tier: "enclave".into(),
    };
    let bytes = postcard::to_stdvec(&event).unwrap();
    assert_eq!(bytes, [&[11, 0xac, 0x02, 7][..], b"enclave"].concat());
    let mut state = ApplianceState::default();
    state.apply(&event);
    assert!(state == ApplianceState::default());
}
