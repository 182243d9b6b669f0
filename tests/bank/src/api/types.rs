//! Typed answers, fields as the interface names them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The customer's device, as an enrolment names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Kind of device.
    #[serde(rename = "type")]
    pub kind: String,
    /// Operating system.
    pub os: String,
}

impl Default for DeviceInfo {
    fn default() -> Self {
        Self {
            kind: "mobile".into(),
            os: "Android 16".into(),
        }
    }
}

/// A registered passkey.
#[derive(Debug, Clone, Deserialize)]
pub struct Registered {
    /// Always true in a successful answer.
    pub verified: bool,
    /// Base64url of the credential's id.
    pub credential_id: String,
    /// Whose it is.
    pub user_id: String,
    /// `none`, `packed`, …
    pub attestation_format: String,
    /// Model of the authenticator.
    pub aaguid: String,
    /// Names the passkey as a device.
    pub device_id: String,
    /// Proof of the decision.
    pub receipt: Value,
}

/// A successful login.
#[derive(Debug, Clone, Deserialize)]
pub struct Authenticated {
    /// Always true in a successful answer.
    pub verified: bool,
    /// Who.
    pub user_id: String,
    /// With which passkey.
    pub credential_id: String,
    /// Opaque token of the session.
    pub session_token: String,
    /// End of the session.
    pub expires_at: String,
    /// Names the session.
    pub session_id: String,
    /// The device that logged in.
    pub device_id: String,
    /// Proof of the decision.
    pub receipt: Value,
}

/// An open enrolment.
#[derive(Debug, Clone, Deserialize)]
pub struct Enrollment {
    /// Names it.
    pub enrollment_id: String,
    /// Authorizes the submission.
    pub session_token: String,
    /// Its end.
    pub expires_at: String,
    /// For the customer.
    pub instructions: Value,
}

/// A finished enrolment.
#[derive(Debug, Clone, Deserialize)]
pub struct Enrolled {
    /// Names it.
    pub enrollment_id: String,
    /// Whose it is.
    pub user_id: String,
    /// `facial`
    pub modality: String,
    /// `completed`
    pub status: String,
    /// Model that made the embedding.
    pub embedding_version: String,
    /// 0 to 1.
    pub quality_score: f64,
    /// `passed`, `failed`, or `not_evaluated` where policy has nobody look.
    pub liveness_result: String,
    /// Coarse, 0 to 1.
    pub liveness_confidence: Option<f64>,
    /// The template is sealed.
    pub encrypted: bool,
    /// When.
    pub enrollment_date: String,
    /// Proof of the decision.
    pub receipt: Value,
}

/// The verdict on one sample.
#[derive(Debug, Clone, Deserialize)]
pub struct Verification {
    /// Names it.
    pub verification_id: String,
    /// Who was claimed.
    pub user_id: String,
    /// `verified`, `rejected` or `suspicious`
    pub result: String,
    /// Coarse, 0 to 1.
    pub confidence_score: f64,
    /// `facial`
    pub modality: String,
    /// When.
    pub timestamp: String,
    /// Whether a live person was seen, where policy has somebody look.
    pub liveness_passed: Option<bool>,
    /// The sample passed the quality gate.
    pub quality_passed: bool,
    /// Signals that raise friction.
    pub security_flags: Value,
    /// `logged`, `alert_sent` or `account_locked`
    pub action_taken: String,
    /// Proof of the decision.
    pub receipt: Value,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Decimal amount, as text.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// Who gets it.
    pub payee: Payee,
    /// The bank's reference.
    pub reference: String,
}

/// Who gets a payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payee {
    /// Name shown to the customer.
    pub name: String,
    /// Account number.
    pub account: String,
}

/// An approval that waits for the customer.
#[derive(Debug, Clone, Deserialize)]
pub struct PendingApproval {
    /// Names it.
    pub approval_id: String,
    /// `pending`
    pub status: String,
    /// Its end.
    pub expires_at: String,
    /// What is to be approved, as the appliance understood it.
    pub transaction: Transaction,
    /// WebAuthn request options whose challenge binds the transaction.
    pub options: Value,
}

/// An approval given.
#[derive(Debug, Clone, Deserialize)]
pub struct Approved {
    /// Names it.
    pub approval_id: String,
    /// `approved`
    pub status: String,
    /// The signed artefact to keep.
    pub artefact: Value,
    /// Proof of the decision.
    pub receipt: Value,
}
