//! What was checked, for people (✓ ✗) and for programs (JSON).

use std::io::Write as _;

use redoubt_attestation::{appraise, artefact};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a yes under an emulated genesis does not say where nobody signs.
pub const NOBODY_SIGNED: &str = "NOBODY SIGNED a document: anybody can have written it; it proves \
    nothing about a machine, an image, or who holds these keys";

/// One check and its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it held.
    pub ok: bool,
}

/// The outcome of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Yes or no.
    pub ok: bool,
    /// Stable snake_case reason of a no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The reason in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Checks in their order; those after the first that failed were not made.
    pub checks: Vec<Check>,
    /// What a yes does not say, where somebody could think it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<&'static str>,
    /// What is known now.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl Report {
    /// Every check held.
    pub fn yes(names: &[&'static str], facts: Value) -> Self {
        Self {
            ok: true,
            code: None,
            reason: None,
            checks: names.iter().map(|name| Check { name, ok: true }).collect(),
            unverified: Vec::new(),
            facts: match facts {
                Value::Object(facts) => facts,
                _ => Map::new(),
            },
        }
    }

    /// A check failed; `failed` is its position, if it got that far.
    pub fn no(
        names: &[&'static str],
        failed: Option<usize>,
        code: &'static str,
        reason: impl ToString,
    ) -> Self {
        let made = failed.map_or(0, |failed| failed + 1);
        let checks = names.iter().take(made).enumerate();
        Self {
            ok: false,
            code: Some(code),
            reason: Some(reason.to_string()),
            checks: checks
                .map(|(at, name)| Check {
                    name,
                    ok: Some(at) != failed,
                })
                .collect(),
            unverified: Vec::new(),
            facts: Map::new(),
        }
    }

    /// The same, with something that it does not say.
    pub fn unverified(mut self, what: &'static str) -> Self {
        self.unverified.push(what);
        self
    }

    /// An appraisal that failed.
    pub fn not_appraised(refusal: &appraise::Refusal) -> Self {
        Self::no(
            &appraise::CHECKS,
            Some(refusal.check()),
            refusal.code(),
            refusal,
        )
    }

    /// A receipt or artefact that was refused.
    pub fn not_judged(refusal: &artefact::Refusal) -> Self {
        Self::no(&artefact::CHECKS, refusal.check(), refusal.code(), refusal)
    }

    /// Prints the report; returns the exit status.
    pub fn print(&self, as_json: bool) -> std::io::Result<u8> {
        let text = match as_json {
            true => format!("{}\n", json!(self)),
            false => self.to_text(),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if self.ok { 0 } else { 1 })
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for Check { name, ok } in &self.checks {
            text += &format!("{} {name}\n", if *ok { '✓' } else { '✗' });
        }
        for what in &self.unverified {
            text += &format!("? {what}\n");
        }
        for (name, value) in &self.facts {
            describe(name, value, &mut text);
        }
        if let (Some(code), Some(reason)) = (self.code, &self.reason) {
            text += &format!("no: {reason} ({code})\n");
        }
        text
    }
}

/// One line per value that says something and fits; the rest is in the JSON.
fn describe(name: &str, value: &Value, text: &mut String) {
    let shown = match value {
        // The whole claim is long, and its main members are facts of their own.
        Value::Object(_) if name == "claims" => return,
        Value::Object(members) => {
            for (member, value) in members {
                describe(&format!("{name}.{member}"), value, text);
            }
            return;
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                describe(&format!("{name}.{at}"), item, text);
            }
            return;
        }
        Value::Null => return,
        Value::String(shown) => shown.clone(),
        other => other.to_string(),
    };
    let unused = shown.len() == 96 && shown.bytes().all(|b| b == b'0');
    let fits = shown.chars().count() <= 160 && !shown.chars().any(char::is_control);
    if fits && !unused {
        text.push_str(&format!("  {name}: {shown}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_shows_what_passed_what_failed_and_why() {
        let report = Report::not_appraised(&appraise::Refusal::Debug);
        assert_eq!(report.checks.len(), 3);
        let text = report.to_text();
        assert!(text.starts_with("✓ signed under a vendor root"), "{text}");
        assert!(text.contains("✗ not in debug mode"), "{text}");
        assert!(text.ends_with("(debug)\n"), "{text}");
    }

    #[test]
    fn people_see_members_line_by_line_and_no_control_characters() {
        let facts = json!({
            "transaction": {"amount": "250.00"}, "claims": {"x": 1}, "long": "x".repeat(161),
            "sly": "a\u{1b}[2J", "pcrs": {"0": "ab", "3": "0".repeat(96)},
        });
        let text = Report::yes(&[], facts).to_text();
        assert_eq!(text, "  transaction.amount: 250.00\n  pcrs.0: ab\n");
    }

    #[test]
    fn json_carries_facts_beside_the_verdict() {
        let report = Report::yes(&["a"], json!({"kind": "receipt"}));
        let json = json!(report);
        assert_eq!(json["ok"], true);
        assert_eq!(json["kind"], "receipt");
        assert_eq!(json["checks"][0]["name"], "a");
        assert!(json.get("code").is_none());
    }
}
