//! §8.9 `compound`: several statements about one credential. Every one of them
//! has to verify and has to be of a format that policy accepts.

use super::super::cbor::Value;
use super::{AttestationFormat, AttestationType, Statement, StatementError, Verified};

checks! {
    /// Why a `compound` statement is refused.
    CompoundError {
        Syntax = "compound_syntax", "the statement is not an array of at least two (fmt, attStmt)";
        Nested = "compound_nested", "a compound statement must not hold another";
        Format = "compound_format_refused", "one part's format is unknown or refused by policy";
    }
}

/// Most parts that are read.
const MAX_PARTS: usize = 4;

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, StatementError> {
    let refused = StatementError::Compound;
    let items = att_stmt.as_array().ok_or(refused(CompoundError::Syntax))?;
    if !(2..=MAX_PARTS).contains(&items.len()) {
        return Err(refused(CompoundError::Syntax));
    }
    let mut parts = Vec::new();
    for item in items {
        let (format, att_stmt) = part(item, statement).map_err(refused)?;
        parts.push(super::verify(format, att_stmt, statement)?);
    }
    Ok(Verified {
        format: AttestationFormat::Compound,
        kind: AttestationType::None,
        trust_path: Vec::new(),
        parts,
    })
}

fn part<'v, 'a>(
    item: &'v Value<'a>,
    statement: &Statement<'_>,
) -> Result<(AttestationFormat, &'v Value<'a>), CompoundError> {
    let map = item.as_map().ok_or(CompoundError::Syntax)?;
    let (Some(name), Some(att_stmt), 2) = (
        map.text("fmt").and_then(Value::as_text),
        map.text("attStmt"),
        map.len(),
    ) else {
        return Err(CompoundError::Syntax);
    };
    let format = AttestationFormat::from_identifier(name).ok_or(CompoundError::Format)?;
    if format == AttestationFormat::Compound {
        return Err(CompoundError::Nested);
    }
    if !statement.policy.formats.contains(&format) {
        return Err(CompoundError::Format);
    }
    Ok((format, att_stmt))
}
