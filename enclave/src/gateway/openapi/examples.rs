//! One example per request, reply and parameter, from `examples.json`: members are
//! named `METHOD /path` as in the route table.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterBuilder};

/// Examples of one route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct Examples {
    /// By name: path, query and header.
    #[serde(default)]
    pub(in crate::gateway) parameters: BTreeMap<String, Value>,
    /// The body, if the route has one; a form's members if it is a form.
    pub(in crate::gateway) request: Option<Value>,
    /// The body of the successful reply.
    pub(in crate::gateway) reply: Value,
    /// Bodies of a successful reply in other forms, by content type.
    #[serde(default)]
    pub(in crate::gateway) replies: BTreeMap<String, Value>,
}

/// All of them, by route. A test reads the file; an appliance without examples serves.
pub(in crate::gateway) fn all() -> BTreeMap<String, Examples> {
    serde_json::from_str(include_str!("examples.json")).unwrap_or_default()
}

/// Writes a route's examples into its operation.
pub(super) fn give(operation: &mut Operation, examples: Option<&Examples>) {
    let Some(examples) = examples else { return };
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            let example = examples.parameters.get(&parameter.name).cloned();
            *parameter = ParameterBuilder::from(parameter.clone())
                .example(example)
                .build();
        }
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content {
                content.example.clone_from(&examples.request);
            }
        }
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        for (kind, content) in response
            .content
            .iter_mut()
            .filter(|_| status.starts_with('2'))
        {
            if let RefOr::T(content) = content {
                let example = examples.replies.get(kind).unwrap_or(&examples.reply);
                content.example = Some(example.clone());
            }
        }
    }
}
