//! What a transaction must be for its approval to count.
//!
//! Protects the payer of a batch (RTS on SCA, art. 5): the total that was shown is
//! the exact sum of the payments, so that none can be added beside it.

use serde_json::Value;

use super::Refusal;
use crate::amount::ten_thousandths;

/// Payments one batch may have.
const PAYMENTS_MAX: usize = 100;

/// Whether a batch of these amounts, in ten-thousandths, has this total.
pub fn adds_up(total: u64, payments: &[u64]) -> bool {
    let sum: u128 = payments.iter().copied().map(u128::from).sum();
    (1..=PAYMENTS_MAX).contains(&payments.len()) && sum == u128::from(total)
}

/// Checks a batch; any other transaction is what the bank says it is.
pub(super) fn check(transaction: &Value) -> Result<(), Refusal> {
    let Some(payments) = transaction.get("payments") else {
        return Ok(());
    };
    let payments = payments
        .as_array()
        .filter(|list| (1..=PAYMENTS_MAX).contains(&list.len()))
        .ok_or(Refusal::Transaction("payments are 1 to 100"))?;
    let amount = |of: &Value, member: &str| {
        of.get(member)
            .and_then(Value::as_str)
            .and_then(ten_thousandths)
            .filter(|amount| *amount > 0)
            .ok_or(Refusal::Transaction(
                "an amount is no decimal text above zero",
            ))
    };
    let mut amounts = Vec::new();
    for payment in payments {
        amounts.push(amount(payment, "amount")?);
        // One currency: the batch's.
        if payment.get("currency").is_some() {
            return Err(Refusal::Transaction("a payment has a currency of its own"));
        }
    }
    if adds_up(amount(transaction, "total")?, &amounts) {
        Ok(())
    } else {
        Err(Refusal::Transaction(
            "the total is not the sum of the payments",
        ))
    }
}
