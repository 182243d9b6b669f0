//! Approvals of payments: bound, single-use, expiring.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redoubt_attestation::artefact::ChallengeInput;
use redoubt_shared::{ApprovalId, UserId};
use serde_json::{Value, json};

use super::passkey::Used;
use super::{Cx, Decision, owned};
use crate::core::{ApprovalStatus, CreateApproval, Event, Refusal, Reply, Transaction};

/// Approvals that may wait for one customer at once.
const APPROVALS_MAX: usize = 64;

/// A verified assertion and what its claim must repeat.
pub(super) struct Given {
    pub(super) assertion: Value,
    pub(super) used: Used,
    pub(super) tenant_keys: [String; 2],
    pub(super) rp_id: String,
}

pub(super) fn create(cx: &Cx<'_>, asked: CreateApproval) -> Result<Decision, Refusal> {
    if let Some((key, request)) = asked.idempotency
        && let Some((seen, id)) = cx.state.idempotency.get(&key)
    {
        let same = *seen == request;
        return if same {
            Ok(existing(*id))
        } else {
            Err(Refusal::IdempotencyConflict)
        };
    }
    let (handle, subject) = cx.subject(&asked.user)?;
    if subject.passkeys.is_empty() {
        return Err(Refusal::UnknownCredential);
    }
    let open = subject
        .approvals
        .iter()
        .filter_map(|id| cx.state.approvals.get(id));
    if open
        .filter(|open| open.expires_ms > cx.facts.now_ms)
        .count()
        >= APPROVALS_MAX
    {
        return Err(Refusal::TooMany);
    }
    let own = json!({
        "approval_id": asked.id.to_string(),
        "transaction": transaction_json(&asked.transaction),
        "expires_ms": asked.expires_ms,
    });
    let claim = cx.claim(handle, "approval_request", &asked.user, None, own);
    let id = asked.id;
    let event = Event::ApprovalCreated {
        id,
        handle,
        transaction: Box::new(asked.transaction),
        transaction_jcs: asked.transaction_jcs,
        nonce: asked.nonce,
        challenge: asked.challenge,
        expires_ms: asked.expires_ms,
        idempotency: asked.idempotency,
    };
    Ok(Decision {
        events: vec![owned(handle, event), claim],
        reply: Reply::Approval(id),
    })
}

fn existing(id: ApprovalId) -> Decision {
    Decision {
        events: Vec::new(),
        reply: Reply::Approval(id),
    }
}

pub(super) fn give(
    cx: &Cx<'_>,
    id: ApprovalId,
    user: UserId,
    given: Given,
) -> Result<Decision, Refusal> {
    let approval = cx
        .state
        .approvals
        .get(&id)
        .ok_or(Refusal::UnknownApproval)?;
    let (handle, subject) = cx.subject(&user)?;
    if approval.subject != handle {
        return Err(Refusal::UnknownApproval);
    }
    if approval.status != ApprovalStatus::Pending {
        return Err(Refusal::ApprovalSpent);
    }
    if approval.expires_ms <= cx.facts.now_ms {
        return Err(Refusal::ApprovalExpired);
    }
    given.used.check(cx, subject)?;
    // The binding is checked here, not trusted: what the claim will say is what
    // the customer's challenge was made from.
    let input = ChallengeInput {
        domain: ChallengeInput::DOMAIN.to_owned(),
        tenant: cx.context.tenant.clone(),
        rp_id: given.rp_id.clone(),
        user_id: user.clone(),
        purpose: ChallengeInput::PURPOSE.to_owned(),
        expires_ms: approval.expires_ms,
        nonce: approval.nonce,
        transaction_jcs: approval.transaction_jcs.clone(),
    };
    if input.challenge().0 != approval.challenge {
        return Err(Refusal::ApprovalExpired);
    }
    let own = json!({
        "approval_id": id.to_string(),
        "decision": "approved",
        "transaction": transaction_json(&approval.transaction),
        "challenge_input": {
            "domain": "redoubt/approval/v1",
            "tenant": cx.context.tenant.as_str(),
            "rp_id": given.rp_id,
            "user_id": user.as_str(),
            "purpose": "approval",
            "expires_ms": approval.expires_ms,
            "nonce": URL_SAFE_NO_PAD.encode(approval.nonce),
            "transaction_jcs": approval.transaction_jcs,
        },
        "challenge": URL_SAFE_NO_PAD.encode(approval.challenge),
        "assertion": given.assertion,
        "tenant_key_es256": given.tenant_keys[0],
        "tenant_key_mldsa65": given.tenant_keys[1],
    });
    let claim = cx.claim(handle, "approval", &user, None, own);
    let approved = Event::ApprovalGiven {
        id,
        receipt: cx.facts.receipt,
    };
    Ok(cx.done(vec![
        owned(handle, given.used.event(handle)),
        owned(handle, approved),
        claim,
    ]))
}

/// A failed answer: recorded, and the approval goes on waiting.
pub(super) fn refuse(
    cx: &Cx<'_>,
    id: ApprovalId,
    user: UserId,
    reason: &str,
) -> Result<Decision, Refusal> {
    let (handle, _) = cx.subject(&user)?;
    let own = json!({ "approval_id": id.to_string(), "decision": "refused", "reason": reason });
    Ok(cx.done(vec![cx.claim(handle, "approval", &user, None, own)]))
}

/// The transaction as claims show it.
fn transaction_json(transaction: &Transaction) -> Value {
    json!({
        "amount": transaction.amount,
        "currency": transaction.currency,
        "payee": { "name": transaction.payee_name, "account": transaction.payee_account },
        "reference": transaction.reference,
    })
}
