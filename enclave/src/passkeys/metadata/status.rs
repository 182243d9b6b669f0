//! What is reported of a model, and which report decides (section 3.1.3).
//!
//! The newest report in force decides; of one day's reports the worst. A report
//! without a date is in force while it is there: one of a compromise then counts
//! as the newest, a certification as the oldest. What says nothing of the device
//! in the customer's hand (an update on offer, a FIPS certificate, a retirement, a
//! status from a later version of the standard) decides nothing.

use serde::{Deserialize, Serialize};
use time::Date;

/// An `AuthenticatorStatus`, as far as it matters here. Stored: variants are only
/// ever appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The model should not be trusted for any reason.
    Revoked,
    /// The customer's verification can be got round.
    UserVerificationBypass,
    /// The attestation key is known to others.
    AttestationKeyCompromise,
    /// Customers' keys can be got from afar.
    UserKeyRemoteCompromise,
    /// Customers' keys can be got by whoever holds the device.
    UserKeyPhysicalCompromise,
    /// Certified at some level, or stated not to be.
    Certification,
    /// Anything else.
    Information,
}

impl Status {
    /// Reads the registered name; unknown ones are no error, as the standard asks.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "REVOKED" => Self::Revoked,
            "USER_VERIFICATION_BYPASS" => Self::UserVerificationBypass,
            "ATTESTATION_KEY_COMPROMISE" => Self::AttestationKeyCompromise,
            "USER_KEY_REMOTE_COMPROMISE" => Self::UserKeyRemoteCompromise,
            "USER_KEY_PHYSICAL_COMPROMISE" => Self::UserKeyPhysicalCompromise,
            "NOT_FIDO_CERTIFIED"
            | "SELF_ASSERTION_SUBMITTED"
            | "FIDO_CERTIFIED"
            | "FIDO_CERTIFIED_L1"
            | "FIDO_CERTIFIED_L1plus"
            | "FIDO_CERTIFIED_L2"
            | "FIDO_CERTIFIED_L2plus"
            | "FIDO_CERTIFIED_L3"
            | "FIDO_CERTIFIED_L3plus" => Self::Certification,
            _ => Self::Information,
        }
    }

    /// The registered name of a compromise; `None` for what is none.
    #[must_use]
    pub const fn compromise(self) -> Option<&'static str> {
        match self {
            Self::Revoked => Some("REVOKED"),
            Self::UserVerificationBypass => Some("USER_VERIFICATION_BYPASS"),
            Self::AttestationKeyCompromise => Some("ATTESTATION_KEY_COMPROMISE"),
            Self::UserKeyRemoteCompromise => Some("USER_KEY_REMOTE_COMPROMISE"),
            Self::UserKeyPhysicalCompromise => Some("USER_KEY_PHYSICAL_COMPROMISE"),
            Self::Certification | Self::Information => None,
        }
    }
}

/// A `StatusReport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// What it says.
    pub status: Status,
    /// From when on, UTC.
    pub effective: Option<Date>,
}

impl StatusReport {
    fn is_in_force(&self, day: Date) -> bool {
        self.effective.is_none_or(|start| start <= day)
    }

    fn rank(&self) -> (Date, bool) {
        let compromise = self.status.compromise().is_some();
        let undated = if compromise { Date::MAX } else { Date::MIN };
        (self.effective.unwrap_or(undated), compromise)
    }
}

/// The report that decides on a day.
pub(super) fn deciding(reports: &[StatusReport], day: Date) -> Option<&StatusReport> {
    reports
        .iter()
        .filter(|report| report.status != Status::Information && report.is_in_force(day))
        .max_by_key(|report| report.rank())
}
