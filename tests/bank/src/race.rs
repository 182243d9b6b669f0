//! Many samples at once against one customer.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::api::{Verification, verify_body};
use crate::client::{Bank, whole};

/// How the samples fared.
#[derive(Debug, Default)]
pub struct Race {
    /// Answers by result or problem code.
    pub tally: BTreeMap<String, usize>,
    /// Receipts of those that were compared.
    pub receipts: Vec<Value>,
}

impl Race {
    /// Samples that were compared.
    pub fn comparisons(&self) -> usize {
        let of = |result: &str| self.tally.get(result).copied().unwrap_or(0);
        of("verified") + of("rejected")
    }
}

/// Sends the same sample `count` times at once and collects every answer.
pub async fn verify(bank: &Bank, user: &str, sample: &[u8], count: usize) -> Result<Race> {
    let body = Bytes::from(verify_body(user, sample).to_string());
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (bank, body) = (bank.clone(), whole(body.clone()));
            tokio::spawn(async move {
                let headers = [("content-type", "application/json")];
                bank.send(Method::POST, "/api/v1/verify", &headers, body)
                    .await
            })
        })
        .collect();
    let mut race = Race::default();
    for task in tasks {
        let reply = task.await?.context("a parallel sample got no answer")?;
        match reply.read::<Verification>() {
            Ok(verification) => {
                *race.tally.entry(verification.result).or_default() += 1;
                race.receipts.push(verification.receipt);
            }
            Err(error) => {
                let code = error
                    .code()
                    .map_or_else(|| error.to_string(), str::to_owned);
                *race.tally.entry(code).or_default() += 1;
            }
        }
    }
    Ok(race)
}
