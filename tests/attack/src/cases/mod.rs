//! The attacks, by what the host does.

use crate::outcome::Case;

mod altered;

/// Every attack.
pub fn all() -> Vec<Case> {
    [altered::cases()].into_iter().flatten().collect()
}

/// The attacks of one group.
pub fn group(name: &str) -> Vec<Case> {
    let mut cases = all();
    cases.retain(|case| case.group == name);
    cases
}
