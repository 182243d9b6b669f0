//! Risk: what is unusual about an attempt, from the customer's own history.
//!
//! Protects against somebody else who has what it takes: each rule is a pure
//! function with a reason and a weight, and no score makes a failed comparison pass.
//! The bands are 0.3 (more watching) and
//! 0.7 (the security team is told, and a match counts as suspicious).

mod history;
mod signals;

pub use history::{Act, Activity, Alert, AlertKind, Counts, Ending, HISTORY_MAX, Moment, Watch};
pub(super) use history::{apply, forget};
use serde::{Deserialize, Serialize};
pub use signals::assess_payment;
pub(super) use signals::{Asked, FAILURES, FAILURES_MS, assess};

/// From here on an account is watched more closely.
const MEDIUM: f64 = 0.3;
/// From here on the security team is told.
const HIGH: f64 = 0.7;

/// Names something the bank reports, without the thing itself: a device or an address
/// under a key of the tenant, a payee under one of the customer
/// (`enclave/SPEC.md` section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(pub [u8; 16]);

/// A place to a hundredth of a degree, about a kilometre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Hundredths of a degree north, -9000 to 9000.
    pub lat: i16,
    /// Hundredths of a degree east, -18000 to 18000.
    pub lng: i16,
}

impl Whereabouts {
    /// What a history keeps of it.
    pub(super) fn remembered(self) -> Self {
        Self {
            source: None,
            ..self
        }
    }

    /// What is counted of it.
    pub(super) fn counted(self) -> Self {
        Self {
            place: None,
            ..self
        }
    }
}

impl Place {
    /// The great-circle distance in kilometres, on a sphere of 6371 km (haversine).
    pub fn km_to(self, other: Self) -> f64 {
        let radians = |hundredths: i16| f64::from(hundredths).to_radians() / 100.0;
        let (lat, other_lat) = (radians(self.lat), radians(other.lat));
        let half = |a: f64, b: f64| ((a - b) / 2.0).sin().powi(2);
        let across = half(radians(self.lng), radians(other.lng));
        let chord = half(lat, other_lat) + lat.cos() * other_lat.cos() * across;
        2.0 * 6371.0 * chord.sqrt().min(1.0).asin()
    }
}

/// Where an attempt came from, as the bank reports it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Where the customer is.
    pub place: Option<Place>,
    /// The bank's name for the device.
    pub device: Option<Tag>,
    /// The network address; of version 6 its first 64 bits.
    pub source: Option<Tag>,
}

/// What makes an attempt unusual. Variants are append-only: postcard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Signal {
    /// Nobody travels this far in the time since the last accepted attempt.
    ImpossibleTravel,
    /// Many attempts in a short time.
    Velocity,
    /// A device that no accepted attempt came from, though others did.
    DeviceMismatch,
    /// Failures shortly before.
    RepeatedFailures,
    /// At an hour at which this customer never was.
    UnusualHour,
    /// At intervals as even as a machine's.
    RegularRhythm,
    /// A device that several other customers use.
    SharedDevice,
    /// Place or device left out, though an accepted attempt named it.
    ContextWithheld,
    /// A payee never paid before, and much more than ever.
    NewPayeeLargeAmount,
}

impl Signal {
    /// A stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImpossibleTravel => "impossible_travel",
            Self::Velocity => "velocity",
            Self::DeviceMismatch => "device_mismatch",
            Self::RepeatedFailures => "repeated_failures",
            Self::UnusualHour => "unusual_hour",
            Self::RegularRhythm => "regular_rhythm",
            Self::SharedDevice => "shared_device",
            Self::ContextWithheld => "context_withheld",
            Self::NewPayeeLargeAmount => "new_payee_large_amount",
        }
    }

    /// What it adds to the score when nothing else speaks, 0 to 1.
    pub const fn weight(self) -> f64 {
        match self {
            Self::ImpossibleTravel => 0.6,
            Self::Velocity => 0.3,
            Self::DeviceMismatch => 0.25,
            Self::RepeatedFailures => 0.3,
            Self::UnusualHour => 0.15,
            Self::RegularRhythm => 0.2,
            Self::SharedDevice => 0.35,
            Self::ContextWithheld => 0.3,
            Self::NewPayeeLargeAmount => 0.4,
        }
    }
}

/// How unusual an attempt is, and why.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// What spoke, each once, in the order of [`Signal`].
    pub signals: Vec<Signal>,
}

/// How far a score is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Below 0.3.
    Low,
    /// From 0.3 on.
    Medium,
    /// From 0.7 on.
    High,
}

impl Risk {
    /// 0 to 1, two decimals: one minus the product of what each signal leaves, so
    /// that a further one never lowers it.
    pub fn score(&self) -> f64 {
        let left: f64 = self.signals.iter().map(|one| 1.0 - one.weight()).product();
        ((1.0 - left) * 100.0).round() / 100.0
    }

    /// Its band.
    pub fn band(&self) -> Band {
        match self.score() {
            score if score >= HIGH => Band::High,
            score if score >= MEDIUM => Band::Medium,
            _ => Band::Low,
        }
    }

    /// The signals' words.
    pub fn names(&self) -> Vec<&'static str> {
        self.signals.iter().map(|signal| signal.name()).collect()
    }
}

#[cfg(test)]
mod tests;
