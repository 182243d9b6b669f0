//! What a benchmark reports.

use std::fmt;

use serde::Serialize;

/// One figure beside its peer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was measured, and against what.
    pub(crate) name: String,
    /// Ours.
    pub(crate) ours: f64,
    /// The peer's or the limit.
    pub(crate) peer: f64,
    /// Of both.
    pub(crate) unit: &'static str,
    /// `ours / peer`.
    pub(crate) ratio: f64,
    /// How many operations were measured.
    pub(crate) n: usize,
}

impl Row {
    pub(crate) fn new(
        name: impl Into<String>,
        ours: f64,
        peer: f64,
        unit: &'static str,
        n: usize,
    ) -> Self {
        Self {
            name: name.into(),
            ours,
            peer,
            unit,
            ratio: ours / peer,
            n,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            ours,
            peer,
            unit,
            ratio,
            n,
        } = self;
        write!(
            f,
            "{name}: {ours:.2} against {peer:.2} {unit}, ratio {ratio:.2} (n {n})"
        )
    }
}

/// The given share of sorted times, in milliseconds.
pub(crate) fn percentile(sorted: &[std::time::Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
