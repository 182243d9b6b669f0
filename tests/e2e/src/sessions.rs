//! What a bank's gateway asks about sessions and devices.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use redoubt_bank::client::{Bank, Reply, whole};
use serde_json::{Value, json};

/// The one answer for every token that is no good here.
pub const INACTIVE: &[u8] = br#"{"active":false}"#;
/// Asks for the signed introspection of RFC 9701.
pub const JWT: &str = "application/token-introspection+jwt";
/// Asks for the session under two signatures.
pub const HYBRID: &str = "application/jose+json";

/// `POST` of a form with a token.
pub async fn form(bank: &Bank, path: &str, token: &str, accept: &str) -> Result<Reply> {
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", accept),
    ];
    let body = whole(Bytes::from(format!(
        "token={token}&token_type_hint=access_token"
    )));
    Ok(bank.send(Method::POST, path, &headers, body).await?)
}

/// `POST /api/v1/token/introspect`, as JSON.
pub async fn introspect(bank: &Bank, token: &str) -> Result<Value> {
    let path = "/api/v1/token/introspect";
    Ok(form(bank, path, token, "application/json").await?.read()?)
}

/// Whether the session is open for this client; one that is not looks like any other.
pub async fn is_active(bank: &Bank, token: &str) -> Result<bool> {
    let path = "/api/v1/token/introspect";
    let reply = form(bank, path, token, "application/json").await?;
    let told: Value = serde_json::from_slice(&reply.body)?;
    let active = told["active"].as_bool().context("no answer")?;
    ensure!(
        reply.status == 200 && (active || reply.body[..] == *INACTIVE),
        "{told}"
    );
    Ok(active)
}

/// `POST /api/v1/token/revoke`: how many sessions ended.
pub async fn revoke(bank: &Bank, token: &str) -> Result<u64> {
    let path = "/api/v1/token/revoke";
    let ended: Value = form(bank, path, token, "*/*").await?.read()?;
    ensure!(
        ended["receipt"].is_null() == (ended["ended"] == 0),
        "{ended}"
    );
    ended["ended"].as_u64().context("no count")
}

/// A customer's devices.
pub async fn devices(bank: &Bank, user: &str) -> Result<Value> {
    let path = format!("/api/v1/subjects/{user}/devices");
    Ok(bank.get(&path).await?.read()?)
}

/// Puts a device into a state.
pub async fn put(bank: &Bank, user: &str, device: &str, state: &str) -> Result<Reply> {
    let path = format!("/api/v1/subjects/{user}/devices/{device}/state");
    let body = json!({"state": state, "reason": "asked for by a test"});
    Ok(bank.post(&path, &body).await?)
}
