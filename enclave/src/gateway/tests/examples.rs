//! Examples of the OpenAPI document, read by what really serves them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::fake::Fake;
use super::pki::World;
use super::table::session;
use crate::api::{Problem, RequestId};
use crate::gateway::Limits;
use crate::gateway::admit::{Access, Badge, Exchange};
use crate::gateway::openapi::Examples;
use crate::gateway::openapi_document;
use crate::gateway::routes::{Route, table};
use crate::gateway::serve::{Shared, router};

const FILE: &str = include_str!("../openapi/examples.json");

fn examples() -> std::collections::BTreeMap<String, Examples> {
    serde_json::from_str(FILE).unwrap()
}

/// Where the names of an object's parameters stand in an operation: `path`, `query` or `header`.
fn place<'a>(operation: &'a Value, name: &str) -> &'a str {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut named = parameters.filter(|parameter| parameter["name"] == name);
    let parameter = named
        .next()
        .unwrap_or_else(|| panic!("{name} is no parameter"));
    parameter["in"].as_str().unwrap()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The request that a route's examples make.
fn request(route: &Route, examples: &Examples, operation: &Value) -> Request<Body> {
    let (mut path, mut query) = (route.template.clone(), vec![]);
    let mut request = Request::builder().method(route.method);
    for (name, value) in &examples.parameters {
        let value = text(value);
        match place(operation, name) {
            "path" => path = path.replace(&format!("{{{name}}}"), &value),
            "query" => query.push(format!("{name}={value}")),
            _ => request = request.header(name, value),
        }
    }
    let uri = format!("{path}?{}", query.join("&"));
    let body = match &examples.request {
        Some(form) if operation["requestBody"]["content"]["multipart/form-data"].is_object() => {
            request = request.header("content-type", "multipart/form-data; boundary=X");
            let parts = form.as_object().unwrap().iter().map(|(name, value)| {
                let head = "--X\r\ncontent-disposition: form-data; name=";
                format!(
                    "{head}\"{name}\"; filename=\"f\"\r\n\r\n{}\r\n",
                    text(value)
                )
            });
            parts.collect::<String>() + "--X--\r\n"
        }
        Some(blob) if operation["requestBody"]["content"]["application/jose"].is_object() => {
            request = request.header("content-type", "application/jose");
            text(blob)
        }
        Some(form)
            if operation["requestBody"]["content"]["application/x-www-form-urlencoded"]
                .is_object() =>
        {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind);
            serde_urlencoded::to_string(form).unwrap()
        }
        Some(body) => {
            request = request.header("content-type", "application/json");
            body.to_string()
        }
        None => String::new(),
    };
    request.uri(uri).body(Body::from(body)).unwrap()
}

fn holder(route: &Route) -> char {
    let Access::Holders(holders) = route.access else {
        return '-';
    };
    match holders[0] {
        Badge::Bank => 'b',
        Badge::ReadOnly => 'r',
        Badge::Auditor => 'A',
        Badge::Officer => 'O',
        Badge::Operator => 'P',
    }
}

#[test]
fn every_route_has_examples_and_nothing_else_has() {
    let named: BTreeSet<String> = table::<Fake>().iter().map(|row| row.route.name()).collect();
    let given: BTreeSet<String> = examples().into_keys().collect();
    let lacking: Vec<_> = named.difference(&given).collect();
    assert!(
        lacking.is_empty(),
        "describe in openapi/examples.json: {lacking:?}"
    );
    assert_eq!(named, given);
}

#[tokio::test]
async fn every_example_is_understood_by_the_types_that_serve_it() {
    let fake = Fake::new(World::new().trust());
    let shared = Arc::new(Shared::new(fake.clone(), Limits::default()));
    let router = router(&fake, shared);
    let document = serde_json::to_value(openapi_document::<Fake>()).unwrap();
    let examples = examples();
    for row in table::<Fake>() {
        let (route, name) = (row.route.clone(), row.route.name());
        *fake.phase.lock().unwrap() = route.phases.last().copied().unwrap();
        if route
            .phases
            .contains(&redoubt_shared::supervise::Phase::Serving)
        {
            *fake.phase.lock().unwrap() = redoubt_shared::supervise::Phase::Serving;
        }
        let operation = &document["paths"][&route.template][route.method.to_lowercase()];
        let mut request = request(&route, &examples[&name], operation);
        request.extensions_mut().insert(Arc::new(Exchange {
            session: session(holder(&route)),
            request_id: RequestId::from_bytes([0; 16]),
            route: OnceLock::new(),
        }));
        let mut response = router.clone().oneshot(request).await.unwrap();
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            // The fake obeys no order, knows no device and has no policy; it has read the request, though.
            let known = [
                "order_spent",
                "no_envelope",
                "order_not_signed",
                "unknown_device",
                "device_closed",
                "policy_not_configured",
            ]
            .contains(&problem.code());
            assert!(known, "{name}: {problem} {:?}", problem.body("").detail);
            continue;
        }
        let status = response.status();
        assert!(
            operation["responses"][status.as_str()].is_object(),
            "{name}: {status}"
        );
        assert!(
            status == StatusCode::OK || status.is_success(),
            "{name}: {status}"
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        if let Ok(Value::Object(said)) = serde_json::from_slice(&body) {
            same_members(&name, &said, &examples[&name].reply);
        }
    }
}

/// Each member that the real type writes is in the example, with the same kind of value.
fn same_members(name: &str, said: &serde_json::Map<String, Value>, example: &Value) {
    if name.ends_with("/openapi.json") || name.ends_with("/audit/export") {
        return;
    }
    for (member, value) in said {
        let shown = &example[member];
        let alike = std::mem::discriminant(shown) == std::mem::discriminant(value);
        let optional = value.is_null() || shown.is_null() && example.get(member).is_some();
        assert!(
            alike || optional,
            "{name}: {member} is {value}, the example says {shown}"
        );
    }
}

#[test]
fn every_operation_is_described_whole() {
    let document = serde_json::to_value(openapi_document::<Fake>()).unwrap();
    assert_eq!(document["servers"][0]["url"], "/");
    let tags = document["tags"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for row in table::<Fake>() {
        let (route, name) = (&row.route, row.route.name());
        let operation = &document["paths"][&route.template][route.method.to_lowercase()];
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{name}"
        );
        let tag = &operation["tags"][0];
        assert!(
            tags.iter().any(|known| known["name"] == *tag),
            "{name}: tag {tag}"
        );
        let roles = &operation["security"][0]["mutualTLS"];
        match route.access {
            Access::Anyone => assert_eq!(operation["security"], serde_json::json!([]), "{name}"),
            Access::Holders(all) => {
                let all: Vec<_> = all.iter().map(|badge| badge.name()).collect();
                assert_eq!(*roles, serde_json::json!(all), "{name}");
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let told = !parameter["description"]
                .as_str()
                .unwrap_or_default()
                .is_empty();
            assert!(
                told && !parameter["example"].is_null(),
                "{name}: {parameter}"
            );
        }
        if let Some(contents) = operation["requestBody"]["content"].as_object() {
            assert!(
                contents
                    .values()
                    .all(|content| !content["example"].is_null()),
                "{name}"
            );
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let told = !response["description"]
                .as_str()
                .unwrap_or_default()
                .is_empty();
            assert!(
                told && response["headers"]["X-Request-Id"].is_object(),
                "{name} {status}"
            );
            // A protocol that begins has no body.
            assert_eq!(
                response["content"].is_null(),
                status == "101",
                "{name} {status}"
            );
            let contents = response["content"].as_object().into_iter();
            for content in contents.flat_map(|contents| contents.values()) {
                let one = !content["example"].is_null();
                let many = content["examples"]
                    .as_object()
                    .is_some_and(|all| !all.is_empty());
                assert!(one || many, "{name} {status} has no example");
            }
        }
    }
}

/// A name of a customer is one thing, wherever a request says it.
#[test]
fn every_user_id_that_is_asked_for_has_its_bounds() {
    fn walk(value: &Value, found: &mut usize) {
        match value {
            Value::Object(members) => {
                if let Some(schema) = members.get("properties").and_then(|all| all.get("user_id"))
                    && members.get("additionalProperties") == Some(&Value::Bool(false))
                {
                    assert_eq!(schema["pattern"], "^[!-~]+$", "{members:?}");
                    assert_eq!(
                        (&schema["minLength"], &schema["maxLength"]),
                        (&1.into(), &128.into())
                    );
                    *found += 1;
                }
                members.values().for_each(|member| walk(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let mut found = 0;
    walk(
        &serde_json::to_value(openapi_document::<Fake>()).unwrap(),
        &mut found,
    );
    assert!(found >= 5, "{found}");
}

/// Clients are generated from the committed document, so it is the one that is served.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/openapi.json");
    let text = openapi_document::<Fake>().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("REDOUBT_WRITE_CONTRACT").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "clients/openapi.json is another one: run `cargo xtask clients`"
    );
}
