//! Ceremonies recorded by other projects agree with this verifier.

use crate::passkeys::conformance;

#[test]
fn recorded_ceremonies_agree() {
    let Some(folder) = std::env::var_os("REDOUBT_VECTORS") else {
        println!("skipped: recorded_ceremonies_agree: REDOUBT_VECTORS is not set");
        return;
    };
    let path = std::path::Path::new(&folder).join("webauthn/cases.json");
    let rows = conformance::rows(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!rows.is_empty());
    let differ: Vec<_> = rows
        .iter()
        .filter(|row| row.verdict != row.expect)
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {} differ: {differ:#?}",
        differ.len(),
        rows.len()
    );
}
