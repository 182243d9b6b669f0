//! What is approved: a payment, or a batch of payments.
//!
//! Protects against: a transaction that reads differently to two programs. An
//! amount is decimal text with one spelling per value and scale, never a float.

use redoubt_attestation::amount::{is_currency, ten_thousandths};
use redoubt_attestation::artefact::adds_up;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::text::Text;

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
        let above_zero = ten_thousandths(&text).is_some_and(|amount| amount > 0);
        above_zero.then_some(Self(text))
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value in ten-thousandths.
    pub fn exact(&self) -> u64 {
        // Only spellings that have a value are an amount.
        ten_thousandths(&self.0).unwrap_or(u64::MAX)
    }
}

impl Currency {
    /// The code, if it is three capital letters.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        is_currency(&text).then_some(Self(text))
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

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
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

/// One payment of a batch, in the batch's currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchPayment {
    /// Decimal text above zero.
    #[schema(value_type = String, example = "100.00", pattern = r"^([1-9][0-9]{0,14}(\.[0-9]{1,4})?|0\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$")]
    pub amount: Amount,
    /// Who is paid.
    pub payee: Payee,
    /// Remittance reference.
    #[schema(value_type = String, min_length = 1, max_length = 140, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub reference: Text<140>,
}

/// Several payments approved together: the total is their exact sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Exact decimal sum of the payments.
    #[schema(value_type = String, example = "300.00", pattern = r"^([1-9][0-9]{0,14}(\.[0-9]{1,4})?|0\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$")]
    pub total: Amount,
    /// ISO 4217 code, of every payment.
    #[schema(value_type = String, example = "EUR", pattern = "^[A-Z]{3}$")]
    pub currency: Currency,
    /// 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub payments: Vec<BatchPayment>,
}

/// What is to be approved, exactly: a payment, or a batch of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, try_from = "AnyTransaction")]
pub enum Transaction {
    /// One payment.
    Payment(Payment),
    /// Several.
    Batch(Batch),
}

/// Members of both kinds, so that a refusal names the one that is wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyTransaction {
    amount: Option<Amount>,
    total: Option<Amount>,
    currency: Currency,
    payee: Option<Payee>,
    reference: Option<Text<140>>,
    payments: Option<Vec<BatchPayment>>,
}

impl TryFrom<AnyTransaction> for Transaction {
    type Error = &'static str;

    fn try_from(any: AnyTransaction) -> Result<Self, &'static str> {
        let currency = any.currency;
        match (
            any.amount,
            any.payee,
            any.reference,
            any.total,
            any.payments,
        ) {
            (Some(amount), Some(payee), Some(reference), None, None) => {
                Ok(Self::Payment(Payment {
                    amount,
                    currency,
                    payee,
                    reference,
                }))
            }
            (None, None, None, Some(total), Some(payments)) => Ok(Self::Batch(Batch {
                total,
                currency,
                payments,
            })),
            _ => Err("give amount, payee and reference, or total and payments"),
        }
    }
}

impl Transaction {
    /// What is paid in all, and in which currency.
    pub fn amount(&self) -> (&Amount, &Currency) {
        match self {
            Self::Payment(payment) => (&payment.amount, &payment.currency),
            Self::Batch(batch) => (&batch.total, &batch.currency),
        }
    }

    /// Whether everything in it that people read can be seen, in the order in which it
    /// is written.
    pub fn shows(&self) -> bool {
        let one = |payee: &Payee, reference: &Text<140>| {
            let texts = [
                payee.name.as_str(),
                payee.account.as_str(),
                reference.as_str(),
            ];
            texts.into_iter().all(super::text::shows)
        };
        match self {
            Self::Payment(payment) => one(&payment.payee, &payment.reference),
            Self::Batch(batch) => {
                let mut all = batch.payments.iter();
                all.all(|payment| one(&payment.payee, &payment.reference))
            }
        }
    }

    /// Whether a batch adds up (RTS on SCA, art. 5: total and payees are bound).
    pub fn adds_up(&self) -> bool {
        let Self::Batch(batch) = self else {
            return true;
        };
        let amounts = batch.payments.iter().map(|payment| payment.amount.exact());
        adds_up(batch.total.exact(), &amounts.collect::<Vec<_>>())
    }
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
    fn a_batch_is_its_exact_sum_in_one_currency() {
        let read = |total: &str, amounts: &[&str]| {
            let payee = serde_json::json!({"name": "P", "account": "A"});
            let one = |amount: &&str| serde_json::json!({"amount": amount, "payee": payee, "reference": "R"});
            let payments: Vec<_> = amounts.iter().map(one).collect();
            let batch =
                serde_json::json!({"total": total, "currency": "EUR", "payments": payments});
            serde_json::from_value::<Transaction>(batch)
        };
        assert!(read("0.3", &["0.1", "0.2"]).unwrap().adds_up());
        assert!(read("300.00", &["100", "200.0"]).unwrap().adds_up());
        assert!(!read("300.01", &["100", "200.0"]).unwrap().adds_up());
        assert!(!read("1", &[]).unwrap().adds_up());
        assert!(!read("101", &["1"; 101]).unwrap().adds_up());
        // 2^64 ten-thousandths more would wrap to the same number in 64 bits.
        assert!(
            !read("1", &["999999999999999.9999", "844674407370956.1617"])
                .unwrap()
                .adds_up()
        );
        let mixed = serde_json::json!({
            "total": "1", "amount": "1", "currency": "EUR", "payments": [],
        });
        assert!(serde_json::from_value::<Transaction>(mixed).is_err());
        let own = serde_json::json!({"total": "1", "currency": "EUR", "payments": [
            {"amount": "1", "currency": "USD", "payee": {"name": "P", "account": "A"}, "reference": "R"},
        ]});
        assert!(serde_json::from_value::<Transaction>(own).is_err());
    }
}
