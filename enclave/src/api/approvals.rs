//! Approval of one payment by one customer.
//!
//! Protects against: a transaction that reads differently to two programs. The
//! amount is decimal text with one spelling per value and scale, never a float.

use redoubt_shared::{ApprovalId, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Document;
use super::text::{Text, Timestamp, id};
use crate::passkeys::RequestOptions;

/// A decimal amount above zero, such as `250.00`: at most 15 digits before the
/// point and 4 after it, no sign, no leading zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Amount(String);

/// An ISO 4217 currency code: three capital letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Currency(String);

impl Amount {
    /// The amount, if it is spelt as described.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text.as_str(), None),
        };
        let digits = |part: &str, max| {
            (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let well_formed = digits(whole, 15)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(|fraction| digits(fraction, 4));
        let above_zero = text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
        (well_formed && above_zero).then_some(Self(text))
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Currency {
    /// The code, if it is three capital letters.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()))
            .then_some(Self(text))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).ok_or_else(|| {
            serde::de::Error::custom("use decimal text above zero, such as \"250.00\"")
        })
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("use three capital letters, such as \"EUR\""))
    }
}

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payee {
    /// Name of the payee.
    #[schema(value_type = String, min_length = 1, max_length = 140, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub name: Text<140>,
    /// Account of the payee, such as an IBAN.
    #[schema(value_type = String, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub account: Text<64>,
}

/// What is to be approved, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Decimal text above zero.
    #[schema(value_type = String, example = "250.00", pattern = r"^([1-9][0-9]{0,14}(\.[0-9]{1,4})?|0\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$")]
    pub amount: Amount,
    /// ISO 4217 code.
    #[schema(value_type = String, example = "EUR", pattern = "^[A-Z]{3}$")]
    pub currency: Currency,
    /// Who is paid.
    pub payee: Payee,
    /// Remittance reference.
    #[schema(value_type = String, min_length = 1, max_length = 140, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub reference: Text<140>,
}

/// Asks for the approval of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The bank's name for its customer.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: UserId,
    /// What is to be approved.
    pub transaction: Transaction,
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
    /// An answer failed; its challenge is spent.
    Failed,
}

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
    /// For the browser; the challenge binds the transaction.
    pub options: RequestOptions,
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
    /// The signed proof, once approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub artefact: Option<Document>,
}

/// The customer approved.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApprovalVerified {
    /// Names the approval.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// Always `approved`.
    pub status: ApprovalStatus,
    /// The signed proof that this customer approved this transaction.
    #[schema(value_type = Object)]
    pub artefact: Document,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_one_spelling() {
        for right in ["250.00", "1", "0.01", "999999999999999.9999"] {
            assert!(Amount::new(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "0",
            "0.00",
            "00.1",
            "01",
            "-1",
            "+1",
            "1.",
            ".5",
            "1e3",
            "1,00",
            " 1",
            "1.00000",
            "1234567890123456",
            "1.2.3",
            "٣",
        ] {
            assert!(Amount::new(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_amount_as_a_number_is_refused() {
        assert!(serde_json::from_str::<Amount>("250.00").is_err());
        assert!(serde_json::from_str::<Amount>("\"250.00\"").is_ok());
    }

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
