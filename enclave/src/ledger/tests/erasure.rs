//! Erasing through the ledger: the claim is sealed before its key goes, and a
//! restart finds nobody.

use redoubt_shared::{EnrollmentId, ErasureId};

use super::*;
use crate::core::{Content, Event, Reply, SubjectHandle, Template};
use crate::ledger::body::erasable;

fn erase_subject() -> Command {
    Command::EraseSubject {
        user: user(),
        id: ErasureId::from_bytes([9; 16]),
        salt: [5; 32],
    }
}

fn template() -> Template {
    Template {
        version: 2,
        model: "m".into(),
        transform: 1,
        dimension: 2,
        scale: 1.0,
        values: vec![1, 2],
        quality: 0.9,
        worker_tier: "process".into(),
        enrolled_ms: 1,
    }
}

async fn enrol(ledgers: &Ledgers) {
    let id = EnrollmentId::from_bytes([3; 16]);
    let token_hash = [0; 32];
    for command in [
        open_subject(),
        Command::ReserveEnrollmentSample { id, token_hash },
        Command::CompleteEnrollment {
            id,
            template: Box::new(template()),
            liveness: None,
            performed: None,
            searched: None,
        },
    ] {
        ledgers.decide(&tenant(), command).await.unwrap();
    }
}

async fn knows_someone(ledgers: &Ledgers) -> bool {
    let looked = ledgers.look(|core| {
        let state = &core.tenants[&tenant()].state;
        let nobody = |handle: &SubjectHandle| *handle == SubjectHandle::NOBODY;
        let somebody = !state.subjects.keys().all(nobody);
        !state.users.is_empty() || somebody || !state.enrollments.is_empty()
    });
    looked.await.unwrap()
}

#[tokio::test]
async fn an_erasure_leaves_with_a_receipt_that_verifies_and_stays_after_a_restart() {
    let (dir, store, first) = started().await;
    enrol(&first.ledgers).await;
    let login = first.decide(refuse_login()).await;
    let old = login.claim.unwrap();
    assert!(knows_someone(&first.ledgers).await);
    let outcome = first.decide(erase_subject()).await;
    assert!(matches!(outcome.reply, Reply::Erasure { epoch: 0, .. }));
    let claim = outcome.claim.unwrap();
    check(&claim, &first.signer);
    let text: serde_json::Value = serde_json::from_str(&claim.text).unwrap();
    assert_eq!(
        (&text["type"], &text["scope"]),
        (&"erasure".into(), &"subject".into())
    );
    assert!(!knows_someone(&first.ledgers).await);
    drop(first.ledgers);
    let second = boot(store.serve(dir.path()).await).await;
    assert!(!knows_someone(&second.ledgers).await);
    let erasure = second.ledgers.look(|core| {
        let state = &core.tenants[&tenant()].state;
        state.erasures_waiting_for(0, 9)
    });
    assert_eq!(erasure.await.unwrap(), vec![ErasureId::from_bytes([9; 16])]);
    // Copies handed out before go on verifying; a fresh one cannot be made.
    for text in [&old.text, &claim.text] {
        let named: serde_json::Value = serde_json::from_str(text).unwrap();
        let id = named["receipt_id"].as_str().unwrap().parse().unwrap();
        let fetched = second.ledgers.fetch(&tenant(), id).await;
        assert!(matches!(fetched, Err(CommitError::Erased)));
    }
    assert!(second.halted.lock().unwrap().is_none());
}

#[tokio::test]
async fn commands_in_one_batch_with_an_erasure_end_in_order() {
    let (dir, store, first) = started().await;
    enrol(&first.ledgers).await;
    // Submitted together: one before, the erasure, one after, and a new start.
    let ledgers = &first.ledgers;
    let tenant = tenant();
    let (before, erased, after, again) = tokio::join!(
        ledgers.decide(&tenant, refuse_login()),
        ledgers.decide(&tenant, erase_subject()),
        ledgers.decide(&tenant, refuse_login()),
        ledgers.decide(&tenant, open_subject()),
    );
    // After the erasure it is a name of nobody's: refused, and named in no claim.
    let after = after.unwrap().claim.unwrap();
    assert!(after.text.contains("\"user_id\":null"), "{}", after.text);
    for good in [before, erased, again] {
        check(&good.unwrap().claim.unwrap(), &first.signer);
    }
    assert!(knows_someone(&first.ledgers).await);
    drop(first.ledgers);
    let second = boot(store.serve(dir.path()).await).await;
    assert!(knows_someone(&second.ledgers).await);
    let faces = second.ledgers.look(|core| {
        let state = &core.tenants[&super::tenant()].state;
        state.subjects.values().filter(|s| s.face.is_some()).count()
    });
    assert_eq!(faces.await.unwrap(), 0);
}

#[tokio::test]
async fn a_dark_claim_is_nobodys_and_can_be_fetched_for_good() {
    let (dir, store, first) = started().await;
    enrol(&first.ledgers).await;
    first.decide(erase_subject()).await;
    let mark = Command::MarkDark {
        erasures: vec![ErasureId::from_bytes([9; 16])],
        statements: vec![],
        depends_on: vec![],
    };
    let marked = first.decide(mark).await;
    let text = marked.claim.unwrap().text;
    drop(first.ledgers);
    let second = boot(store.serve(dir.path()).await).await;
    let named: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(named["user_id"], serde_json::Value::Null);
    let id = named["receipt_id"].as_str().unwrap().parse().unwrap();
    let fetched = second.ledgers.fetch(&tenant(), id).await.unwrap();
    assert_eq!(fetched.text, text);
}

#[test]
fn what_points_at_an_erased_name_goes_dark_with_its_epoch() {
    use crate::core::{Content, Event, KeptBudget};
    let budget = KeptBudget {
        failures: 3,
        locked_until_ms: Some(2000),
        expires_ms: 2000,
    };
    let kept = Event::BudgetKept {
        salt: [1; 32],
        name: [2; 32],
        budget,
        at_ms: 1000,
    };
    assert!(body::erasable(&Content::State(Box::new(kept))));
    let handle = crate::core::SubjectHandle([1; 16]);
    let expired = Event::LockExpired { handle };
    assert!(!body::erasable(&Content::State(Box::new(expired))));
}

#[test]
fn whatever_holds_a_template_goes_dark_with_its_epoch() {
    let (handle, id) = (SubjectHandle([1; 16]), EnrollmentId::from_bytes([3; 16]));
    let template = || Box::new(template());
    for event in [
        Event::FaceEnrolled {
            id,
            handle,
            template: template(),
        },
        Event::VoiceEnrolled {
            id,
            handle,
            template: template(),
        },
        Event::FaceRenewed {
            handle,
            template: template(),
        },
        Event::VoiceRenewed {
            handle,
            template: template(),
        },
    ] {
        assert!(erasable(&Content::State(Box::new(event))));
    }
    let other = Event::EnrollmentSampleReserved { id };
    assert!(!erasable(&Content::State(Box::new(other))));
}
