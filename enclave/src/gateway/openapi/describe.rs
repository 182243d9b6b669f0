//! What the route table adds to an operation: who may use it, which headers travel,
//! and each refusal with its body.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ComponentsBuilder, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{MUTUAL_TLS, refusals};
use crate::api::{Kind, Problem, ProblemBody, Timestamp};
use crate::gateway::admit::{Access, CHECKPOINT};
use crate::gateway::routes::Route;

/// The request id in examples.
const REQUEST_ID: &str = "3f0c7a52-8f5c-4d7e-9d43-2b6f0c1a9e11";

/// When the lock of examples ends.
const LOCKED_UNTIL: Timestamp = Timestamp(1_795_302_000_000);

pub(super) fn describe(operation: &mut Operation, route: &Route) {
    let requirement = match route.access {
        Access::Anyone => vec![],
        Access::Holders(holders) => {
            let roles = holders.iter().map(|badge| badge.name());
            vec![SecurityRequirement::new(MUTUAL_TLS, roles)]
        }
    };
    operation.security = Some(requirement);
    if route.access.admits_tenants() {
        let parameters = operation.parameters.get_or_insert_default();
        parameters.push(checkpoint().into());
    }
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in refusals(route, operation.request_body.is_some()) {
        by_status.entry(problem.status()).or_default().push(problem);
    }
    let responses = &mut operation.responses.responses;
    for (status, problems) in by_status {
        responses.insert(status.to_string(), refused(&problems).into());
    }
    for response in responses.values_mut() {
        if let RefOr::T(response) = response {
            response
                .headers
                .insert("X-Request-Id".to_owned(), request_id().into());
        }
    }
}

fn checkpoint() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name(CHECKPOINT)
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "A checkpoint note from one of this tenant's receipts, base64url. If a boot of \
             this appliance signed it and the ledger of now does not continue it, the \
             appliance stops instead of answering.",
        ))
        .schema(Some(String::schema()))
        .build()
}

/// Every refusal there is, with its body.
pub(super) fn problems(components: ComponentsBuilder) -> ComponentsBuilder {
    Kind::all().iter().fold(components, |components, kind| {
        let problem = match kind.code {
            "account_locked" => Problem::account_locked(LOCKED_UNTIL, LOCKED_UNTIL.0 - 1_800_000),
            _ => Problem::of(kind),
        };
        let example = ExampleBuilder::new()
            .summary(kind.title)
            .value(Some(json!(problem.body(REQUEST_ID))));
        components.example(kind.code, example.build())
    })
}

/// All refusals of one status, each with its body.
fn refused(problems: &[Problem]) -> Response {
    let lines = problems.iter().map(|problem| {
        let kind = problem.kind();
        format!("`{}`: {}", kind.code, kind.title)
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(ProblemBody::name())))
        .examples_from_iter(problems.iter().map(|problem| {
            let code = problem.code();
            let example = Ref::new(format!("#/components/examples/{code}"));
            (code, RefOr::<Example>::Ref(example))
        }))
        .build();
    let response = ResponseBuilder::new()
        .description(lines.collect::<Vec<_>>().join("\n\n"))
        .content("application/problem+json", content);
    let waits = problems
        .iter()
        .any(|problem| problem.retry_after_seconds().is_some());
    match waits {
        true => response.header("Retry-After", retry_after()).build(),
        false => response.build(),
    }
}

fn request_id() -> Header {
    let uuid = Some(SchemaFormat::Custom("uuid".to_owned()));
    HeaderBuilder::new()
        .schema(Some(
            ObjectBuilder::new().schema_type(Type::String).format(uuid),
        ))
        .description(Some("Names the request, here and in the operator's log"))
        .build()
}

fn retry_after() -> Header {
    HeaderBuilder::new()
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(1)),
        ))
        .description(Some("Seconds; absent where waiting does not help"))
        .build()
}
