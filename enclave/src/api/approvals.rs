//! Approval of a transaction by one customer, or by several.

use std::pin::Pin;

use futures::Stream;
use redoubt_shared::{ApprovalId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, SchemaType, Type};

use super::Document;
use super::Transaction;
use super::text::{Timestamp, id};
use crate::passkeys::{AuthenticationResponse, RequestOptions};

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A passkey that verified its user.
    Passkey,
    /// A face, verified for this approval before the passkey answers.
    Face,
    /// A voice, verified for this approval before the passkey answers. A recording or a
    /// cloned voice passes: it never stands without the passkey, and for no face.
    Voice,
}

/// Asks for the approval of a transaction: `user_id`, or `approvers` and `required`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The bank's name for its customer.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: Option<UserId>,
    /// Several customers, each once, at most 16.
    #[serde(default)]
    #[schema(schema_with = approvers)]
    pub approvers: Option<Vec<UserId>>,
    /// How many of them must approve.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 16)]
    pub required: Option<u16>,
    /// What is to be approved.
    pub transaction: Transaction,
    /// `["passkey"]` if absent; with `"face"`, `"voice"` or both behind it, in this order, each
    /// is asked for those as well.
    #[serde(default)]
    pub factors: Option<Vec<Factor>>,
}

/// Names of customers, with the bounds of each.
fn approvers() -> Array {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(128))
        .pattern(Some("^[!-~]+$"));
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(name)
        .min_items(Some(1))
        .max_items(Some(16))
        .description(Some("Several customers, each once, at most 16."))
        .build()
}

/// A customer's rejection: signed if `credential` is there, else the bank's word.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// Who rejects.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: UserId,
    /// The answer to options of purpose `rejection`.
    #[serde(default)]
    pub credential: Option<AuthenticationResponse>,
}

/// What options are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerPurpose {
    /// To approve.
    #[default]
    Approval,
    /// To reject.
    Rejection,
}

/// Whose options, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerOptions {
    /// One of those asked.
    pub user_id: UserId,
    /// To approve if absent.
    #[serde(default)]
    pub purpose: AnswerPurpose,
}

/// The `Idempotency-Key` header: 1 to 128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a header's text; quotes around it are taken off.
    pub fn from_header(text: &str) -> Option<Self> {
        let bare = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text);
        let fits = (1..=128).contains(&bare.len())
            && bare
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"');
        fits.then(|| Self(bare.to_owned()))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// Waiting for the customer.
    Pending,
    /// The customer approved.
    Approved,
    /// The customer did not answer in time.
    Expired,
    /// So many rejected that it cannot be approved.
    Rejected,
    /// The bank took it back.
    Cancelled,
}

impl ApprovalStatus {
    /// Whether nothing can follow.
    pub fn ended(self) -> bool {
        self != Self::Pending
    }
}

/// Options for one of several customers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApproverOptions {
    /// Whom.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// For their browser.
    pub options: RequestOptions,
}

/// What one of those asked has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// Something is missing.
    Pending,
    /// Everything was given.
    Approved,
    /// They rejected.
    Rejected,
}

/// One of those asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApproverState {
    /// Who.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// What they did. Once the approval ended: only who rejected is told.
    pub answer: Answered,
}

/// A change of an approval, as `GET /api/v1/approvals/{id}/events` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApprovalChange {
    /// Names the approval.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// How many gave everything, while it is pending.
    pub approved: u16,
    /// How many rejected.
    pub rejected: u16,
    /// How many must approve.
    pub required: u16,
}

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalNews {
    /// It changed, durably; the first one tells where it stands.
    Changed(ApprovalChange),
    /// It did not; the line is alive.
    Unchanged,
}

/// What a listener is told, until the approval ends. Waits for nobody who does not ask.
pub type ApprovalFeed = Pin<Box<dyn Stream<Item = ApprovalNews> + Send>>;

/// An approval was created.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApprovalCreated {
    /// Names the approval.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// `pending`, unless an idempotent retry finds it decided.
    pub status: ApprovalStatus,
    /// When it ends undecided (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// As received.
    pub transaction: Transaction,
    /// For the browser of the one who is asked; the challenge binds the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<RequestOptions>,
    /// For each of several, a challenge of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<ApproverOptions>,
}

/// An approval as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Approval {
    /// Names the approval.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// When it ends undecided (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// As received.
    pub transaction: Transaction,
    /// Those who are asked, without anybody erased since.
    pub approvers: Vec<ApproverState>,
    /// How many of them must approve.
    pub required: u16,
    /// How many devices each must use.
    pub devices: u8,
    /// What an answer is made of.
    pub factors: Vec<Factor>,
    /// The signed proof, once approved, or rejected with a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub artefact: Option<Document>,
}

/// An answer was taken.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApprovalVerified {
    /// Names the approval.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// `pending` where more answers are needed.
    pub status: ApprovalStatus,
    /// The signed proof of what customers decided, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub artefact: Option<Document>,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_are_visible_ascii() {
        let key = |text| IdempotencyKey::from_header(text).map(|key| key.as_str().to_owned());
        assert_eq!(key("\"k-1\""), Some("k-1".to_owned()));
        assert_eq!(key("k-1"), Some("k-1".to_owned()));
        for wrong in ["", "\"\"", "a b", "ä", "\"a"] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
    }
}
