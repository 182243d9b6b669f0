//! What the log says, and what it never says.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

use base64::Engine;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

use super::client::{Door, request};

thread_local! {
    /// What this thread logged, and with it everything its runtime ran.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One subscriber for the whole process: with one per thread, what is logged first
/// on another thread at that moment may be lost here.
fn log_to_lines() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(|| Lines)
            .with_filter(LevelFilter::DEBUG);
        tracing_subscriber::registry().with(layer).init();
    });
}

#[tokio::test]
async fn routes_and_statuses_are_logged_and_nothing_of_what_travelled() {
    log_to_lines();
    let door = Door::open().await;
    let mut client = door.bank().await;
    let login = "/api/v1/passkeys/authenticate/options";
    let secret = "customer-4711";
    client.post(login, &json!({"user_id": secret})).await;
    client.post(login, &json!({"user_id": [secret]})).await;
    client.get(&format!("/{secret}?q={secret}")).await;
    client.get(&format!("/api/v1/receipts/{secret}")).await;
    let mut ask = request("GET", "/healthz", None, "");
    ask.headers_mut()
        .insert("x-request-id", secret.parse().unwrap());
    client.send(ask).await.unwrap();
    let mut ask = request("GET", "/healthz", None, "");
    *ask.method_mut() = http::Method::from_bytes(b"CUSTOMER-4711").unwrap();
    client.send(ask).await.unwrap();
    client.post(login, &json!({"user_id": "cloned"})).await;
    let sample = base64::engine::general_purpose::STANDARD.encode(secret.repeat(9));
    client
        .post(
            "/api/v1/verify",
            &json!({"user_id": "panic", "modality": "facial",
            "biometric_data": sample}),
        )
        .await;

    let text = String::from_utf8(LINES.take()).unwrap();
    for expected in [
        "route=\"/api/v1/passkeys/authenticate/options\" status=200",
        "route=\"/api/v1/receipts/{id}\" status=404",
        "route=\"none\" status=404",
        "route=\"/api/v1/verify\" status=500",
        "method=\"other\"",
        "request_id=\"",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(text.contains("code=\"authentication_failed\""), "{text}");
    assert!(
        !text.contains("sign_count"),
        "a refusal's cause was logged:\n{text}"
    );
    let lower = text.to_lowercase();
    for forbidden in [
        secret,
        "bank-a",
        "api.a.example",
        &sample[..24].to_lowercase(),
    ] {
        assert!(
            !lower.contains(forbidden),
            "{forbidden} was logged:\n{text}"
        );
    }
}
