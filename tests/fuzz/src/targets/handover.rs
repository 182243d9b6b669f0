//! Orders to hand over, and the envelopes that the store carries.

use redoubt_attestation::binding::Purpose;
use redoubt_attestation::encode::{Digest32, b64u};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::handover::{Giver, HandoverOrder, boot_key};
use redoubt_attestation::shares::{Envelope, UnsealKey};
use serde_json::{Value, json};

use super::{NOW_MS, Prepared, json_bytes};
use crate::paper::Paper;

const GIVER: Digest32 = Digest32([1; 32]);

pub(super) fn handover() -> Prepared {
    let paper = Paper::new();
    let mut binding = paper.binding();
    binding.purpose = Purpose::Handover;
    let (document, _) = paper.evidence();
    let order = json!({
        "type": "redoubt/handover-order/v1", "order": "01".repeat(32), "appliance": Paper::ledger().to_string(),
        "genesis": paper.genesis.digest, "counter": paper.genesis.manifest.counter,
        "config": binding.config, "giver": GIVER, "term": 1,
        "recipient": boot_key(&binding.boot_keys), "not_after_ms": NOW_MS,
        "evidence": {
            "document": b64u(&document), "preimage": b64u(&binding.to_preimage()),
            "client_nonce": b64u(&[1; 16]), "exporter": b64u(&[2; 32]),
        },
    });
    let envelope = json!({
        "type": "redoubt/handover-envelope/v2", "aad": b64u(b"{}"), "enc": b64u(&[1; 1120]),
        "ciphertext": b64u(&[2; 48]),
    });
    let seeds = vec![
        paper.signed(&order),
        json_bytes(&order),
        json_bytes(&envelope),
    ];
    let key = UnsealKey::generate(&SystemEntropy).expect("the system's random source answers");
    let read = move |input: &[u8]| {
        let giver = Giver {
            genesis: &paper.genesis,
            appliance: Paper::ledger(),
            boot: GIVER,
            term: 1,
            now_ms: NOW_MS,
        };
        let _ = HandoverOrder::check(input, &giver, |_| false);
        if let Ok(payload) = serde_json::from_slice::<Value>(input) {
            let _ = HandoverOrder::check(&paper.signed(&payload), &giver, |_| false);
        }
        if let Ok(envelope) = Envelope::parse(input) {
            let _ = key.open_envelope(&envelope);
        }
    };
    (Box::new(read), seeds)
}
