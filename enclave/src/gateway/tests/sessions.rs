//! Tokens in forms, and the form of the answer.

use serde_json::json;

use super::client::{Answer, Client, Door, request};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const INTROSPECT: &str = "/api/v1/token/introspect";

async fn ask(client: &mut Client, kind: Option<&str>, accept: &[&str], body: &str) -> Answer {
    let mut request = request("POST", INTROSPECT, kind, body.to_owned());
    for value in accept {
        let headers = request.headers_mut();
        headers.append("accept", value.parse().unwrap());
    }
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn the_accept_header_chooses_the_form_of_the_answer() {
    let door = Door::open().await;
    let mut bank = door.bank().await;
    let (jwt, jose) = (
        "application/token-introspection+jwt",
        "application/jose+json",
    );
    for (accept, kind) in [
        (&[][..], "application/json"),
        (&["*/*"], "application/json"),
        (&["application/json"], "application/json"),
        (&["text/html"], "application/json"),
        (&[jwt], jwt),
        (&["Application/Token-Introspection+JWT;q=0.9"], jwt),
        (&[jose], jose),
        (&["text/html, application/jose+json"], jose),
        (
            &["application/json, application/jose+json"],
            "application/json",
        ),
        (&["text/html", jwt], jwt),
    ] {
        let answer = ask(&mut bank, FORM, accept, "token=abc").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("content-type"), kind, "{accept:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        match kind {
            "application/json" => assert_eq!(&answer.body[..], br#"{"active":false}"#),
            kind if kind == jwt => assert_eq!(&answer.body[..], b"abc"),
            _ => assert_eq!(answer.json(), json!({"payload": "abc"})),
        }
    }
}

#[tokio::test]
async fn keys_may_be_kept_and_their_refusal_may_not() {
    let door = Door::open().await;
    let keys = door.bank().await.get("/api/v1/jwks").await;
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    assert_eq!(keys.header("cache-control"), "private, max-age=300");
    assert!(keys.json()["keys"].is_array());
    let refused = door.http1(None).await.unwrap().get("/api/v1/jwks").await;
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_form_is_read_whole_or_refused_without_repeating_it() {
    let door = Door::open().await;
    let mut bank = door.bank().await;
    let good = [
        "token=abc",
        "token=a%62c&token_type_hint=refresh_token",
        "client_id=x&token=abc",
    ];
    for body in good {
        let charset = Some("application/x-www-form-urlencoded; charset=UTF-8");
        let jwt = ["application/token-introspection+jwt"];
        let answer = ask(&mut bank, charset, &jwt, body).await;
        assert_eq!(&answer.body[..], b"abc", "{body}");
    }
    let long = format!("token={}", "s3cret".repeat(50));
    for body in ["", "token=", "s3cret", "token=s3cret&token=s3cret", &long] {
        let answer = ask(&mut bank, FORM, &[], body).await;
        assert_eq!(
            answer.problem(),
            (400, "malformed_request".into()),
            "{body}"
        );
        assert!(!answer.json().to_string().contains("s3cret"), "{body}");
    }
    let json = ask(
        &mut bank,
        Some("application/json"),
        &[],
        r#"{"token":"abc"}"#,
    )
    .await;
    assert_eq!(json.problem(), (415, "unsupported_media_type".into()));
    let huge = format!("token={}", "a".repeat(1 << 20));
    let answer = ask(&mut bank, FORM, &[], &huge).await;
    assert_eq!(answer.problem(), (413, "body_too_large".into()));
}
