//! Whether a tenant looks for customers who are there under two names, and what follows.
//!
//! Protects against a search that nobody asked for: it links people within one tenant, so
//! that it takes the officers' signatures, per tenant.

use serde::{Deserialize, Serialize};

use super::{GenesisError, require};

const FILE: &str = "configuration";
/// See [`DuplicateFaces::false_positives_per_million`]: one search in a hundred.
const FALSE_POSITIVES: u32 = 10_000;
/// See [`DuplicateFaces::max_refused_per_day`].
const REFUSED_PER_DAY: u32 = 100;

/// What is done where a face is enrolled that another customer of the tenant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuplicateFaces {
    /// What follows.
    pub mode: DuplicateMode,
    /// Of a million enrolments of people who are there once, how many may find somebody
    /// all the same; 10 000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_positives_per_million: Option<u32>,
    /// Customers whose faces were refused to others within a day, from which on no face is
    /// enrolled until the day is over; 100 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_refused_per_day: Option<u32>,
}

/// See [`DuplicateFaces`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateMode {
    /// Nobody is looked for.
    Off,
    /// The security team is told, and the enrolment goes on.
    Report,
    /// The security team is told, and the enrolment is refused.
    Refuse,
}

impl DuplicateFaces {
    /// Whether anybody is looked for.
    pub fn is_on(&self) -> bool {
        self.mode != DuplicateMode::Off
    }

    /// Whether who is found is refused.
    pub fn refuses(&self) -> bool {
        self.mode == DuplicateMode::Refuse
    }

    /// Of a million searches, how many may find a stranger.
    pub fn false_positives(&self) -> u32 {
        self.false_positives_per_million.unwrap_or(FALSE_POSITIVES)
    }

    /// Customers whose faces were refused to others within a day, after whom there are no more.
    pub fn refused_per_day(&self) -> u32 {
        self.max_refused_per_day.unwrap_or(REFUSED_PER_DAY)
    }

    pub(super) fn validate(&self, tenant: &str) -> Result<(), GenesisError> {
        let (rate, refused) = (self.false_positives(), self.refused_per_day());
        for (name, value, high) in [
            ("false_positives_per_million", rate, 500_000),
            ("max_refused_per_day", refused, 10_000),
        ] {
            require(
                (1..=high).contains(&value),
                FILE,
                format!("{tenant}.duplicate_faces.{name}"),
                format!("use 1 to {high}"),
            )?;
        }
        Ok(())
    }
}
