//! Searching and exporting the ledger.

use serde_json::json;

use super::client::Door;
use super::pki::Leaf;
use crate::api::{Reader, Role};

#[tokio::test]
async fn a_search_is_typed_before_anybody_is_asked() {
    let door = Door::open().await;
    let mut client = door.http1(Some(door.world.client_a())).await.unwrap();
    let whole = "/api/v1/audit/events?type=approval&user_id=alice&from=1970-01-01T00:00:01Z\
                 &to=1970-01-01T01:00:02.5%2B01:00&after=12.3&limit=9&tenant=bank-a";
    let answer = client.get(whole).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.json(),
        json!({"events": [{"receipt_id": "01".repeat(16), "type": "approval", "time_ms": 1000,
            "user_id": "alice", "entry": 7, "event": 1, "claims": {"to": 2500, "limit": 9}}],
            "next": "12.3", "kept_from": 0})
    );
    let bare = client.get("/api/v1/audit/events").await.json();
    assert_eq!(bare["next"], json!(null));
    for wrong in [
        "from=yesterday",
        "to=1",
        "after=1",
        "after=1.01",
        "limit=many",
        "limit=70000",
        "tenant=no%20id",
        "user_id=a%20b",
        "more=1",
    ] {
        let path = format!("/api/v1/audit/events?{wrong}");
        let problem = client.get(&path).await.problem();
        assert_eq!(problem, (400, "malformed_request".to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn an_export_is_json_lines_for_tenants_and_auditors() {
    let door = Door::open().await;
    let auditor = door.world.auditor.issue(Leaf::default());
    for chain in [door.world.client_a(), auditor] {
        let mut client = door.http2(Some(chain)).await.unwrap();
        let answer = client.get("/api/v1/audit/export?from=5&limit=2").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("content-type"), "application/jsonl");
        assert_eq!(answer.json(), json!({"from": 5, "limit": 2}));
        let unknown = client.get("/api/v1/audit/export?tenant=nobody").await;
        assert_eq!(unknown.problem(), (404, "unknown_tenant".to_owned()));
        let wrong = client.get("/api/v1/audit/export?from=-1").await;
        assert_eq!(wrong.problem(), (400, "malformed_request".to_owned()));
    }
    let readers = door.fake.readers.lock().unwrap();
    let [Reader::Tenant(bank), _, Reader::Auditor { .. }, _] = &readers[..] else {
        panic!("{readers:?}");
    };
    assert_eq!((bank.tenant.as_str(), bank.role), ("bank-a", Role::Bank));
}
