//! The OpenAPI document says what the gateway does.

use serde_json::Value;

use super::client::Door;
use super::fake::Fake;
use crate::api::{Kind, Problem};
use crate::gateway::openapi::refusals;
use crate::gateway::openapi_document;
use crate::gateway::routes::table;

fn document() -> Value {
    serde_json::to_value(openapi_document::<Fake>()).unwrap()
}

#[tokio::test]
async fn the_document_is_served_and_lists_every_route() {
    let door = Door::open().await;
    let mut client = door.http1(None).await.unwrap();
    let served = client.get("/openapi.json").await.json();
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let listed: usize = served["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    let rows = table::<Fake>();
    assert_eq!(listed, rows.len());
    for row in rows {
        let method = row.route.method.to_lowercase();
        let operation = &served["paths"][&row.route.template][&method];
        let summary = operation["summary"].as_str().unwrap_or_default();
        let template = &row.route.template;
        assert!(!summary.is_empty(), "{template} has no description");
        for problem in refusals(&row.route, operation.get("requestBody").is_some()) {
            let response = &operation["responses"][problem.status().to_string()];
            let description = response["description"].as_str().unwrap_or_default();
            assert!(
                description.contains(problem.code()),
                "{template} {}",
                problem.code()
            );
            let content = &response["content"]["application/problem+json"];
            let named = &content["examples"][problem.code()]["$ref"];
            let pointer = named.as_str().unwrap().trim_start_matches('#');
            let body = &served.pointer(pointer).unwrap()["value"];
            assert_eq!(body["code"], problem.code());
            assert_eq!(body["status"], problem.status());
            assert_eq!(body["title"], problem.kind().title);
        }
    }
}

#[test]
fn every_link_leads_from_what_a_reply_has_to_what_a_route_asks() {
    let document = document();
    let items = document["paths"].as_object().unwrap().values();
    let operations: Vec<&Value> = items
        .flat_map(|item| item.as_object().unwrap().values())
        .collect();
    let mut seen = 0;
    for operation in &operations {
        let responses = operation["responses"].as_object().unwrap().values();
        for response in responses.filter(|response| response["links"].is_object()) {
            let example = &response["content"]["application/json"]["example"];
            for link in response["links"].as_object().unwrap().values() {
                let next = operations
                    .iter()
                    .find(|next| next["operationId"] == link["operationId"]);
                let asked = next.unwrap()["parameters"].as_array().unwrap();
                for (name, value) in link["parameters"].as_object().unwrap() {
                    assert!(asked.iter().any(|one| one["name"] == *name), "{link}");
                    let pointer = value.as_str().unwrap().strip_prefix("$response.body#");
                    assert!(
                        example.pointer(pointer.unwrap()).unwrap().is_string(),
                        "{link}"
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn every_reference_resolves() {
    fn walk(value: &Value, whole: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(whole.pointer(pointer).is_some(), "{target}");
                }
                members.values().for_each(|member| walk(member, whole));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, whole)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn the_webauthn_answer_is_described_flat() {
    let document = document();
    let operation = &document["paths"]["/api/v1/passkeys/authenticate/verify"]["post"];
    let content = &operation["requestBody"]["content"]["application/json"]["schema"];
    let pointer = content["$ref"].as_str().unwrap().trim_start_matches('#');
    let schema = document.pointer(pointer).unwrap().to_string();
    for member in ["user_id", "rawId", "clientDataJSON", "signature"] {
        let whole = document.to_string();
        assert!(
            schema.contains(member) || whole.contains(member),
            "{member}"
        );
    }
    assert!(schema.contains("allOf") && schema.contains("user_id"));
}

#[test]
fn every_problem_is_promised_by_some_route_or_by_all() {
    let general = ["route_not_found", "method_not_allowed"];
    let promised: Vec<&str> = table::<Fake>()
        .iter()
        .flat_map(|row| refusals(&row.route, true))
        .map(|problem: Problem| problem.code())
        .collect();
    for kind in Kind::all() {
        let named = promised.contains(&kind.code) || general.contains(&kind.code);
        assert!(named, "{} is promised nowhere", kind.code);
    }
}
