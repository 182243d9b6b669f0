//! Routes of sessions and of the keys that sign them: typed in, typed out.

use axum::extract::State;
use axum::response::Response;

use super::devices::device_of;
use super::extract::{Client, Named, NamedPair, ReceivedForm, Wanted};
use super::handlers::{Asker, Outcome};
use super::reply::{Reply, introspected, key_set};
use crate::api::*;

/// What a session token stands for (RFC 7662). Which form, the Accept header says: JSON, a
/// signed introspection (RFC 9701), or the session under two signatures for inner services.
#[utoipa::path(
    post, path = "/api/v1/token/introspect", tag = "sessions",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The session, or that there is none", content(
        (Introspection = "application/json"),
        (String = "application/token-introspection+jwt"),
        (Object = "application/jose+json"),
    ))),
)]
pub(super) async fn introspect<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Wanted(form): Wanted,
    ReceivedForm(request): ReceivedForm<TokenForm>,
) -> Result<Response, Problem> {
    let services = &shared.services;
    let answer = services.introspect(caller, request.token, form).await?;
    Ok(introspected(answer))
}

/// Ends the session of a token (RFC 7009). A token that names none is as good as revoked.
#[utoipa::path(
    post, path = "/api/v1/token/revoke", tag = "sessions",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is over", body = SessionsEnded)),
)]
pub(super) async fn revoke_token<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    ReceivedForm(request): ReceivedForm<TokenForm>,
) -> Outcome<SessionsEnded> {
    let ended = shared.services.revoke_token(caller, request.token).await?;
    Ok(Reply::ok(ended))
}

/// Ends every session of the tenant.
#[utoipa::path(
    delete, path = "/api/v1/sessions", tag = "sessions",
    responses((status = 200, description = "They are over", body = SessionsEnded)),
)]
pub(super) async fn end_all_sessions<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
) -> Outcome<SessionsEnded> {
    let scope = SessionScope::Tenant;
    Ok(Reply::ok(
        shared.services.end_sessions(caller, scope).await?,
    ))
}

/// Ends every session of a customer.
#[utoipa::path(
    delete, path = "/api/v1/subjects/{user_id}/sessions", tag = "sessions",
    params(("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 200, description = "They are over", body = SessionsEnded)),
)]
pub(super) async fn end_user_sessions<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<SessionsEnded> {
    let scope = SessionScope::User(name.parse(Problem::unknown_subject)?);
    Ok(Reply::ok(
        shared.services.end_sessions(caller, scope).await?,
    ))
}

/// Ends every session of one of a customer's devices.
#[utoipa::path(
    delete, path = "/api/v1/subjects/{user_id}/devices/{device_id}/sessions", tag = "sessions",
    params(
        ("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("device_id" = String, Path, description = "Which", pattern = "^[0-9a-f]{32}$"),
    ),
    responses((status = 200, description = "They are over", body = SessionsEnded)),
)]
pub(super) async fn end_device_sessions<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    names: NamedPair,
) -> Outcome<SessionsEnded> {
    let (user, device) = device_of(&names)?;
    let scope = SessionScope::Device(user, device);
    Ok(Reply::ok(
        shared.services.end_sessions(caller, scope).await?,
    ))
}

/// The tenant's public keys: they verify artefacts and sessions.
#[utoipa::path(
    get, path = "/api/v1/jwks", tag = "sessions",
    responses((
        status = 200, description = "JSON Web Key Set (RFC 7517)", body = JwkSet,
        content_type = "application/jwk-set+json",
        headers(("Cache-Control" = String, description = "For how long it may be kept")),
    )),
)]
pub(super) async fn jwks<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
) -> Result<Response, Problem> {
    key_set(&shared.services.jwks(caller).await?)
}
