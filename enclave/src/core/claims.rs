//! Claims: the JSON text a receipt discloses. Written once, committed to byte
//! for byte, never serialised again.

use std::collections::BTreeMap;

use redoubt_shared::{ReceiptId, TenantId, UserId};
use serde::Serialize;
use serde_json::{Map, Value};

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
    /// Whether who enrols a face is looked for under other names, and what follows.
    pub duplicates: Option<super::duplicates::DuplicateRules>,
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
    let mut own = match own {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    // What tells of passkeys' models names those instead.
    let models = own.shift_remove("models");
    let models = models.unwrap_or_else(|| context.models.as_str().into());
    let members = Members {
        kind,
        receipt_id: facts.receipt.to_string(),
        tenant: context.tenant.as_str(),
        user_id: user.map(UserId::as_str),
        time_ms: facts.now_ms,
        time_source: &context.time_source,
        environment: &context.environment,
        document: &context.document,
        policy: &context.policy,
        policy_bundle: bundle.map(hex::encode),
        config: &context.config,
        models,
        worker_tier,
        freshness: &context.freshness,
        unwitnessed_ms: context.unwitnessed_ms,
        restore_count: context.restore_count,
        own: &own,
    };
    serde_json::to_string(&members).expect("names are texts, and values are JSON already")
}

/// A claim's members in their order. What is left of `own` has other names.
#[derive(Serialize)]
struct Members<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    receipt_id: String,
    tenant: &'a str,
    user_id: Option<&'a str>,
    time_ms: u64,
    time_source: &'a str,
    environment: &'a str,
    document: &'a str,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_bundle: Option<String>,
    config: &'a str,
    models: Value,
    worker_tier: Option<&'a str>,
    freshness: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unwitnessed_ms: Option<u64>,
    restore_count: u32,
    #[serde(flatten)]
    own: &'a Map<String, Value>,
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

#[cfg(test)]
mod tests {
    use redoubt_shared::ReceiptId;
    use serde_json::json;

    use super::*;
    use crate::core::SubjectHandle;

    fn context() -> TermContext {
        TermContext {
            tenant: "bank-a".parse().unwrap(),
            environment: "emulated".into(),
            time_source: "nsm".into(),
            document: "d0".into(),
            policy: "p0".into(),
            config: "c0".into(),
            models: "m0".into(),
            counters_are_reported: false,
            max_failures: 3,
            lockout_ms: 1,
            throttle: crate::core::throttle::Limits::NONE,
            enrollment_ms: 1,
            epoch: 1,
            depends_on: Vec::new(),
            freshness: "lease".into(),
            unwitnessed_ms: None,
            second_device_above: None,
            restore_count: 2,
            duplicates: None,
        }
    }

    fn facts() -> Facts {
        Facts {
            now_ms: 1_700_000_000_000,
            receipt: ReceiptId::from_bytes([0xab; 16]),
            handle: SubjectHandle([0; 16]),
            user_handle: [0; 16],
            subject_key: [0; 32],
        }
    }

    /// Receipts are over these very bytes: members and their order stay.
    #[test]
    fn the_text_of_a_claim_is_golden() {
        let own = json!({ "verdict": "accepted", "user": "\"\u{e9}\n" });
        let user = "x-1".parse().unwrap();
        let told = text(&context(), &facts(), "a_kind", Some(&user), None, None, own);
        let id = "ab".repeat(16);
        let expected = format!(
            "{{\"type\":\"a_kind\",\"receipt_id\":\"{id}\",\"tenant\":\"bank-a\",\"user_id\":\"x-1\",\
             \"time_ms\":1700000000000,\"time_source\":\"nsm\",\"environment\":\"emulated\",\
             \"document\":\"d0\",\"policy\":\"p0\",\"config\":\"c0\",\"models\":\"m0\",\
             \"worker_tier\":null,\"freshness\":\"lease\",\"restore_count\":2,\
             \"verdict\":\"accepted\",\"user\":\"\\\"\u{e9}\\n\"}}"
        );
        assert_eq!(told, expected);
        assert_eq!(receipt_of(&told), Some(facts().receipt));
    }

    #[test]
    fn what_is_not_always_there_stands_at_its_place() {
        let context = TermContext {
            unwitnessed_ms: Some(5),
            ..context()
        };
        let own = json!({ "models": [1], "count": 1 });
        let bundle = Some([0xcd; 32]);
        let told = text(&context, &facts(), "k", None, bundle, Some("process"), own);
        let digest = "cd".repeat(32);
        let expected = format!(
            "\"user_id\":null,\"time_ms\":1700000000000,\"time_source\":\"nsm\",\
             \"environment\":\"emulated\",\"document\":\"d0\",\"policy\":\"p0\",\
             \"policy_bundle\":\"{digest}\",\"config\":\"c0\",\"models\":[1],\
             \"worker_tier\":\"process\",\"freshness\":\"lease\",\"unwitnessed_ms\":5,\
             \"restore_count\":2,\"count\":1}}"
        );
        assert!(told.ends_with(&expected), "{told}");
    }
}
