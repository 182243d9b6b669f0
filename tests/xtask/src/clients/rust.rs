//! The Rust client's types and calls, written from the OpenAPI document.
//!
//! It knows the shapes that the gateway's own types have and refuses any other, so a
//! new shape fails here and not at a bank.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::calls::Call;

/// Words that Rust keeps to itself.
const KEPT: &[&str] = &["type", "ref", "match", "move", "in", "use"];

/// The module's text, not yet formatted.
pub(super) fn module(document: &Value) -> Result<String> {
    let mut out = String::from(
        "//! Generated from `clients/openapi.json` by `cargo xtask clients`; do not edit.\n\n\
         use serde::{Deserialize, Serialize};\nuse serde_json::Value;\n\n\
         use crate::{Body, Client, Error, Request};\n\n",
    );
    for (name, schema) in members(document, "/components/schemas")? {
        write_type(&mut out, name, schema).with_context(|| name.clone())?;
    }
    let (mut options, mut calls) = (String::new(), String::new());
    for (path, item) in members(document, "/paths")? {
        for (method, operation) in item.as_object().context("a path without operations")? {
            let call = Call::read(path, method, operation)?;
            call.write_options(&mut options)?;
            call.write(&mut calls)?;
        }
    }
    write!(out, "{options}impl Client {{\n{calls}}}\n")?;
    Ok(out)
}

pub(super) fn members<'a>(value: &'a Value, pointer: &str) -> Result<&'a Map<String, Value>> {
    let found = value.pointer(pointer).and_then(Value::as_object);
    found.with_context(|| format!("no {pointer}"))
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A description as comment lines.
pub(super) fn doc(out: &mut String, told: &str, indent: &str) {
    for line in told.lines() {
        let _ = writeln!(out, "{indent}/// {}", line.trim_end());
    }
}

fn write_type(out: &mut String, name: &str, schema: &Value) -> Result<()> {
    doc(out, text(schema, "description"), "");
    if let Some(words) = schema["enum"].as_array() {
        *out += "#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]\n";
        writeln!(out, "pub enum {name} {{")?;
        for word in words.iter().filter_map(Value::as_str) {
            let variant = camel(word);
            writeln!(out, "/// `{word}`\n#[serde(rename = {word:?})]\n{variant},")?;
        }
        *out += "}\n\n";
        return Ok(());
    }
    if schema["type"] == "string" {
        writeln!(out, "pub type {name} = String;\n")?;
        return Ok(());
    }
    *out += "#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]\n";
    if let Some(kinds) = schema["oneOf"].as_array() {
        return write_choice(out, name, kinds);
    }
    writeln!(out, "pub struct {name} {{")?;
    match schema["allOf"].as_array() {
        Some(parts) => parts.iter().try_for_each(|part| write_part(out, part))?,
        None => write_part(out, schema)?,
    }
    *out += "}\n\n";
    Ok(())
}

/// One of several types, told apart by their members.
fn write_choice(out: &mut String, name: &str, kinds: &[Value]) -> Result<()> {
    writeln!(out, "#[serde(untagged)]\npub enum {name} {{")?;
    for kind in kinds {
        ensure!(kind["$ref"].is_string(), "a kind without a name: {kind}");
        let of = type_of(kind)?;
        doc(out, &format!("A [`{of}`]."), "    ");
        writeln!(out, "    {of}({of}),")?;
    }
    *out += "}\n\n";
    Ok(())
}

/// The members of an object, or another type's taken in whole.
fn write_part(out: &mut String, schema: &Value) -> Result<()> {
    if let Some(either) = schema["oneOf"].as_array() {
        return write_all_or_none(out, either);
    }
    if schema["$ref"].is_string() {
        let of = type_of(schema)?;
        writeln!(out, "/// All members of [`{of}`].\n#[serde(flatten)]")?;
        writeln!(out, "pub {}: {of},", snake(&of))?;
        return Ok(());
    }
    let required: BTreeSet<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (name, property) in members(schema, "/properties")? {
        let told = match text(property, "description") {
            "" => text(&property["oneOf"][0], "description"),
            told => told,
        };
        doc(out, if told.is_empty() { name } else { told }, "    ");
        let field = snake(name);
        if field.trim_start_matches("r#") != name {
            writeln!(out, "    #[serde(rename = {name:?})]")?;
        }
        let mut of = type_of(property).with_context(|| name.clone())?;
        if !required.contains(name.as_str()) {
            *out += "    #[serde(default, skip_serializing_if = \"Option::is_none\")]\n";
            if !of.starts_with("Option<") {
                of = format!("Option<{of}>");
            }
        }
        writeln!(out, "    pub {field}: {of},")?;
    }
    Ok(())
}

/// Another type's members, all of them or none.
fn write_all_or_none(out: &mut String, either: &[Value]) -> Result<()> {
    let (named, other): (Vec<_>, Vec<_>) = either.iter().partition(|one| one["$ref"].is_string());
    let alone = other.iter().all(|one| one["maxProperties"].is_u64());
    ensure!(
        named.len() == 1 && alone,
        "a choice between types: {either:?}"
    );
    let of = type_of(named[0])?;
    writeln!(
        out,
        "/// All members of [`{of}`], or none.\n#[serde(flatten)]"
    )?;
    writeln!(out, "pub {}: Option<{of}>,", snake(&of))?;
    Ok(())
}

/// The Rust type of a schema.
pub(super) fn type_of(schema: &Value) -> Result<String> {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().unwrap_or_default();
        return Ok(name.to_owned());
    }
    if let Some(either) = schema["oneOf"].as_array() {
        let mut types = either
            .iter()
            .filter(|one| one["type"] != "null")
            .map(type_of);
        let first = types.next().context("an empty oneOf")??;
        for other in types {
            ensure!(other? == first, "a choice between types: {schema}");
        }
        return Ok(format!("Option<{first}>"));
    }
    if let Some(names) = schema["type"].as_array() {
        let name = names
            .iter()
            .find(|name| **name != "null")
            .context("no type")?;
        let mut one = schema.clone();
        one["type"] = name.clone();
        return Ok(format!("Option<{}>", type_of(&one)?));
    }
    let of = match text(schema, "type") {
        "string" => "String",
        "boolean" => "bool",
        "integer" if schema["minimum"].as_f64().is_some_and(|least| least >= 0.0) => "u64",
        "integer" => "i64",
        "number" => "f64",
        "object" if schema["properties"].is_null() => "Value",
        "array" => return Ok(format!("Vec<{}>", type_of(&schema["items"])?)),
        _ => bail!("a shape that the generator does not know: {schema}"),
    };
    Ok(of.to_owned())
}

/// `audit_events` to `AuditEvents`, `pending-epoch` to `PendingEpoch`.
pub(super) fn camel(name: &str) -> String {
    let words = name.split(['_', '-', ' ']);
    let words = words.map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}

/// `clientDataJSON` to `client_data_json`, `Idempotency-Key` to `idempotency_key`.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut before = '_';
    for now in name.chars().filter(|letter| *letter != '#') {
        let starts = now.is_ascii_uppercase() && !before.is_ascii_uppercase();
        if starts && !out.is_empty() && before != '-' {
            out.push('_');
        }
        out.push(if now == '-' {
            '_'
        } else {
            now.to_ascii_lowercase()
        });
        before = now;
    }
    if KEPT.contains(&out.as_str()) {
        out.insert_str(0, "r#");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_become_rusts() {
        assert_eq!(snake("clientDataJSON"), "client_data_json");
        assert_eq!(snake("Idempotency-Key"), "idempotency_key");
        assert_eq!(snake("type"), "r#type");
        assert_eq!(snake("x5t#S256"), "x5t_s256");
        assert_eq!(camel("pending-epoch"), "PendingEpoch");
    }

    #[test]
    fn numbers_below_zero_have_a_place_where_they_may_come() {
        let integer = json!({"type": "integer", "format": "int64"});
        assert_eq!(type_of(&integer).unwrap(), "i64");
        let counted = json!({"type": "integer", "format": "int64", "minimum": 0});
        assert_eq!(type_of(&counted).unwrap(), "u64");
    }

    #[test]
    fn a_shape_nobody_described_is_refused() {
        assert_eq!(
            type_of(&json!({"type": ["integer", "null"]})).unwrap(),
            "Option<i64>"
        );
        assert!(type_of(&json!({"type": "object", "properties": {}})).is_err());
        let choice = json!({"oneOf": [{"type": "string"}, {"type": "integer"}]});
        assert!(type_of(&choice).is_err());
        let mut out = String::new();
        assert!(write_type(&mut out, "T", &choice).is_err());
    }

    #[test]
    fn one_of_several_types_is_an_enum() {
        let refs = ["A", "B"].map(|name| json!({"$ref": format!("#/components/schemas/{name}")}));
        let mut out = String::new();
        write_type(&mut out, "T", &json!({"oneOf": refs})).unwrap();
        assert!(out.contains("#[serde(untagged)]\npub enum T {"), "{out}");
        assert!(
            out.contains("    A(A),\n") && out.contains("    B(B),\n"),
            "{out}"
        );
    }
}
