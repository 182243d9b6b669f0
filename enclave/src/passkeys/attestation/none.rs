//! §8.7 `none`: nothing is attested.

use super::super::cbor::Value;
use super::{AttestationFormat, AttestationType, Verified};

checks! {
    /// Why a `none` statement is refused.
    NoneError {
        NotEmpty = "none_statement_not_empty", "the statement must be an empty map";
    }
}

pub(super) fn verify(att_stmt: &Value<'_>) -> Result<Verified, NoneError> {
    match att_stmt.as_map() {
        Some(map) if map.len() == 0 => Ok(Verified::new(
            AttestationFormat::None,
            AttestationType::None,
            &[],
        )),
        _ => Err(NoneError::NotEmpty),
    }
}
