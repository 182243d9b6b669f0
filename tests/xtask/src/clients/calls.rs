//! One call of the Rust client per operation of the document.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::rust::{camel, doc, members, snake, text, type_of};

/// A header that the client itself sends.
const OWN_HEADER: &str = "Redoubt-Checkpoint";

/// One operation.
pub(super) struct Call<'a> {
    name: &'a str,
    summary: &'a str,
    method: String,
    path: &'a str,
    parameters: Vec<&'a Value>,
    /// Content type and type of the body.
    body: Option<(&'a str, String)>,
    reply: String,
}

impl<'a> Call<'a> {
    pub(super) fn read(path: &'a str, method: &str, operation: &'a Value) -> Result<Self> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.filter(|parameter| parameter["name"] != OWN_HEADER);
        let body = match operation["requestBody"]["content"].as_object() {
            Some(contents) => {
                let (kind, content) = contents.iter().next().context("a body of no kind")?;
                Some((kind.as_str(), type_of(&content["schema"])?))
            }
            None => None,
        };
        let responses = members(operation, "/responses")?.iter();
        let mut good = responses.filter(|(status, _)| status.starts_with('2'));
        let (_, response) = good.next().with_context(|| format!("{path}: no success"))?;
        let reply = match response["content"].as_object() {
            Some(contents) => reply_of(contents)?,
            None => "()".to_owned(),
        };
        Ok(Self {
            name: operation["operationId"]
                .as_str()
                .context("no operationId")?,
            summary: text(operation, "summary"),
            method: method.to_uppercase(),
            path,
            parameters: parameters.collect(),
            body,
            reply,
        })
    }

    fn needed(&self) -> impl Iterator<Item = &&'a Value> {
        self.parameters.iter().filter(|one| one["required"] == true)
    }

    fn optional(&self) -> impl Iterator<Item = &&'a Value> {
        self.parameters.iter().filter(|one| one["required"] != true)
    }

    fn options_name(&self) -> Option<String> {
        let some = self.optional().next().is_some();
        some.then(|| format!("{}Options", camel(self.name)))
    }

    pub(super) fn write_options(&self, out: &mut String) -> Result<()> {
        let Some(name) = self.options_name() else {
            return Ok(());
        };
        writeln!(out, "/// What [`Client::{}`] may be told.", self.name)?;
        writeln!(
            out,
            "#[derive(Debug, Clone, Default)]\npub struct {name} {{"
        )?;
        for parameter in self.optional() {
            doc(out, text(parameter, "description"), "    ");
            writeln!(
                out,
                "    pub {}: Option<String>,",
                snake(text(parameter, "name"))
            )?;
        }
        *out += "}\n\n";
        Ok(())
    }

    pub(super) fn write(&self, out: &mut String) -> Result<()> {
        doc(out, self.summary, "    ");
        writeln!(out, "    ///\n    /// `{} {}`", self.method, self.path)?;
        let mut arguments = String::from("&self");
        for parameter in self.needed() {
            write!(arguments, ", {}: &str", snake(text(parameter, "name")))?;
        }
        if let Some(name) = self.options_name() {
            write!(arguments, ", options: &{name}")?;
        }
        let form = |kind: &str| kind.starts_with("multipart/");
        let jose = |kind: &str| kind == "application/jose";
        match &self.body {
            Some((kind, _)) if form(kind) => arguments.push_str(", samples: &[&[u8]]"),
            Some((kind, _)) if jose(kind) => arguments.push_str(", body: &str"),
            Some((_, of)) => write!(arguments, ", body: &{of}")?,
            None => {}
        }
        let body = match &self.body {
            Some((kind, _)) if form(kind) => "Body::form(samples)",
            Some((kind, _)) if jose(kind) => "Body::jose(body)",
            Some((kind, _)) if kind.ends_with("/x-www-form-urlencoded") => "Body::members(body)?",
            Some(_) => "Body::json(body)?",
            None => "Body::none()",
        };
        writeln!(
            out,
            "    pub async fn {}({arguments}) -> Result<{}, Error> {{\n\
             let request = Request::new({:?}, {:?})",
            self.name, self.reply, self.method, self.path
        )?;
        for parameter in &self.parameters {
            let (name, place) = (text(parameter, "name"), text(parameter, "in"));
            let needed = parameter["required"] == true;
            let (call, field) = (
                if needed {
                    place.to_owned()
                } else {
                    format!("{place}_if")
                },
                snake(name),
            );
            let value = if needed {
                field
            } else {
                format!("options.{field}.as_deref()")
            };
            writeln!(out, ".{call}({name:?}, {value})")?;
        }
        let send = if self.reply == "String" {
            "text"
        } else {
            "json"
        };
        writeln!(out, ";\nself.{send}(request, {body}).await\n}}\n")?;
        Ok(())
    }
}

/// The type of a reply: JSON where there is a choice, and events as the text that they are.
fn reply_of(contents: &Map<String, Value>) -> Result<String> {
    if contents.contains_key("text/event-stream") {
        return Ok("String".to_owned());
    }
    let any = || contents.values().next();
    let content = contents.get("application/json").or_else(any);
    type_of(&content.context("a reply of no kind")?["schema"])
}
