//! The OpenAPI 3.1 document, from the same table as the router.
//!
//! Protects against: a contract that drifts. Operations and schemas come from
//! the handlers, refusals and access from the route table.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::admit::{Access, CHECKPOINT};
use super::routes::{ALWAYS, Route, SERVING, table};
use redoubt_shared::supervise::Phase;

use crate::api::{Problem, ProblemBody, Services};

const MUTUAL_TLS: &str = "mutualTLS";

/// The document of an appliance with these services.
pub fn document<S: Services>() -> OpenApi {
    let mut router = OpenApiRouter::with_openapi(head());
    let mut routes = Vec::new();
    for row in table::<S>() {
        routes.push(row.route);
        router = router.routes(row.mounted);
    }
    let mut document = router.into_openapi();
    for route in routes {
        if let Some(operation) = operation_of(&mut document, &route) {
            describe(operation, &route);
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
        description: Some("A client certificate under the tenant's anchor.".to_owned()),
        extensions: None,
        deprecated: None,
    };
    let components = ComponentsBuilder::new()
        .schema(ProblemBody::name(), ProblemBody::schema())
        .security_scheme(MUTUAL_TLS, scheme)
        .build();
    OpenApiBuilder::new()
        .info(info)
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

fn describe(operation: &mut Operation, route: &Route) {
    if route.access != Access::Anyone {
        let requirement = SecurityRequirement::new(MUTUAL_TLS, Vec::<String>::new());
        operation.security = Some(vec![requirement]);
    }
    if route.access.admits_tenants() {
        let checkpoint = ParameterBuilder::new()
            .name(CHECKPOINT)
            .parameter_in(ParameterIn::Header)
            .description(Some(
                "A checkpoint note from one of this tenant's receipts, base64url. If a boot of \
                 this appliance signed it and the ledger of now does not continue it, the \
                 appliance stops instead of answering.",
            ))
            .schema(Some(String::schema()))
            .build();
        let parameters = operation.parameters.get_or_insert_default();
        parameters.push(checkpoint.into());
    }
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let has_body = operation.request_body.is_some();
    for problem in refusals(route, has_body) {
        let kind = problem.kind();
        let line = format!("`{}`: {}. {}", kind.code, kind.title, kind.detail);
        by_status.entry(kind.status).or_default().push(line);
    }
    for (status, lines) in by_status {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(ProblemBody::name())))
            .build();
        let response = ResponseBuilder::new()
            .description(lines.join("\n\n"))
            .content("application/problem+json", content)
            .build();
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_string(), response.into());
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
