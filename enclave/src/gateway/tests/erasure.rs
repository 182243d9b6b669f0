//! Erasure, epochs, and checkpoints that clients bring back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::client::{Answer, Client, Door, request};
use super::pki::Leaf;
use crate::api::Role;

const APPROVAL: &str = "/api/v1/approvals/00000000000000000000000000000000";

async fn delete(client: &mut Client, path: &str) -> Answer {
    client
        .send(request("DELETE", path, None, ""))
        .await
        .unwrap()
}

async fn with_notes(client: &mut Client, path: &str, notes: &[&str]) -> Answer {
    let mut request = request("GET", path, None, "");
    for note in notes {
        let headers = request.headers_mut();
        headers.append("redoubt-checkpoint", note.parse().unwrap());
    }
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn erasing_answers_over_both_versions_and_names_what_is_wrong() {
    let door = Door::open().await;
    let chain = door.world.client_a();
    for mut client in [
        door.http1(Some(chain.clone())).await.unwrap(),
        door.http2(Some(chain)).await.unwrap(),
    ] {
        for path in [
            "/api/v1/enroll/alice/facial",
            "/api/v1/enroll/alice/voice",
            "/api/v1/subjects/alice",
            "/api/v1/subjects/a%6Cice",
        ] {
            let answer = delete(&mut client, path).await;
            assert_eq!(answer.status(), 200, "{path}");
            let body = answer.json();
            assert_eq!(body["status"], "pending-epoch");
            assert_eq!(
                (&body["epoch"], &body["depends_on"]),
                (&json!(3), &json!(["alice"]))
            );
            assert_eq!(body["erasure_id"], "01".repeat(16));
            assert!(body["receipt"].is_object());
        }
        for (path, status, code) in [
            (
                "/api/v1/enroll/alice/multimodal",
                422,
                "unsupported_modality",
            ),
            ("/api/v1/enroll/alice/gait", 422, "unsupported_modality"),
            ("/api/v1/enroll/a%20b/facial", 409, "not_enrolled"),
            ("/api/v1/subjects/nobody", 404, "unknown_subject"),
            ("/api/v1/subjects/a%20b", 404, "unknown_subject"),
            ("/api/v1/subjects/", 404, "route_not_found"),
            ("/api/v1/approvals", 405, "method_not_allowed"),
        ] {
            let problem = delete(&mut client, path).await.problem();
            assert_eq!(problem, (status, code.to_owned()), "{path}");
        }
        let erasure = client
            .get(&format!("/api/v1/erasures/{}", "02".repeat(16)))
            .await;
        assert_eq!(
            erasure.json(),
            json!({"erasure_id": "02".repeat(16), "status": "dark", "scope": "subject",
                "depends_on": [], "epoch": 3, "requested_at": "1970-01-01T00:00:00Z",
                "dark_at": "1970-01-01T00:00:01Z", "statements": [
                    {"statement": "e30", "signature": URL_SAFE_NO_PAD.encode([7; 64])}]})
        );
        let unknown = client.get("/api/v1/erasures/none").await.problem();
        assert_eq!(unknown, (404, "unknown_erasure".to_owned()));
    }
}

#[tokio::test]
async fn only_officers_turn_epochs() {
    let door = Door::open().await;
    let officer = door.world.officer.issue(Leaf::default());
    let mut client = door.http1(Some(officer)).await.unwrap();
    let status = json!({"epoch": 3, "pending_erasures": 2, "rotation": null});
    assert_eq!(client.get("/api/v1/epochs").await.json(), status);
    let begun = client.post("/api/v1/epochs/rotate", &json!({})).await;
    assert_eq!((begun.status(), begun.json()), (202, status));
    let files = json!({"genesis": {"payload": "a"}, "config": {"payload": "b"}});
    assert_eq!(
        client.post("/api/v1/epochs/rotate", &files).await.status(),
        202
    );
    let half = client
        .post("/api/v1/epochs/rotate", &json!({"genesis": {}}))
        .await;
    assert_eq!(half.problem(), (400, "malformed_request".to_owned()));
    let seen = std::mem::take(&mut *door.fake.rotations.lock().unwrap());
    assert_eq!(seen.len(), 2);
    assert!(seen[0].successor.is_none() && seen[1].successor.is_some());
    let refused = door.bank().await.get("/api/v1/epochs").await.problem();
    assert_eq!(refused, (403, "role_not_allowed".to_owned()));
}

#[tokio::test]
async fn a_checkpoint_is_judged_before_the_handler_and_for_its_own_tenant() {
    let door = Door::open().await;
    let chain = door.world.client_a();
    let encode = |note: &str| URL_SAFE_NO_PAD.encode(note);
    for mut client in [
        door.http1(Some(chain.clone())).await.unwrap(),
        door.http2(Some(chain)).await.unwrap(),
    ] {
        let good = with_notes(&mut client, APPROVAL, &[&encode("a note\n")]).await;
        assert_eq!(good.status(), 200);
        let (caller, note) = door.fake.notes.lock().unwrap().pop().unwrap();
        assert_eq!((caller.tenant.as_str(), &*note), ("bank-a", "a note\n"));
        assert_eq!(caller.role, Role::Bank);
        let answered = door.fake.callers.lock().unwrap().len();
        for wrong in [
            vec![encode("refuse me")],
            vec!["not base64!".to_owned()],
            vec![format!("{}=", encode("padded"))],
            vec![URL_SAFE_NO_PAD.encode([0xff, 0xfe])],
            vec![encode("one"), encode("two")],
        ] {
            let notes: Vec<&str> = wrong.iter().map(String::as_str).collect();
            let refused = with_notes(&mut client, APPROVAL, &notes).await;
            assert_eq!(
                refused.problem(),
                (400, "checkpoint_refused".to_owned()),
                "{wrong:?}"
            );
        }
        let handled = door.fake.callers.lock().unwrap().len();
        assert_eq!(handled, answered, "no handler ran");
    }
}

#[tokio::test]
async fn only_a_tenants_own_route_looks_at_a_checkpoint() {
    let door = Door::open().await;
    let note = URL_SAFE_NO_PAD.encode("refuse me");
    let mut nobody = door.http1(None).await.unwrap();
    assert_eq!(
        with_notes(&mut nobody, "/healthz", &[&note]).await.status(),
        200
    );
    let refused = with_notes(&mut nobody, APPROVAL, &[&note]).await.problem();
    assert_eq!(refused.1, "client_certificate_required");
    let mut bank = door.bank().await;
    assert_eq!(
        with_notes(&mut bank, "/healthz", &[&note]).await.status(),
        200
    );
    let auditor = door.world.auditor.issue(Leaf::default());
    let mut auditor = door.http1(Some(auditor)).await.unwrap();
    let receipt = format!("/api/v1/receipts/{}", "0".repeat(32));
    assert_eq!(
        with_notes(&mut auditor, &receipt, &[&note]).await.status(),
        200
    );
    assert!(door.fake.notes.lock().unwrap().is_empty());
    let officer = door.world.officer.issue(Leaf::default());
    let mut officer = door.http1(Some(officer)).await.unwrap();
    assert_eq!(
        with_notes(&mut officer, "/api/v1/epochs", &[&note])
            .await
            .status(),
        200
    );
}
