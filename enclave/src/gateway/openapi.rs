//! The OpenAPI 3.1 document, from the same table as the router.
//!
//! Protects against: a contract that drifts. Operations and schemas come from
//! the handlers, refusals and access from the route table, examples from one file
//! that a test reads with the real types.

mod describe;
mod examples;
mod links;

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityScheme;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, ServerBuilder, tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::admit::Access;
use super::routes::{ALWAYS, Route, SERVING, table};
use describe::{describe, problems};
use redoubt_shared::supervise::Phase;

#[cfg(test)]
pub(super) use examples::Examples;

use crate::api::{Problem, ProblemBody, Services};

const MUTUAL_TLS: &str = "mutualTLS";

/// What routes are sorted by.
const TAGS: &[(&str, &str)] = &[
    (
        "evidence",
        "What proves that this is the appliance, and what it decided",
    ),
    (
        "passkeys",
        "Registration of passkeys and logins (WebAuthn Level 3)",
    ),
    ("biometrics", "Enrolment and verification of faces"),
    ("approvals", "Payments that a customer approves by passkey"),
    ("sessions", "What a login opened, and how it ends"),
    (
        "risk",
        "What was attempted, how unusual it was, and who is told",
    ),
    ("devices", "A customer's passkeys, one by one"),
    (
        "policy",
        "What the tenant itself asks for, beside the typed rules",
    ),
    ("audit", "A tenant's ledger, for itself and for auditors"),
    ("erasure", "The right to be forgotten"),
    ("epochs", "Rotation of the appliance's secret, for officers"),
    (
        "handover",
        "From one enclave to exactly one other, by officers' order",
    ),
];

/// The document of an appliance with these services.
pub fn document<S: Services>() -> OpenApi {
    let mut router = OpenApiRouter::with_openapi(head());
    let mut routes = Vec::new();
    for row in table::<S>() {
        routes.push(row.route);
        router = router.routes(row.mounted);
    }
    let mut document = router.into_openapi();
    let examples = examples::all();
    for route in routes {
        if let Some(operation) = operation_of(&mut document, &route) {
            describe(operation, &route);
            links::give(operation, &route.name());
            examples::give(operation, examples.get(&route.name()));
        }
    }
    document
}

/// What every document starts from.
fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Redoubt")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Biometric enrolment and verification, passkeys and signed approvals, decided and \
             signed inside an attested enclave. Mutual TLS 1.3; the tenant is the CA that issued \
             the client certificate. Every refusal is `application/problem+json` with a stable \
             `code`; every reply carries `X-Request-Id`.",
        ))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    let scheme = SecurityScheme::MutualTls {
        description: Some(
            "TLS 1.3 with a client certificate under an anchor of the signed configuration. A route \
             names the roles that may use it."
                .to_owned(),
        ),
        extensions: None,
        deprecated: None,
    };
    let components = problems(ComponentsBuilder::new())
        .schema(ProblemBody::name(), ProblemBody::schema())
        .security_scheme(MUTUAL_TLS, scheme)
        .build();
    let tag = |(name, told): &(&str, &str)| {
        TagBuilder::new()
            .name(*name)
            .description(Some(*told))
            .build()
    };
    let server = ServerBuilder::new()
        .url("/")
        .description(Some("The appliance that serves this document"))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([server]))
        .tags(Some(TAGS.iter().map(tag)))
        .components(Some(components))
        .build()
}

fn operation_of<'a>(document: &'a mut OpenApi, route: &Route) -> Option<&'a mut Operation> {
    let item = document.paths.paths.get_mut(&route.template)?;
    match route.method {
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => item.get.as_mut(),
    }
}

/// Everything a route may refuse with.
pub(super) fn refusals(route: &Route, has_body: bool) -> Vec<Problem> {
    let mut all = vec![
        Problem::busy(),
        Problem::internal_error(),
        Problem::request_deadline(),
    ];
    if route.phases != ALWAYS {
        all.push(Problem::not_serving());
    }
    if route.access != Access::Anyone {
        all.push(Problem::client_certificate_required());
        all.push(Problem::role_not_allowed());
        all.push(Problem::too_many_requests());
    }
    if route.access.admits_tenants() {
        all.push(Problem::checkpoint_refused());
    }
    if route.phases == SERVING {
        all.push(Problem::not_fresh());
    }
    if route.phases.contains(&Phase::Serving) && !route.phases.contains(&Phase::HandingOver) {
        all.push(Problem::handing_over());
    }
    if has_body {
        all.push(Problem::malformed_request());
        all.push(Problem::request_timeout());
        all.push(Problem::body_too_large());
        all.push(Problem::unsupported_media_type());
    }
    all.extend(route.problems.iter().map(|problem| problem()));
    all
}
