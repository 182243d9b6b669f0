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
    pub(crate) peer: Option<f64>,
    /// Of both.
    pub(crate) unit: &'static str,
    /// `ours / peer`.
    pub(crate) ratio: Option<f64>,
    /// How many operations were measured.
    pub(crate) n: usize,
    /// What is promised of the ratio, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound: Option<String>,
    /// Whether the promise held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

/// The middle one; of none, no number.
pub(crate) fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
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
            peer: Some(peer),
            unit,
            ratio: Some(ours / peer),
            n,
            bound: None,
            met: None,
        }
    }

    /// A figure that stands beside nothing.
    pub(crate) fn alone(name: impl Into<String>, ours: f64, unit: &'static str, n: usize) -> Self {
        Self {
            peer: None,
            ratio: None,
            ..Self::new(name, ours, 1.0, unit, n)
        }
    }

    /// Promised: the ratio is at least this.
    pub(crate) fn at_least(self, bound: f64) -> Self {
        Self {
            met: self.ratio.map(|ratio| ratio >= bound),
            bound: Some(format!("ratio >= {bound}")),
            ..self
        }
    }

    /// Promised: the ratio is at most this.
    pub(crate) fn at_most(self, bound: f64) -> Self {
        Self {
            met: self.ratio.map(|ratio| ratio <= bound),
            bound: Some(format!("ratio <= {bound}")),
            ..self
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.2}", self.name, self.ours)?;
        if let (Some(peer), Some(ratio)) = (self.peer, self.ratio) {
            write!(f, " against {peer:.2} {}, ratio {ratio:.2}", self.unit)?;
        } else {
            write!(f, " {}", self.unit)?;
        }
        if let (Some(bound), Some(met)) = (&self.bound, self.met) {
            write!(f, " ({bound}: {})", if met { "met" } else { "NOT MET" })?;
        }
        write!(f, " (n {})", self.n)
    }
}

/// The given share of sorted times, in milliseconds.
pub(crate) fn percentile(sorted: &[std::time::Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
