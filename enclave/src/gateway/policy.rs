//! Handlers of the tenant's own policy.

use axum::extract::State;

use super::extract::{Client, Received};
use super::handlers::{Asker, Outcome};
use super::reply::Reply;
use crate::api::{
    PolicyActivated, PolicyDryRun, PolicyOrder, PolicyStatus, PolicyTrial, PolicyUpload, Services,
};

/// Takes a signed bundle of Rego, runs its unit tests, and puts it in force.
#[utoipa::path(
    put, path = "/api/v1/admin/policy", tag = "policy", request_body = PolicyUpload,
    responses((status = 200, description = "In force", body = PolicyActivated)),
)]
pub(super) async fn put_policy<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<PolicyUpload>,
) -> Outcome<PolicyActivated> {
    Ok(Reply::ok(
        shared.services.put_policy(caller, request).await?,
    ))
}

/// Which bundle is in force, and which were.
#[utoipa::path(
    get, path = "/api/v1/admin/policy", tag = "policy",
    responses((status = 200, description = "As it stands", body = PolicyStatus)),
)]
pub(super) async fn get_policy<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
) -> Outcome<PolicyStatus> {
    Ok(Reply::ok(shared.services.get_policy(caller).await?))
}

/// Goes back to an earlier bundle, or to none, by a signed order.
#[utoipa::path(
    post, path = "/api/v1/admin/policy/rollback", tag = "policy", request_body = PolicyOrder,
    responses((status = 200, description = "In force", body = PolicyActivated)),
)]
pub(super) async fn order_policy<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<PolicyOrder>,
) -> Outcome<PolicyActivated> {
    Ok(Reply::ok(
        shared.services.order_policy(caller, request).await?,
    ))
}

/// Runs a bundle's unit tests, and asks it about recorded decisions. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/admin/policy/dry-run", tag = "policy", request_body = PolicyTrial,
    responses((status = 200, description = "What it would have changed", body = PolicyDryRun)),
)]
pub(super) async fn try_policy<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<PolicyTrial>,
) -> Outcome<PolicyDryRun> {
    Ok(Reply::ok(
        shared.services.try_policy(caller, request).await?,
    ))
}
