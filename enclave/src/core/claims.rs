//! Claims: the JSON text a receipt discloses. Written once, committed to byte
//! for byte, never serialised again.

use std::collections::BTreeMap;

use redoubt_shared::{ReceiptId, TenantId, UserId};
use serde_json::{Map, Value, json};

use super::command::Facts;

/// What every claim of a term repeats, and the limits of its policy.
#[derive(Debug, Clone)]
pub struct TermContext {
    /// The tenant whose ledger this is.
    pub tenant: TenantId,
    /// `hardware` or `emulated`, from genesis.
    pub environment: String,
    /// Where time comes from.
    pub time_source: String,
    /// SHA-256 of this term's attestation document, hex.
    pub document: String,
    /// Digest of the tenant policy, hex.
    pub policy: String,
    /// Digest of the configuration, hex.
    pub config: String,
    /// Digest of the model manifest, hex.
    pub models: String,
    /// Whether a signature counter that did not grow is reported, not refused.
    pub counters_are_reported: bool,
    /// Consecutive failures that lock.
    pub max_failures: u32,
    /// How long a lock lasts, in milliseconds.
    pub lockout_ms: u64,
    /// Failures within that time that shut out a device, an address, everybody.
    pub throttle: super::throttle::Limits,
    /// How long an enrolment may take, in milliseconds.
    pub enrollment_ms: u64,
    /// The epoch whose keys seal what is written now.
    pub epoch: u32,
    /// On whom an erasure begun now depends, beside the custodians' deletion.
    pub depends_on: Vec<String>,
    /// `none`, `strict` or `lease`: how witnesses vouch for what is released.
    pub freshness: String,
    /// Longest time without a witness's word, in milliseconds; none without witnesses.
    pub unwitnessed_ms: Option<u64>,
    /// Up to which amounts one device is enough, in ten-thousandths by currency; any
    /// other currency needs two. `None`: one is always enough.
    pub second_device_above: Option<BTreeMap<String, u64>>,
    /// How often officers restored this ledger after a loss.
    pub restore_count: u32,
}

impl TermContext {
    /// Whether an amount needs a second device.
    pub(super) fn second_device(&self, currency: &str, amount: u64) -> bool {
        let limits = self.second_device_above.as_ref();
        limits.is_some_and(|limits| limits.get(currency).is_none_or(|limit| amount > *limit))
    }
}

/// The text of a claim: common members first, then those of its type.
pub(super) fn text(
    context: &TermContext,
    facts: &Facts,
    kind: &str,
    user: Option<&UserId>,
    bundle: Option<[u8; 32]>,
    worker_tier: Option<&str>,
    own: Value,
) -> String {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("type", kind.into());
    put("receipt_id", receipt_name(facts.receipt).into());
    put("tenant", context.tenant.as_str().into());
    put("user_id", json!(user.map(UserId::as_str)));
    put("time_ms", facts.now_ms.into());
    put("time_source", context.time_source.as_str().into());
    put("environment", context.environment.as_str().into());
    put("document", context.document.as_str().into());
    put("policy", context.policy.as_str().into());
    if let Some(bundle) = bundle {
        put("policy_bundle", hex::encode(bundle).into());
    }
    put("config", context.config.as_str().into());
    put("models", context.models.as_str().into());
    put("worker_tier", json!(worker_tier));
    put("freshness", context.freshness.as_str().into());
    if let Some(unwitnessed_ms) = context.unwitnessed_ms {
        put("unwitnessed_ms", unwitnessed_ms.into());
    }
    put("restore_count", context.restore_count.into());
    if let Value::Object(own) = own {
        own.into_iter().for_each(|(name, value)| {
            claims.insert(name, value);
        });
    }
    Value::Object(claims).to_string()
}

/// The receipt named by a claim's text.
pub fn receipt_of(text: &str) -> Option<ReceiptId> {
    #[derive(serde::Deserialize)]
    struct Named {
        receipt_id: String,
    }
    serde_json::from_str::<Named>(text)
        .ok()?
        .receipt_id
        .parse()
        .ok()
}

fn receipt_name(id: ReceiptId) -> String {
    id.to_string()
}
