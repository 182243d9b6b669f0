//! Erasure: the claim first, while its subject's key is still there to seal it,
//! then the event that removes.

use redoubt_shared::{ErasureId, UserId};
use serde_json::json;

use super::{Cx, Decision, owned, unowned};
use crate::core::{
    Deletion, EnrollmentStatus, Erasure, ErasureScope, ErasureStatus, Event, KeptBudget,
    KeptBudgets, MARK_MAX, Modality, Recorded, Refusal, Reply, Subject, SubjectHandle,
};

pub(super) fn modality(
    cx: &Cx<'_>,
    user: UserId,
    modality: Modality,
    id: ErasureId,
) -> Result<Decision, Refusal> {
    let (handle, subject) = cx.subject(&user).map_err(|_| Refusal::NotEnrolled)?;
    let enrolled = cx.state.template(&handle, modality).is_some();
    if !enrolled && !enrolling(cx, &handle, modality) {
        return Err(Refusal::NotEnrolled);
    }
    let reserved = subject.attempts.reserved.iter();
    let open = reserved.filter(|one| {
        let means = cx.state.attempted_by(&handle, **one);
        means.modalities().contains(&modality)
    });
    let (failures, locked_until_ms) = budget_after(cx, subject, open.count() as u32);
    let erasure = record(
        cx,
        match modality {
            Modality::Face => ErasureScope::Face,
            Modality::Voice => ErasureScope::Voice,
        },
    );
    let claim = claim(cx, handle, &user, id, &erasure);
    let erased = match modality {
        Modality::Face => Event::FaceErased {
            handle,
            id,
            erasure,
            failures,
            locked_until_ms,
        },
        Modality::Voice => Event::VoiceErased {
            handle,
            id,
            erasure,
            failures,
            locked_until_ms,
        },
    };
    Ok(begun(cx, vec![claim, unowned(erased)]))
}

pub(super) fn subject(
    cx: &Cx<'_>,
    user: UserId,
    id: ErasureId,
    salt: [u8; 32],
) -> Result<Decision, Refusal> {
    let (handle, subject) = cx.subject(&user).map_err(|_| Refusal::UnknownSubject)?;
    let erasure = record(cx, ErasureScope::Subject);
    let mut events = vec![claim(cx, handle, &user, id, &erasure)];
    let (now_ms, limit) = (cx.facts.now_ms, cx.context.max_failures);
    if let Some(budget) = KeptBudget::of(&subject.attempts, now_ms, limit, cx.context.lockout_ms) {
        let salt = cx.state.kept.salt.unwrap_or(salt);
        events.push(unowned(Event::BudgetKept {
            salt,
            name: KeptBudgets::hash(&salt, &user),
            budget,
            at_ms: now_ms,
        }));
    }
    events.push(unowned(Event::SubjectErased {
        handle,
        id,
        erasure,
    }));
    Ok(begun(cx, events))
}

/// What a name that comes back takes over from the one erased.
pub(super) fn take_up(cx: &Cx<'_>, user: &UserId, handle: SubjectHandle) -> Option<Recorded> {
    let now_ms = cx.facts.now_ms;
    let (name, kept) = cx.state.kept.find(user, now_ms)?;
    // The limit may be stricter now than when it was kept.
    let locks = kept.failures >= cx.context.max_failures;
    let lock = locks.then(|| now_ms.saturating_add(cx.context.lockout_ms));
    let taken_up = Event::BudgetTakenUp {
        handle,
        name,
        failures: kept.failures,
        locked_until_ms: kept.locked_until_ms.or(lock),
    };
    Some(owned(handle, taken_up))
}

pub(super) fn mark_dark(
    cx: &Cx<'_>,
    mut erasures: Vec<ErasureId>,
    statements: Vec<Deletion>,
    depends_on: Vec<String>,
) -> Result<Decision, Refusal> {
    if erasures.len() > MARK_MAX {
        return Err(Refusal::TooMany);
    }
    let light = |id: &ErasureId| {
        let erasure = cx.state.erasures.get(id);
        erasure.is_some_and(|e| !matches!(e.status, ErasureStatus::Dark { .. }))
    };
    erasures.retain(light);
    if erasures.is_empty() {
        return Err(Refusal::UnknownErasure);
    }
    let digests: Vec<String> = statements.iter().map(|s| hex::encode(s.digest())).collect();
    let named: Vec<String> = erasures.iter().map(ErasureId::to_string).collect();
    let own = json!({
        "erasures": named,
        "status": if depends_on.is_empty() { "dark" } else { "depends" },
        "depends_on": depends_on,
        "statements": digests,
    });
    let darkened = Event::ErasuresDarkened {
        ids: erasures,
        at_ms: cx.facts.now_ms,
        receipt: cx.facts.receipt,
        statements,
        depends_on,
    };
    Ok(cx.done(vec![
        cx.claim_about_nobody("erasure_dark", own),
        unowned(darkened),
    ]))
}

fn record(cx: &Cx<'_>, scope: ErasureScope) -> Erasure {
    Erasure {
        scope,
        epoch: cx.context.epoch,
        requested_ms: cx.facts.now_ms,
        receipt: cx.facts.receipt,
        status: ErasureStatus::Pending,
        depends_on: cx.context.depends_on.clone(),
        statements: Vec::new(),
    }
}

fn claim(
    cx: &Cx<'_>,
    handle: SubjectHandle,
    user: &UserId,
    id: ErasureId,
    erasure: &Erasure,
) -> Recorded {
    let (scope, modality) = match erasure.scope {
        ErasureScope::Face => ("modality", Some(Modality::Face.name())),
        ErasureScope::Voice => ("modality", Some(Modality::Voice.name())),
        ErasureScope::Subject => ("subject", None),
    };
    let own = json!({
        "erasure_id": id.to_string(),
        "scope": scope,
        "modality": modality,
        "status": "pending-epoch",
        "epoch": erasure.epoch,
        "depends_on": erasure.depends_on,
    });
    cx.claim(handle, "erasure", user, None, own)
}

fn begun(cx: &Cx<'_>, events: Vec<Recorded>) -> Decision {
    let reply = Reply::Erasure {
        epoch: cx.context.epoch,
        depends_on: cx.context.depends_on.clone(),
    };
    Decision { events, reply }
}

/// Whether an enrolment that erasing must end is open.
fn enrolling(cx: &Cx<'_>, subject: &SubjectHandle, modality: Modality) -> bool {
    let latest = cx.state.enrollment_of(subject, modality);
    let open = latest.and_then(|id| cx.state.enrollments.get(&id));
    open.is_some_and(|enrollment| {
        let over = [EnrollmentStatus::Completed, EnrollmentStatus::Refused];
        !over.contains(&enrollment.status) && enrollment.expires_ms > cx.facts.now_ms
    })
}

/// Failures and lock once these attempts under way are spent: their verdicts would
/// be about a template that is gone.
fn budget_after(cx: &Cx<'_>, subject: &Subject, open: u32) -> (u32, Option<u64>) {
    let attempts = &subject.attempts;
    let failures = attempts.failures.saturating_add(open);
    let locks =
        open > 0 && attempts.locked_until_ms.is_none() && failures >= cx.context.max_failures;
    let lock = locks.then(|| cx.facts.now_ms.saturating_add(cx.context.lockout_ms));
    (failures, attempts.locked_until_ms.or(lock))
}
