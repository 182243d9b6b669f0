//! The members of attestation statements, typed.
//!
//! Protects against statements that carry more than their syntax allows: a
//! member nobody looks at is a member somebody else may look at.

use super::super::algorithm::Algorithm;
use super::super::cbor::{Map, Value};
use super::super::policy::AttestationPolicy;

/// Most certificates of one chain that are read.
const MAX_CHAIN: usize = 16;

/// The map under `attStmt`, holding no other keys than `known`.
pub(super) fn members<'v, 'a>(att_stmt: &'v Value<'a>, known: &[&str]) -> Option<&'v Map<'a>> {
    let map = att_stmt.as_map()?;
    let expected = |key: &Value<'_>| key.as_text().is_some_and(|name| known.contains(&name));
    map.iter().all(|(key, _)| expected(key)).then_some(map)
}

/// The byte string under `name`.
pub(super) fn bytes<'a>(map: &Map<'a>, name: &'static str) -> Option<&'a [u8]> {
    map.text(name)?.as_bytes()
}

/// The algorithm under `alg`, if known and not refused by policy.
pub(super) fn algorithm(map: &Map<'_>, policy: &AttestationPolicy) -> Option<Algorithm> {
    let algorithm = Algorithm::from_cose_id(map.text("alg")?.as_integer()?)?;
    (algorithm != Algorithm::Rs1 || policy.allow_sha1_statements).then_some(algorithm)
}

/// The certificates under `x5c`, at least one.
pub(super) fn x5c<'a>(map: &Map<'a>) -> Option<Vec<&'a [u8]>> {
    let chain = map.text("x5c")?.as_array()?;
    if !(1..=MAX_CHAIN).contains(&chain.len()) {
        return None;
    }
    chain.iter().map(Value::as_bytes).collect()
}
