//! Approvals of payments: bound, single-use, expiring, by as many as the bank asks.

mod claim;
mod close;
mod give;

pub(super) use close::{cancel, reject};
pub(super) use give::{Given, give, refuse, sample};

use redoubt_shared::{ApprovalId, UserId};
use serde_json::{Value, json};

use super::policy::{self, Ruled};
use super::risk::Paid;
use super::{Cx, Decision, owned};
use crate::core::approval::{devices, has_room};
use crate::core::{
    APPROVERS_MAX, AlertKind, Approval, Approver, Band, CreateApproval, Effect, Event, Input,
    PolicyPlace, Recorded, Refusal, Reply, Risk, Subject, SubjectHandle, Terms,
};

/// Approvals that may wait for one customer at once.
const APPROVALS_MAX: usize = 64;

/// An idempotency key, hashed, and the digest of what was asked with it.
type Key = Option<([u8; 32], [u8; 32])>;

pub(super) fn create(cx: &Cx<'_>, asked: CreateApproval) -> Result<Decision, Refusal> {
    if let Some(found) = found(cx, asked.idempotency)? {
        return Ok(found);
    }
    let mut terms = terms(cx, &asked)?;
    let handle = may_all_be_asked(cx, &asked, terms)?;
    let ruled = cx.ruled(handle, input(cx, &asked, handle, terms))?;
    match ruled.effect() {
        Effect::Allow => {}
        // Met by a second device, which the typed rules may ask for as well.
        Effect::StepUp => terms.devices = 2,
        Effect::Deny => return Ok(denied(cx, &asked, handle, ruled)),
    }
    may_all_be_asked(cx, &asked, terms)?;
    if !has_room(cx.state, terms, &asked.transaction_jcs, asked.expires_ms) {
        return Err(Refusal::TooManyApprovals);
    }
    let mut events = Vec::new();
    for approver in &asked.approvers {
        let (handle, _) = cx.subject(&approver.user)?;
        let event = Event::ApprovalAsked {
            id: asked.id,
            handle,
            terms,
            transaction_jcs: asked.transaction_jcs.clone(),
            asks: approver.asks[..terms.devices.into()].to_vec(),
            expires_ms: asked.expires_ms,
        };
        events.push(owned(handle, event));
    }
    events.extend(keep(cx, handle, asked.id, asked.idempotency));
    events.extend(requested(cx, &asked, handle, terms, &ruled));
    events.insert(events.len() - 1, ruled.event());
    Ok(Decision {
        events,
        reply: Reply::Approval(asked.id),
    })
}

fn terms(cx: &Cx<'_>, asked: &CreateApproval) -> Result<Terms, Refusal> {
    let approvers = asked.approvers.len();
    if !(1..=APPROVERS_MAX).contains(&approvers) || !(1..=approvers).contains(&asked.needed.into())
    {
        return Err(Refusal::ImpossibleTerms);
    }
    let second = cx.context.second_device(&asked.currency, asked.amount);
    Ok(Terms {
        approvers: approvers as u16,
        needed: asked.needed,
        devices: if second { 2 } else { 1 },
        factors: asked.factors,
    })
}

/// Everybody can give what is asked of them, and is somebody else; answers the first.
fn may_all_be_asked(
    cx: &Cx<'_>,
    asked: &CreateApproval,
    terms: Terms,
) -> Result<SubjectHandle, Refusal> {
    let mut handles = Vec::new();
    for approver in &asked.approvers {
        let (handle, subject) = cx.subject(&approver.user)?;
        if handles.contains(&handle) {
            return Err(Refusal::OnePersonTwice);
        }
        may_be_asked(cx, (handle, subject), terms)?;
        handles.push(handle);
    }
    handles.first().copied().ok_or(Refusal::UnknownUser)
}

/// Somebody can give what is asked of one person.
fn may_be_asked(
    cx: &Cx<'_>,
    (handle, subject): (SubjectHandle, &Subject),
    terms: Terms,
) -> Result<(), Refusal> {
    let passkeys = subject.passkeys.values();
    let usable: Vec<_> = passkeys
        .filter(|one| cx.unusable(subject, subject.device_id(&one.id)).is_none())
        .collect();
    if usable.is_empty() {
        return Err(Refusal::UnknownCredential);
    }
    if devices(usable.iter().map(|one| &one.backup_eligible)) < terms.devices.into() {
        return Err(Refusal::SecondDeviceNeeded);
    }
    let enrolled = |modality| cx.state.template(&handle, modality).is_some();
    if !terms.factors.each().all(enrolled) {
        return Err(Refusal::NotEnrolled);
    }
    let open = subject
        .approvals
        .iter()
        .filter_map(|id| cx.state.approvals.get(id))
        .filter(|open| open.expires_ms > cx.facts.now_ms);
    match open.count() >= APPROVALS_MAX {
        true => Err(Refusal::TooMany),
        false => Ok(()),
    }
}

/// The claim of the request. Of several people it names none, so that it can outlive
/// each of them; their answers name transaction and person.
fn requested(
    cx: &Cx<'_>,
    asked: &CreateApproval,
    handle: SubjectHandle,
    terms: Terms,
    ruled: &Ruled,
) -> Vec<Recorded> {
    let mut own = json!({
        "approval_id": asked.id.to_string(),
        "expires_ms": asked.expires_ms,
    });
    if !terms.plain() {
        own["asked"] = claim::asked(terms);
    }
    if let [only] = &asked.approvers[..] {
        let transaction = claim::transaction(&asked.transaction_jcs);
        let risk = risk(cx, handle, &transaction);
        let alert = (risk.band() == Band::High).then_some(AlertKind::HighRisk);
        own["transaction"] = transaction;
        own["fraud_score"] = risk.score().into();
        own["anomalies"] = json!(risk.names());
        own["alert"] = json!(alert.map(AlertKind::name));
        ruled.tell(&mut own);
        let claim = cx.claim(handle, "approval_request", &only.user, None, own);
        let alert = alert.map(|kind| cx.alert(handle, kind, risk));
        return alert.into_iter().chain([claim]).collect();
    }
    ruled.tell(&mut own);
    vec![cx.claim_about_nobody("approval_request", own)]
}

/// How unusual a payment is for the one who is asked.
fn risk(cx: &Cx<'_>, handle: SubjectHandle, transaction: &Value) -> Risk {
    let subject = cx.state.subjects.get(&handle);
    let paid = subject.and_then(|subject| Paid::of(&subject.key, transaction));
    paid.map(|paid| paid.assess(cx, handle)).unwrap_or_default()
}

/// What policy is asked; of several people it is told no one's risk.
fn input(cx: &Cx<'_>, asked: &CreateApproval, handle: SubjectHandle, terms: Terms) -> Input {
    let transaction = claim::transaction(&asked.transaction_jcs);
    let risk = match terms.approvers {
        1 => risk(cx, handle, &transaction),
        _ => Risk::default(),
    };
    Input {
        place: PolicyPlace::ApprovalRequest,
        risk,
        device: None,
        sample: None,
        payment: policy::payment(&transaction),
        asked: Some(terms),
    }
}

/// The tenant's policy said no: recorded, and nobody is asked.
fn denied(cx: &Cx<'_>, asked: &CreateApproval, handle: SubjectHandle, ruled: Ruled) -> Decision {
    let mut own = json!({
        "approval_id": asked.id.to_string(),
        "verdict": "refused",
        "reason": policy::DENIED,
    });
    ruled.tell(&mut own);
    let claim = match &asked.approvers[..] {
        [only] => {
            own["transaction"] = claim::transaction(&asked.transaction_jcs);
            cx.claim(handle, "approval_request", &only.user, None, own)
        }
        _ => cx.claim_about_nobody("approval_request", own),
    };
    Decision {
        events: vec![ruled.event(), claim],
        reply: Reply::Denied,
    }
}

/// What an idempotency key did before: the same again, or a conflict.
fn found(cx: &Cx<'_>, key: Key) -> Result<Option<Decision>, Refusal> {
    let kept = key.and_then(|(key, _)| cx.state.idempotency.get(&key));
    let kept = kept.filter(|kept| kept.expires_ms > cx.facts.now_ms);
    match (kept, key) {
        (Some(kept), Some((_, request))) if kept.request == request => Ok(Some(Decision {
            events: Vec::new(),
            reply: Reply::Approval(kept.id),
        })),
        (Some(_), _) => Err(Refusal::IdempotencyConflict),
        _ => Ok(None),
    }
}

fn keep(cx: &Cx<'_>, owner: SubjectHandle, id: ApprovalId, key: Key) -> Option<Recorded> {
    let (key, request) = key?;
    let event = Event::IdempotencyKept {
        key,
        request,
        id,
        at_ms: cx.facts.now_ms,
    };
    Some(owned(owner, event))
}

/// An approval that is open, and one of those it asks.
fn open_for<'a>(
    cx: &'a Cx<'_>,
    id: ApprovalId,
    user: &UserId,
) -> Result<(&'a Approval, &'a Approver, &'a Subject), Refusal> {
    let approval = cx.state.approvals.get(&id);
    let approval = approval.ok_or(Refusal::UnknownApproval)?;
    let (handle, subject) = cx.subject(user).map_err(|_| Refusal::UnknownApproval)?;
    let approver = approval.approver(handle).ok_or(Refusal::UnknownApproval)?;
    approval.open(cx.facts.now_ms)?;
    if !approval.still_asks(handle) {
        return Err(Refusal::AlreadyAnswered);
    }
    Ok((approval, approver, subject))
}
