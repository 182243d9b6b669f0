//! The route of templates: typed in, typed out.

use axum::extract::State;

use super::extract::{Client, NamedPair};
use super::handlers::{Asker, Outcome};
use super::reply::Reply;
use crate::api::*;

/// Puts a customer's template under another keyed transform, without the customer.
#[utoipa::path(
    post, path = "/api/v1/enroll/{user_id}/{modality}/renew", tag = "biometrics",
    params(
        ("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("modality" = inline(Modality), Path, description = "What"),
    ),
    responses((status = 200, description = "Renewed; the template before is gone", body = Renewed)),
)]
pub(super) async fn renew_template<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    NamedPair(user, modality): NamedPair,
) -> Outcome<Renewed> {
    let modality = serde_json::from_value(modality.into());
    let modality = modality.map_err(|_| Problem::unsupported_modality())?;
    let user = user.parse().map_err(|_| Problem::not_enrolled())?;
    let renewed = shared.services.renew_template(caller, user, modality);
    Ok(Reply::ok(renewed.await?))
}
