//! JSON Canonicalization Scheme (RFC 8785) for what is hashed or signed as JSON.
//!
//! Protects against two texts of one value having two digests. Numbers are
//! restricted to integers within ±(2^53 - 1): a fraction in a signed structure is
//! a mistake here, so the floating-point rules of RFC 8785 are not needed.

use serde::Serialize;
use serde_json::Value;

/// Largest integer that every JSON implementation reads exactly.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error)]
pub enum JcsError {
    /// A number is no integer, or beyond ±(2^53 - 1).
    #[error("number {0}: write an integer of at most 2^53 - 1, or a string")]
    Number(String),
    /// The value cannot be expressed in JSON.
    #[error("not expressible in JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The canonical text of a serializable value.
pub fn to_jcs<T: Serialize + ?Sized>(value: &T) -> Result<String, JcsError> {
    let mut out = String::new();
    write(&serde_json::to_value(value)?, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), JcsError> {
    match value {
        Value::Number(number) => {
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_none_or(|n| n > SAFE_INTEGER) {
                return Err(JcsError::Number(number.to_string()));
            }
            out.push_str(&number.to_string());
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {
            out.push_str(&serde_json::to_string(value)?);
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            // RFC 8785 §3.2.3 sorts by UTF-16 code units, not by bytes.
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (at, (name, member)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(name)?);
                out.push(':');
                write(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_sorted_by_utf16_and_strings_escaped_as_the_rfc_says() {
        // The sorting example of RFC 8785 §3.2.3.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        assert_eq!(
            to_jcs(&value).unwrap(),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
             \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
             \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
        assert_eq!(
            to_jcs("\u{20ac}$\u{f}\nA'\u{42}\"\\\\\"/").unwrap(),
            "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""
        );
        assert_eq!(
            to_jcs(&json!([null, true, -1, {"b": 1, "a": []}])).unwrap(),
            "[null,true,-1,{\"a\":[],\"b\":1}]"
        );
    }

    #[test]
    fn a_fraction_or_an_inexact_integer_is_refused() {
        assert!(matches!(to_jcs(&json!(0.5)), Err(JcsError::Number(_))));
        assert!(matches!(
            to_jcs(&json!(1u64 << 53)),
            Err(JcsError::Number(_))
        ));
    }
}
