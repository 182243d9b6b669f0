//! The attempt budget. Protects a customer against guessing in bulk: an attempt
//! is spent before its sample goes anywhere, reservations count against the
//! budget, and what a crash leaves open stays spent.

use redoubt_shared::{ApprovalId, UserId, VerificationId};
use serde_json::{Value, json};

use super::policy::{Ruled, hundredths};
use super::risk::Noted;
use super::{Cx, Decision, owned, stranger};
use crate::core::{
    AlertKind, Band, Comparison, Effect, Ending, Event, Input, Liveness, Means, Modality,
    PolicyPlace, Recorded, Refusal, Reply, Risk, SampleSeen, SampleUse, Subject, SubjectHandle,
    Whereabouts,
};
use crate::core::{frames, spoken};

pub(super) fn reserve(
    cx: &Cx<'_>,
    user: UserId,
    means: Means,
    id: VerificationId,
    from: Whereabouts,
) -> Result<Decision, Refusal> {
    let throttle = &cx.state.throttle;
    let waits = throttle.waits_until(&from, &cx.context.throttle, cx.facts.now_ms);
    if let Some(until_ms) = waits {
        return Err(Refusal::Throttled { until_ms });
    }

    // Someone unknown, someone without a template and someone else's face are told
    // apart to nobody.
    let Ok((handle, subject)) = cx.subject(&user) else {
        return stranger::reserve(cx, &user, means, id, from);
    };
    let attempts = &subject.attempts;
    let mut events = Vec::new();
    if let Some(until_ms) = attempts.locked_at(cx.facts.now_ms) {
        return Err(Refusal::Locked { until_ms });
    }
    if attempts.locked_until_ms.is_some() {
        events.push(owned(handle, Event::LockExpired { handle }));
    }
    let failures = attempts.failures_at(cx.facts.now_ms);
    if failures as usize + attempts.reserved.len() >= cx.context.max_failures as usize {
        return Err(Refusal::AttemptsInProgress);
    }
    let begun = Event::AttemptBegun {
        handle,
        id,
        from: from.counted(),
        counts_ms: cx.context.lockout_ms,
    };
    events.push(owned(handle, begun));
    events.push(owned(handle, Event::AttemptReserved { handle, id }));
    events.extend(means.tried(handle, id).map(|tried| owned(handle, tried)));
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
    let released = |means| stranger::released(id, means, reason);
    if stranger::holds(cx, id) {
        let own = released(cx.state.attempted_by(&SubjectHandle::NOBODY, id));
        return Ok(stranger::release(cx, &user, id, worker_tier, own));
    }
    let (handle, _) = reserved(cx, &user, id)?;
    let own = released(cx.state.attempted_by(&handle, id));
    let claim = cx.claim(handle, "verification", &user, worker_tier, own);
    Ok(cx.done(vec![
        ended(handle, id, None),
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
    let known = cx.state.users.get(&user).copied();
    let of = known.filter(|_| !stranger::holds(cx, id));
    let of = of.unwrap_or(SubjectHandle::NOBODY);
    let performed = comparison.sample.performed.as_ref();
    let (performed, seen) = frames::weighed(cx.state, (of, &user), performed);
    let comparison = comparison.clone().with(performed);
    let mut decision = compared(cx, user, id, &comparison, approval)?;
    decision
        .events
        .splice(0..0, seen.map(|event| owned(of, event)));
    Ok(decision)
}

fn compared(
    cx: &Cx<'_>,
    user: UserId,
    id: VerificationId,
    comparison: &Comparison,
    approval: Option<ApprovalId>,
) -> Result<Decision, Refusal> {
    if stranger::holds(cx, id) {
        let means = cx.state.attempted_by(&SubjectHandle::NOBODY, id);
        let tell = |ending, until| told((id, means), comparison, approval, ending, until);
        return Ok(stranger::conclude(cx, &user, (id, means), comparison, tell));
    }
    let (handle, subject) = reserved(cx, &user, id)?;
    let means = cx.state.attempted_by(&handle, id);
    let risk = cx.assess(means.act(), handle, comparison.from);
    // Without a template there is nobody to be like.
    let enrolled = |modality: &Modality| cx.state.template(&handle, *modality).is_some();
    let accepted = comparison.accepted && means.modalities().iter().all(enrolled);
    let ruled = match accepted {
        true => Some(cx.ruled(handle, input(means, &risk, comparison))?),
        false => None,
    };
    let ruling = ruled.as_ref().map_or(Effect::Allow, Ruled::effect);
    let ending = match (accepted, risk.band(), ruling) {
        (false, _, _) => Ending::Failed,
        // A no is not the customer's failure: it locks nobody.
        (true, Band::High, _) | (true, _, Effect::StepUp | Effect::Deny) => Ending::Suspicious,
        (true, _, Effect::Allow) => Ending::Accepted,
    };
    let locks = !accepted && subject.attempts.failures + 1 >= cx.context.max_failures;
    let locked_until_ms = locks.then(|| cx.facts.now_ms.saturating_add(cx.context.lockout_ms));
    let mut own = told((id, means), comparison, approval, ending, locked_until_ms);
    let noted = Noted {
        act: means.act(),
        ending,
        from: comparison.from,
        verification: Some(id),
        risk: risk.clone(),
        alert: locks.then_some(AlertKind::AccountLocked),
    };
    noted.tell(&mut own);
    if let Some(ruled) = &ruled {
        ruled.tell(&mut own);
    }
    let claim = cx.claim(
        handle,
        "verification",
        &user,
        Some(&comparison.sample.worker_tier),
        own,
    );
    let concluded = match ending {
        // Neither a failure nor a match that makes the budget whole.
        Ending::Suspicious => Event::AttemptReleased { handle, id },
        _ => Event::AttemptConcluded {
            handle,
            id,
            accepted,
            locked_until_ms,
        },
    };
    let at_ms = cx.facts.now_ms;
    let face = ending == Ending::Accepted && means == Means::Face;
    let matched = face.then_some(Event::FaceMatched { handle, at_ms });
    // Nor does the tenant's own no count where it came from.
    let failed = !accepted || risk.band() == Band::High;
    let failed_ms = failed.then_some(at_ms);
    let mut events = vec![ended(handle, id, failed_ms), owned(handle, concluded)];
    events.extend(matched.map(|event| owned(handle, event)));
    events.extend(cx.noted(handle, noted));
    events.extend(ruled.map(Ruled::event));
    events.push(claim);
    Ok(Decision {
        events,
        reply: Reply::Verdict {
            locked_until_ms,
            ending,
            risk,
            lapse: comparison.lapse(),
        },
    })
}

/// Members of a claim about a comparison.
fn told(
    (id, means): (VerificationId, Means),
    comparison: &Comparison,
    approval: Option<ApprovalId>,
    ending: Ending,
    locked_until_ms: Option<u64>,
) -> Value {
    let mut own = json!({
        "verification_id": id.to_string(),
        "modality": means.name(),
        "verdict": verdict(ending),
        "confidence_score": round(comparison.confidence),
        "quality_score": round(comparison.sample.quality),
        "liveness": Liveness::word(comparison.sample.liveness),
        "model": comparison.sample.model,
        "template_tier": comparison.sample.template_tier,
        "locked_until_ms": locked_until_ms,
    });
    frames::tell(comparison.sample.performed.as_ref(), &mut own);
    spoken::tell(comparison.sample.spoken, &mut own);
    if !comparison.parts.is_empty() {
        own["parts"] = comparison.parts.iter().map(part).collect();
    }
    if let Some(approval) = approval {
        own["approval_id"] = approval.to_string().into();
    }
    own
}

/// One of several samples that were compared together.
fn part((modality, sample): &(Modality, SampleUse)) -> Value {
    json!({
        "modality": modality.name(),
        "quality_score": round(sample.quality),
        "liveness": Liveness::word(sample.liveness),
        "model": sample.model,
        "template_tier": sample.template_tier,
    })
}

fn input(means: Means, risk: &Risk, comparison: &Comparison) -> Input {
    let sample = &comparison.sample;
    Input {
        place: match means {
            Means::Face => PolicyPlace::Face,
            Means::Voice => PolicyPlace::Voice,
            Means::Both => PolicyPlace::FaceAndVoice,
        },
        risk: risk.clone(),
        device: None,
        sample: Some(SampleSeen {
            confidence: hundredths(comparison.confidence),
            quality: hundredths(sample.quality),
            worker_tier: sample.worker_tier.clone(),
            liveness: sample.liveness.map(|seen| hundredths(seen.confidence)),
        }),
        payment: None,
        asked: None,
    }
}

/// It counts no more where it came from, unless it failed.
fn ended(handle: SubjectHandle, id: VerificationId, failed_ms: Option<u64>) -> Recorded {
    owned(handle, Event::AttemptEnded { id, failed_ms })
}

fn verdict(ending: Ending) -> &'static str {
    match ending {
        Ending::Accepted => "verified",
        Ending::Failed => "rejected",
        Ending::Suspicious => "suspicious",
    }
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
