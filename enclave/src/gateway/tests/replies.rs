//! Replies and refusals, over HTTP/1.1 and HTTP/2.

use serde_json::{Value, json};

use super::client::{Answer, Door, request};
use crate::gateway::Limits;

const LOGIN: &str = "/api/v1/passkeys/authenticate/options";

fn alice() -> Value {
    json!({"user_id": "alice"})
}

fn assertion() -> Value {
    json!({"id": "AQ", "rawId": "AQ", "type": "public-key", "clientExtensionResults": {},
        "response": {"clientDataJSON": "AQ", "authenticatorData": "AQ", "signature": "AQ"}})
}

fn transaction() -> Value {
    json!({"amount": "250.00", "currency": "EUR",
        "payee": {"name": "ACME", "account": "DE02120300000000202051"}, "reference": "R-1"})
}

#[tokio::test]
async fn every_bank_route_answers_over_both_versions() {
    let door = Door::open().await;
    let chain = door.world.client_a();
    let mut answer = assertion();
    answer["user_id"] = json!("alice");
    let nested = json!({"user_id": "alice", "credential": assertion()});
    let registration = json!({"user_id": "alice", "id": "AQ", "rawId": "AQ", "type": "public-key",
        "response": {"clientDataJSON": "AQ", "attestationObject": "AQ"}, "unknown": 1});
    let id = "0".repeat(32);
    let sample = json!({"user_id": "alice", "modality": "facial", "biometric_data": "AAAA",
        "device_info": {"type": "mobile", "device_id": "d"}, "ip_address": "192.0.2.1",
        "geolocation": {"lat": 1.0, "lng": 2.0}});
    let posts = [
        ("/api/v1/passkeys/register/options".to_owned(), alice(), 200),
        (
            "/api/v1/passkeys/register/verify".to_owned(),
            registration,
            200,
        ),
        (LOGIN.to_owned(), alice(), 200),
        (
            "/api/v1/passkeys/authenticate/verify".to_owned(),
            answer.clone(),
            200,
        ),
        (
            "/api/v1/passkeys/authenticate/verify".to_owned(),
            nested,
            200,
        ),
        (
            "/api/v1/enroll/initiate".to_owned(),
            json!({"user_id": "alice", "modality": "facial", "consent_given": true,
                "device_info": {"type": "mobile", "os": "x"}}),
            201,
        ),
        ("/api/v1/verify".to_owned(), sample, 200),
        (
            "/api/v1/approvals".to_owned(),
            json!({"user_id": "alice", "transaction": transaction()}),
            201,
        ),
        (format!("/api/v1/approvals/{id}/verify"), answer, 200),
        (
            format!("/api/v1/approvals/{id}/reject"),
            json!({"user_id": "alice"}),
            200,
        ),
        (format!("/api/v1/approvals/{id}/cancel"), json!({}), 200),
    ];
    for mut client in [
        door.http1(Some(chain.clone())).await.unwrap(),
        door.http2(Some(chain)).await.unwrap(),
    ] {
        for (path, body, status) in &posts {
            let answer = client.post(path, body).await;
            assert_eq!(answer.status(), *status, "{path} {:?}", answer.body);
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("x-request-id").len(), 36);
        }
        for path in ["/api/v1/approvals/", "/api/v1/receipts/"] {
            assert_eq!(client.get(&format!("{path}{id}")).await.status(), 200);
            assert_eq!(client.get(&format!("{path}nothing")).await.status(), 404);
        }
        assert_eq!(
            client.get("/healthz").await.json(),
            json!({"phase": "serving"})
        );
    }
    let options = door.bank().await.post(LOGIN, &alice()).await.json();
    assert_eq!(options["rpId"], "a.example", "options are flat");
}

#[tokio::test]
async fn malformed_input_is_refused_with_the_name_of_the_field() {
    let door = Door::open().await;
    let mut client = door.bank().await;
    let mut wrong_amount = json!({"user_id": "alice", "transaction": transaction()});
    wrong_amount["transaction"]["amount"] = json!(250.0);
    let mut wrong_signature = assertion();
    wrong_signature["user_id"] = json!("alice");
    wrong_signature["response"]["signature"] = json!("A+==");
    let cases = [
        (LOGIN, json!({"user_id": "a b"}), "user_id"),
        ("/api/v1/passkeys/register/options", json!({}), "user_id"),
        (LOGIN, json!({"user_id": "alice", "user": 1}), "user"),
        ("/api/v1/approvals", wrong_amount, "transaction.amount"),
        (
            "/api/v1/passkeys/authenticate/verify",
            wrong_signature,
            "response.signature",
        ),
        (
            "/api/v1/verify",
            json!({"user_id": "alice", "modality": "smell"}),
            "modality",
        ),
        (
            "/api/v1/verify",
            json!({"user_id": "alice", "modality": "facial", "biometric_data": "%"}),
            "biometric_data",
        ),
        (
            "/api/v1/verify",
            json!({"user_id": "alice", "modality": "facial", "biometric_data": "AAAA",
                "geolocation": {"lat": 91, "lng": 0}}),
            "geolocation.lat",
        ),
    ];
    for (path, body, field) in cases {
        let answer = client.post(path, &body).await;
        assert_eq!(answer.problem(), (400, "malformed_request".to_owned()));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(field), "{path}: {detail}");
    }
    for broken in [
        "",
        "{",
        "[]",
        "{\"user_id\":\"a\"}x",
        "\u{0}",
        "{\"user_id\":\"\\ud800\"}",
    ] {
        let ask = request("POST", LOGIN, Some("application/json"), broken);
        let answer = client.send(ask).await.unwrap();
        assert_eq!(
            answer.problem(),
            (400, "malformed_request".to_owned()),
            "{broken}"
        );
    }
    assert!(door.fake.callers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn routes_methods_and_media_types_that_do_not_exist_are_named() {
    let door = Door::open().await;
    let mut client = door.bank().await;
    let mut problem = async |method: &str, path: &str, kind| -> (Answer, u16, String) {
        let answer = client
            .send(request(method, path, kind, "{}"))
            .await
            .unwrap();
        let (status, code) = answer.problem();
        (answer, status, code)
    };
    let json = Some("application/json");
    let (_, status, code) = problem("GET", "/api/v2/verify", None).await;
    assert_eq!((status, code.as_str()), (404, "route_not_found"));
    let (answer, status, code) = problem("DELETE", "/api/v1/verify", json).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
    assert_eq!(answer.header("allow"), "POST");
    for kind in [
        None,
        Some("text/plain"),
        Some("application/jsonx"),
        Some("multipart/form-data"),
    ] {
        let (_, status, code) = problem("POST", LOGIN, kind).await;
        assert_eq!(
            (status, code.as_str()),
            (415, "unsupported_media_type"),
            "{kind:?}"
        );
    }
    let options = "/api/v1/passkeys/register/options";
    let (_, status, _) = problem("POST", options, Some("Application/JSON; charset=utf-8")).await;
    assert_eq!(status, 400, "the type is right, the body is not");
    let submit = format!(
        "/api/v1/enroll/submit?enrollment_id={}&session_token=t",
        "0".repeat(32)
    );
    let (_, status, _) = problem("POST", &submit, json).await;
    assert_eq!(status, 415);
}

#[tokio::test]
async fn nonces_are_8_to_64_bytes_in_either_spelling() {
    let door = Door::open().await;
    let mut client = door.http1(None).await.unwrap();
    let path = |query: &str| format!("/.well-known/attestation{query}");
    for (text, length) in [
        ("00".repeat(8), 8),
        ("A".repeat(43), 32),
        ("ff".repeat(64), 64),
    ] {
        let answer = client.get(&path(&format!("?nonce={text}"))).await;
        assert_eq!(answer.status(), 200, "{text}");
        let document = answer.json()["document"].as_str().unwrap().to_owned();
        assert_eq!(document.len(), (length * 4usize).div_ceil(3));
    }
    for query in [
        "?nonce=",
        "?nonce=AAAA",
        "?nonce=%20",
        &format!("?nonce={}", "00".repeat(65)),
    ] {
        let answer = client.get(&path(query)).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_nonce".to_owned()),
            "{query}"
        );
    }
    for query in ["", "?nonce=0011223344556677&purpose=steal"] {
        let answer = client.get(&path(query)).await;
        assert_eq!(
            answer.problem(),
            (400, "malformed_request".to_owned()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn evidence_is_rationed_apart_for_strangers_and_for_banks() {
    let limits = Limits {
        attestations_per_second: 1,
        attestation_burst: 3,
        ..Limits::default()
    };
    let door = Door::with(limits).await;
    let mut stranger = door.http1(None).await.unwrap();
    let path = "/.well-known/attestation?nonce=0011223344556677";
    for _ in 0..3 {
        assert_eq!(stranger.get(path).await.status(), 200);
    }
    let answer = stranger.get(path).await;
    assert_eq!(answer.problem(), (429, "too_many_requests".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(door.bank().await.get(path).await.status(), 200);
}

#[tokio::test]
async fn request_ids_are_ours_unless_the_clients_is_a_uuid() {
    let door = Door::open().await;
    let mut client = door.bank().await;
    let mut named = async |theirs: Option<&str>| {
        let mut ask = request("GET", "/healthz", None, "");
        if let Some(theirs) = theirs {
            let value = http::HeaderValue::from_bytes(theirs.as_bytes()).unwrap();
            ask.headers_mut().insert("x-request-id", value);
        }
        let answer = client.send(ask).await.unwrap();
        answer.header("x-request-id").to_owned()
    };
    let uuid = "2f1c3e52-7a0e-4a55-9d3c-0d1b7f6f4a11";
    assert_eq!(named(Some(uuid)).await, uuid);
    let ours = named(None).await;
    assert_ne!(ours, named(None).await);
    let junk = [
        "customer-4711",
        "",
        "\u{e9}",
        "2f1c3e52-7a0e-4a55-9d3c-0d1b7f6f4a1'",
    ];
    let mut made = std::collections::HashSet::from([ours]);
    for theirs in junk.into_iter().chain(junk) {
        let id = named(Some(theirs)).await;
        assert!(id != theirs && made.insert(id), "{theirs}");
    }
}

#[tokio::test]
async fn a_panic_is_one_500_and_the_connection_goes_on() {
    let door = Door::open().await;
    let mut client = door.bank().await;
    let answer = client.post(LOGIN, &json!({"user_id": "panic"})).await;
    assert_eq!(answer.problem(), (500, "internal_error".to_owned()));
    assert_eq!(client.post(LOGIN, &alice()).await.status(), 200);
    assert_eq!(door.counters.panics_total.get(), 1);
    assert_eq!(door.counters.replies_failed_total.get(), 1);
}

#[tokio::test]
async fn a_lock_says_when_to_come_back() {
    let door = Door::open().await;
    let answer = door
        .bank()
        .await
        .post(LOGIN, &json!({"user_id": "locked"}))
        .await;
    assert_eq!(answer.problem(), (423, "account_locked".to_owned()));
    assert_eq!(answer.header("retry-after"), "30");
    assert_eq!(answer.json()["locked_until"], "1970-01-01T00:01:30Z");
}

#[tokio::test]
async fn an_idempotency_key_travels_and_a_wrong_one_is_refused() {
    let door = Door::open().await;
    let mut client = door.bank().await;
    let body = json!({"user_id": "alice", "transaction": transaction()}).to_string();
    for (key, status) in [
        ("taken", 409),
        ("\"taken\"", 409),
        ("free", 201),
        ("a b", 400),
    ] {
        let mut ask = request(
            "POST",
            "/api/v1/approvals",
            Some("application/json"),
            body.clone(),
        );
        ask.headers_mut()
            .insert("idempotency-key", key.parse().unwrap());
        assert_eq!(client.send(ask).await.unwrap().status(), status, "{key}");
    }
}
