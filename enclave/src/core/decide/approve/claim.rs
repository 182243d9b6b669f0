//! What claims of approvals say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_attestation::artefact::ChallengeInput;
use redoubt_attestation::encode::sha256;
use redoubt_shared::{ApprovalId, UserId};
use serde_json::{Map, Value, json};

use super::super::Cx;
use crate::core::{AlertKind, Approval, Content, Grant, Modality, Recorded, Terms};

/// The transaction as claims show it.
pub(super) fn transaction(jcs: &str) -> Value {
    // It was made from JSON.
    serde_json::from_str(jcs).unwrap_or(Value::Null)
}

/// What was asked for.
pub(super) fn asked(terms: Terms) -> Value {
    let mut factors = vec!["passkey"];
    factors.extend(terms.factors.each().map(|modality| match modality {
        Modality::Face => "face",
        Modality::Voice => "voice",
    }));
    json!({
        "approvers": terms.approvers,
        "needed": terms.needed,
        "devices": terms.devices,
        "factors": factors,
    })
}

/// The input of a challenge of this approval.
pub(super) fn input(
    cx: &Cx<'_>,
    approval: &Approval,
    user: &UserId,
    rp_id: &str,
    purpose: &str,
    nonce: [u8; 32],
) -> ChallengeInput {
    ChallengeInput {
        domain: ChallengeInput::DOMAIN.to_owned(),
        tenant: cx.context.tenant.clone(),
        rp_id: rp_id.to_owned(),
        user_id: user.clone(),
        purpose: purpose.to_owned(),
        expires_ms: approval.expires_ms,
        nonce,
        transaction_jcs: approval.transaction_jcs.clone(),
    }
}

/// A signed answer, as its claim repeats it: every input, so that anyone recomputes
/// the challenge and verifies the signature.
pub(super) fn signed(
    id: ApprovalId,
    decision: &str,
    approval: &Approval,
    input: &ChallengeInput,
    assertion: Value,
) -> Map<String, Value> {
    let own = json!({
        "approval_id": id.to_string(),
        "decision": decision,
        "transaction": transaction(&approval.transaction_jcs),
        "challenge_input": input,
        "challenge": URL_SAFE_NO_PAD.encode(input.challenge().0),
        "assertion": assertion,
    });
    match own {
        Value::Object(own) => own,
        _ => Map::new(),
    }
}

/// The keys that will sign an artefact.
pub(super) fn name_keys(own: &mut Map<String, Value>, tenant_keys: &[String; 2]) {
    own.insert(
        "tenant_key_es256".to_owned(),
        tenant_keys[0].as_str().into(),
    );
    own.insert(
        "tenant_key_mldsa65".to_owned(),
        tenant_keys[1].as_str().into(),
    );
}

/// Earlier answers, by receipt and digest.
pub(super) fn grants<'a>(grants: impl Iterator<Item = &'a Grant>) -> Value {
    let one = |grant: &Grant| json!({ "receipt_id": grant.receipt.to_string(), "claim": hex::encode(grant.claim) });
    grants.map(one).collect()
}

/// SHA-256 of a claim's text; none of a change of state.
pub(super) fn digest(recorded: &Recorded) -> Option<[u8; 32]> {
    match &recorded.content {
        Content::Claims { text } => Some(sha256(&[text.as_bytes()]).0),
        Content::State(_) => None,
    }
}

/// A counter that did not move on, where policy only reports it.
pub(super) fn name_copied(own: &mut Map<String, Value>, kind: Option<AlertKind>) {
    if let Some(kind) = kind {
        own.insert("sign_count_grew".to_owned(), false.into());
        own.insert("alert".to_owned(), kind.name().into());
    }
}
