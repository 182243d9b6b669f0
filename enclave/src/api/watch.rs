//! What was attempted in a customer's name, and what the security team is told.

use redoubt_shared::{ReceiptId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::biometrics::{ActionTaken, Modality, SecurityFlags, Verdict};
use super::text::{Timestamp, id};

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// A login with a passkey.
    Login,
    /// A comparison of a sample.
    Verification,
}

/// One attempt, as remembered. Its receipt says the rest.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Attempt {
    /// What was attempted.
    pub kind: AttemptKind,
    /// Names the verification, if it was one.
    #[schema(value_type = Option<String>)]
    pub verification_id: Option<String>,
    /// How it ended; a login that was accepted is `verified`.
    pub result: Verdict,
    /// What was compared, if anything was.
    pub modality: Option<Modality>,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Signals about it.
    pub security_flags: SecurityFlags,
    /// Names its receipt.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub receipt_id: ReceiptId,
}

/// A customer's latest attempts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct History {
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// At most 32, latest first; all of them are in the audit's events.
    pub attempts: Vec<Attempt>,
}

/// A customer in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// What is enrolled.
    pub enrolled: Vec<EnrolledModality>,
    /// Passkeys that may be used.
    pub passkeys: usize,
    /// Sessions open now, idle ones among them.
    pub sessions: usize,
    /// Logins that were accepted.
    pub logins: u32,
    /// Logins that were refused.
    pub logins_refused: u32,
    /// Samples that were verified.
    pub verifications: u32,
    /// Samples that were rejected.
    pub verifications_rejected: u32,
    /// Attempts that were suspicious.
    pub suspicious: u32,
    /// Failures in a row that count towards a lock.
    pub failures: u32,
    /// Locked until then (RFC 3339, UTC).
    #[schema(value_type = Option<String>, format = DateTime)]
    pub locked_until: Option<Timestamp>,
    /// The latest attempt that counted (RFC 3339, UTC).
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_accepted_at: Option<Timestamp>,
}

/// One enrolled modality.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EnrolledModality {
    /// Which.
    pub modality: Modality,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub enrollment_date: Timestamp,
    /// Quality of the sample, 0 to 1.
    pub quality_score: f32,
    /// Version of the template's models.
    pub embedding_version: String,
    /// Number of the keyed transform that the template is under; 0 for one that was made
    /// before there were any, and not renewed since.
    pub transform: u32,
}

/// Which alerts are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertsQuery {
    /// Most alerts in the reply, 1 to 500; 100 if absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// Of this customer.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: Option<UserId>,
}

/// Why the security team is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertReason {
    /// The score of an attempt or a payment was 0.7 or more.
    HighRisk,
    /// Failures locked the account.
    AccountLocked,
    /// A signature counter did not move on: somebody may have copied a key.
    SignCountNotIncreased,
    /// A device was flagged as compromised.
    DeviceCompromised,
    /// The face of an enrolment, completed or refused, is another customer's too.
    DuplicateFace,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SecurityAlert {
    /// Why.
    pub reason: AlertReason,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Of `duplicate_face`: the other customer's name, while there is such a customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub other_user_id: Option<UserId>,
    /// RFC 3339, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Signals about what raised it.
    pub security_flags: SecurityFlags,
    /// Always `alert_sent`.
    pub action_taken: ActionTaken,
    /// Names the receipt of what raised it.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub receipt_id: ReceiptId,
}

/// Alerts, latest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SecurityAlerts {
    /// The latest that match; 1000 are kept at hand, all are in the ledger.
    pub alerts: Vec<SecurityAlert>,
}
