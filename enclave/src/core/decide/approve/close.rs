//! Answers that end: a customer's rejection, the bank's cancellation.

use redoubt_attestation::artefact::ChallengeInput;
use redoubt_shared::{ApprovalId, UserId};
use serde_json::{Value, json};

use super::super::{Cx, Decision, owned};
use super::{Given, Key, claim, found, keep, open_for, refuse};
use crate::core::{Event, Refusal, Risk};

/// Signed by the customer if `given` is there, else the bank's word.
pub(in crate::core::decide) fn reject(
    cx: &Cx<'_>,
    id: ApprovalId,
    user: UserId,
    given: Option<(Given, [u8; 32])>,
    key: Key,
) -> Result<Decision, Refusal> {
    if let Some(found) = found(cx, key)? {
        return Ok(found);
    }
    let (approval, approver, subject) = open_for(cx, id, &user)?;
    let handle = approver.subject;
    let closes = approval.willing() <= usize::from(approval.terms.needed);
    let mut events = Vec::new();
    let mut own = match given {
        None => match json!({
            "approval_id": id.to_string(),
            "decision": "rejected",
            "transaction": claim::transaction(&approval.transaction_jcs),
            "assertion": null,
        }) {
            Value::Object(own) => own,
            _ => Default::default(),
        },
        Some((given, challenge)) => {
            if let Some(reason) = given.used.why_not(cx, subject)? {
                return refuse(cx, id, user, &given.used.credential_id, reason);
            }
            let ask = approver.asks.first().ok_or(Refusal::AlreadyAnswered)?;
            let purpose = ChallengeInput::REJECTION;
            let input = claim::input(cx, approval, &user, &given.rp_id, purpose, ask.nonce);
            if input.challenge().0 != challenge {
                return Err(Refusal::ApprovalExpired);
            }
            let mut own = claim::signed(id, "rejected", approval, &input, given.assertion);
            claim::name_keys(&mut own, &given.tenant_keys);
            let copied = given.used.copied(subject);
            claim::name_copied(&mut own, copied);
            events.extend(given.used.events(cx, handle, subject));
            events.extend(copied.map(|kind| cx.alert(handle, kind, Risk::default())));
            own
        }
    };
    if !approval.terms.plain() {
        own.insert("asked".to_owned(), claim::asked(approval.terms));
    }
    own.insert("closes".to_owned(), closes.into());
    let rejected = Event::ApprovalRejected {
        id,
        handle,
        receipt: cx.facts.receipt,
        closes,
    };
    events.push(owned(handle, rejected));
    events.extend(keep(cx, handle, id, key));
    let own = Value::Object(own);
    events.push(cx.claim(handle, "approval", &user, None, own));
    Ok(cx.done(events))
}

/// The bank takes an approval back.
pub(in crate::core::decide) fn cancel(
    cx: &Cx<'_>,
    id: ApprovalId,
    key: Key,
) -> Result<Decision, Refusal> {
    if let Some(found) = found(cx, key)? {
        return Ok(found);
    }
    let approval = cx.state.approvals.get(&id);
    let approval = approval.ok_or(Refusal::UnknownApproval)?;
    approval.open(cx.facts.now_ms)?;
    let first = approval.approvers.first().ok_or(Refusal::UnknownApproval)?;
    let handle = first.subject;
    let receipt = cx.facts.receipt;
    let mut events = vec![owned(handle, Event::ApprovalCancelled { id, receipt })];
    events.extend(keep(cx, handle, id, key));
    let own = json!({ "approval_id": id.to_string(), "decision": "cancelled" });
    let of_one = approval.terms.approvers == 1;
    let subject = cx.state.subjects.get(&handle).filter(|_| of_one);
    events.push(match subject {
        Some(subject) => cx.claim(handle, "approval", &subject.user, None, own),
        None => cx.claim_about_nobody("approval", own),
    });
    Ok(cx.done(events))
}
