//! Routes of attempts and alerts: typed in, typed out.

use axum::extract::State;

use super::extract::{Asked, Client, Named};
use super::handlers::{Asker, Outcome};
use super::reply::Reply;
use crate::api::*;

/// A customer's latest attempts.
#[utoipa::path(
    get, path = "/api/v1/verify/history/{user_id}", tag = "risk",
    params(("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 200, description = "Latest first", body = History)),
)]
pub(super) async fn history<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<History> {
    let user = name.parse(Problem::unknown_subject)?;
    Ok(Reply::ok(shared.services.history(caller, user).await?))
}

/// A customer in numbers.
#[utoipa::path(
    get, path = "/api/v1/stats/{user_id}", tag = "risk",
    params(("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 200, description = "As things stand", body = Stats)),
)]
pub(super) async fn stats<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<Stats> {
    let user = name.parse(Problem::unknown_subject)?;
    Ok(Reply::ok(shared.services.stats(caller, user).await?))
}

/// What the security team is told.
#[utoipa::path(
    get, path = "/api/v1/admin/security-alerts", tag = "risk", params(AlertsQuery),
    responses((status = 200, description = "Latest first", body = SecurityAlerts)),
)]
pub(super) async fn security_alerts<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Asked(query): Asked<AlertsQuery>,
) -> Outcome<SecurityAlerts> {
    let services = &shared.services;
    Ok(Reply::ok(services.security_alerts(caller, query).await?))
}
