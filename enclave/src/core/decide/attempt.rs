//! The attempt budget. Protects a customer against guessing in bulk: an attempt
//! is spent before its sample goes anywhere, reservations count against the
//! budget, and what a crash leaves open stays spent.

use redoubt_shared::{ApprovalId, UserId, VerificationId};
use serde_json::json;

use super::{Cx, Decision, owned};
use crate::core::{Comparison, Event, Refusal, Reply, Subject, SubjectHandle};

pub(super) fn reserve(cx: &Cx<'_>, user: UserId, id: VerificationId) -> Result<Decision, Refusal> {
    // Someone unknown and someone without a template are told apart to nobody.
    let (handle, subject) = cx.subject(&user).map_err(|_| Refusal::NotEnrolled)?;
    if subject.face.is_none() {
        return Err(Refusal::NotEnrolled);
    }
    let attempts = &subject.attempts;
    let mut events = Vec::new();
    let failures = match attempts.locked_until_ms {
        Some(until_ms) if until_ms > cx.facts.now_ms => return Err(Refusal::Locked { until_ms }),
        Some(_) => {
            events.push(owned(handle, Event::LockExpired { handle }));
            0
        }
        None => attempts.failures,
    };
    if failures as usize + attempts.reserved.len() >= cx.context.max_failures as usize {
        return Err(Refusal::AttemptsInProgress);
    }
    events.push(owned(handle, Event::AttemptReserved { handle, id }));
    Ok(Decision {
        events,
        reply: Reply::Subject(handle),
    })
}

pub(super) fn release(
    cx: &Cx<'_>,
    user: UserId,
    id: VerificationId,
    reason: &str,
    worker_tier: Option<&str>,
) -> Result<Decision, Refusal> {
    let (handle, _) = reserved(cx, &user, id)?;
    let own = json!({
        "verification_id": id.to_string(), "modality": "facial", "verdict": "error", "reason": reason,
    });
    let claim = cx.claim(handle, "verification", &user, worker_tier, own);
    Ok(cx.done(vec![
        owned(handle, Event::AttemptReleased { handle, id }),
        claim,
    ]))
}

pub(super) fn conclude(
    cx: &Cx<'_>,
    user: UserId,
    id: VerificationId,
    comparison: &Comparison,
    approval: Option<ApprovalId>,
) -> Result<Decision, Refusal> {
    let (handle, subject) = reserved(cx, &user, id)?;
    let accepted = comparison.accepted;
    let locks = !accepted && subject.attempts.failures + 1 >= cx.context.max_failures;
    let locked_until_ms = locks.then(|| cx.facts.now_ms.saturating_add(cx.context.lockout_ms));
    let mut own = json!({
        "verification_id": id.to_string(),
        "modality": "facial",
        "verdict": if accepted { "verified" } else { "rejected" },
        "confidence_score": round(comparison.confidence),
        "quality_score": round(comparison.sample.quality),
        "liveness": "not_evaluated",
        "model": comparison.sample.model,
        "template_tier": comparison.sample.template_tier,
        "locked_until_ms": locked_until_ms,
    });
    if let Some(approval) = approval {
        own["approval_id"] = approval.to_string().into();
    }
    let claim = cx.claim(
        handle,
        "verification",
        &user,
        Some(&comparison.sample.worker_tier),
        own,
    );
    let concluded = Event::AttemptConcluded {
        handle,
        id,
        accepted,
        locked_until_ms,
    };
    let at_ms = cx.facts.now_ms;
    let matched = accepted.then(|| owned(handle, Event::FaceMatched { handle, at_ms }));
    let mut events = vec![owned(handle, concluded)];
    events.extend(matched);
    events.push(claim);
    Ok(Decision {
        events,
        reply: Reply::Verdict { locked_until_ms },
    })
}

fn reserved<'a>(
    cx: &'a Cx<'_>,
    user: &UserId,
    id: VerificationId,
) -> Result<(SubjectHandle, &'a Subject), Refusal> {
    // Erased while the sample was being worked on: there is no verdict to give.
    let (handle, subject) = cx.subject(user).map_err(|_| Refusal::NotEnrolled)?;
    if !subject.attempts.reserved.contains(&id) {
        return Err(Refusal::UnknownAttempt);
    }
    Ok((handle, subject))
}

/// Two decimals: scores leave the enclave coarse.
fn round(score: f32) -> f64 {
    (f64::from(score) * 100.0).round() / 100.0
}
