//! Pure functions over scores.

mod bootstrap;
mod bounds;
mod folds;
mod scores;
mod walk;

pub(crate) use bootstrap::SplitMix;
pub use bootstrap::{Interval, Replicates, intervals};
pub use bounds::clopper_pearson;
pub use folds::{Accuracy, Decided, PARTS, accuracy, balanced, in_parts};
pub use scores::{Histogram, Scores, Trial};
pub use walk::{Point, Weights};

/// The false acceptance rates at which true acceptance is reported, with their names.
pub const FARS: [(&str, f64); 4] = [
    ("1e-2", 1e-2),
    ("1e-3", 1e-3),
    ("1e-4", 1e-4),
    ("1e-5", 1e-5),
];

#[cfg(test)]
mod tests;
