//! Routes of devices: typed in, typed out.

use axum::extract::State;
use redoubt_shared::{DeviceId, UserId};

use super::extract::{Client, Named, NamedPair, Received};
use super::handlers::{Asker, Outcome};
use super::reply::Reply;
use crate::api::*;

/// The two names of `{user_id}/devices/{device_id}`.
pub(super) fn device_of(
    NamedPair(user, device): &NamedPair,
) -> Result<(UserId, DeviceId), Problem> {
    let user = user.parse().map_err(|_| Problem::unknown_subject())?;
    let device = device.parse().map_err(|_| Problem::unknown_device())?;
    Ok((user, device))
}

/// A customer's devices.
#[utoipa::path(
    get, path = "/api/v1/subjects/{user_id}/devices", tag = "devices",
    params(("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 200, description = "All of them", body = Devices)),
)]
pub(super) async fn devices<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<Devices> {
    let user = name.parse(Problem::unknown_subject)?;
    Ok(Reply::ok(shared.services.devices(caller, user).await?))
}

/// Describes a device.
#[utoipa::path(
    post, path = "/api/v1/subjects/{user_id}/devices/{device_id}", tag = "devices",
    params(
        ("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("device_id" = String, Path, description = "Which", pattern = "^[0-9a-f]{32}$"),
    ),
    request_body = DescribeDevice,
    responses((status = 200, description = "The device as it stands", body = Device)),
)]
pub(super) async fn describe_device<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    names: NamedPair,
    Received(request): Received<DescribeDevice>,
) -> Outcome<Device> {
    let (user, device) = device_of(&names)?;
    let services = &shared.services;
    let described = services.describe_device(caller, user, device, request);
    Ok(Reply::ok(described.await?))
}

/// Suspends, resumes, revokes a device, or flags it as compromised.
#[utoipa::path(
    post, path = "/api/v1/subjects/{user_id}/devices/{device_id}/state", tag = "devices",
    params(
        ("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("device_id" = String, Path, description = "Which", pattern = "^[0-9a-f]{32}$"),
    ),
    request_body = SetDeviceState,
    responses((status = 200, description = "In force", body = DeviceStateSet)),
)]
pub(super) async fn set_device_state<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    names: NamedPair,
    Received(request): Received<SetDeviceState>,
) -> Outcome<DeviceStateSet> {
    let (user, device) = device_of(&names)?;
    let services = &shared.services;
    let set = services.set_device_state(caller, user, device, request);
    Ok(Reply::ok(set.await?))
}
