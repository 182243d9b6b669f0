//! Enrolment: consent first, one sample at a time, a template at the end.

use redoubt_shared::{EnrollmentId, UserId};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::{Cx, Decision, duplicate, owned, renew, unowned};
use crate::core::frames;
use crate::core::{
    Enrollment, EnrollmentStatus, Event, Liveness, Modality, Performed, Refusal, Reply, Searched,
    Template,
};

pub(super) fn begin(
    cx: &Cx<'_>,
    user: UserId,
    modality: Modality,
    (id, token_hash): (EnrollmentId, [u8; 32]),
    consent_given: bool,
) -> Result<Decision, Refusal> {
    if !consent_given {
        return Err(Refusal::ConsentRequired);
    }
    if busy(cx, &user, modality) {
        return Err(Refusal::EnrollmentBusy);
    }
    let (subject, mut events) = cx.open_subject(&user, cx.facts.user_handle);
    let expires_ms = cx.facts.now_ms.saturating_add(cx.context.enrollment_ms);
    let status = EnrollmentStatus::Pending;
    let enrollment = Enrollment {
        subject,
        token_hash,
        expires_ms,
        status,
    };
    events.push(unowned(match modality {
        Modality::Face => Event::EnrollmentBegan { id, enrollment },
        Modality::Voice => Event::VoiceEnrollmentBegan { id, enrollment },
    }));
    let own = json!({
        "enrollment_id": id.to_string(), "modality": modality.name(), "consent_given": true,
    });
    events.push(cx.claim(subject, "enrollment_consent", &user, None, own));
    Ok(Decision {
        events,
        reply: Reply::Until(expires_ms),
    })
}

pub(super) fn reserve(
    cx: &Cx<'_>,
    id: EnrollmentId,
    token_hash: [u8; 32],
) -> Result<Decision, Refusal> {
    let enrollment = find(cx, id)?;
    if !bool::from(enrollment.token_hash.ct_eq(&token_hash)) {
        return Err(Refusal::UnknownEnrollment);
    }
    if enrollment.expires_ms <= cx.facts.now_ms {
        return Err(Refusal::EnrollmentExpired);
    }
    match enrollment.status {
        EnrollmentStatus::Pending => {}
        EnrollmentStatus::InProgress => return Err(Refusal::EnrollmentBusy),
        EnrollmentStatus::Completed => return Err(Refusal::EnrollmentClosed),
        EnrollmentStatus::Refused => return Err(Refusal::DuplicateFace),
    }
    let modality = cx.state.enrolled_by(&enrollment.subject, id);
    duplicate::shut(cx, modality)?;
    let events = vec![unowned(Event::EnrollmentSampleReserved { id })];
    Ok(Decision {
        events,
        reply: Reply::Enrolling {
            subject: enrollment.subject,
            modality,
        },
    })
}

pub(super) fn release(
    cx: &Cx<'_>,
    id: EnrollmentId,
    reason: &str,
    worker_tier: Option<&str>,
) -> Result<Decision, Refusal> {
    let (handle, user) = in_progress(cx, id)?;
    let modality = cx.state.enrolled_by(&handle, id);
    let own = json!({
        "enrollment_id": id.to_string(), "modality": modality.name(), "status": "pending",
        "reason": reason,
    });
    let claim = cx.claim(handle, "enrollment", &user, worker_tier, own);
    Ok(cx.done(vec![unowned(Event::EnrollmentSampleReleased { id }), claim]))
}

/// What was looked at beside the template: liveness, a challenge, duplicates.
type Looked<'a> = (
    Option<Liveness>,
    Option<&'a Performed>,
    Option<&'a Searched>,
);

pub(super) fn complete(
    cx: &Cx<'_>,
    id: EnrollmentId,
    template: Box<Template>,
    (liveness, performed, searched): Looked<'_>,
) -> Result<Decision, Refusal> {
    let (handle, user) = in_progress(cx, id)?;
    if find(cx, id)?.expires_ms <= cx.facts.now_ms {
        return Err(Refusal::EnrollmentExpired);
    }
    renew::is_next(cx, &handle, &template)?;
    let (performed, seen) = frames::weighed(cx.state, (handle, &user), performed);
    let lapse = |one: &Performed| one.lapse.filter(|_| one.required);
    if let Some(lapse) = performed.as_ref().and_then(lapse) {
        return Err(Refusal::ChallengeFailed(lapse));
    }
    let modality = cx.state.enrolled_by(&handle, id);
    duplicate::shut(cx, modality)?;
    let duplicates = duplicate::weighed(cx, modality, searched)?;
    let refusal = duplicates.and_then(|found| found.refusal(cx, id));
    let refused = refusal.is_some();
    let mut own = json!({
        "enrollment_id": id.to_string(),
        "modality": modality.name(),
        "status": if refused { "refused" } else { "completed" },
        "model": template.model,
        "quality_score": f64::from(template.quality),
        "liveness": Liveness::word(liveness),
    });
    if refused {
        own["reason"] = "duplicate_face".into();
    }
    frames::tell(performed.as_ref(), &mut own);
    if let Some(found) = &duplicates {
        found.tell(&mut own);
    }
    let tier = template.worker_tier.clone();
    let claim = cx.claim(handle, "enrollment", &user, Some(&tier), own);
    let ended = match (refusal, modality) {
        (Some(refusal), _) => refusal,
        (None, Modality::Face) => owned(
            handle,
            Event::FaceEnrolled {
                id,
                handle,
                template,
            },
        ),
        (None, Modality::Voice) => owned(
            handle,
            Event::VoiceEnrolled {
                id,
                handle,
                template,
            },
        ),
    };
    let mut events: Vec<_> = seen.map(|event| owned(handle, event)).into_iter().collect();
    events.push(ended);
    let alerts = duplicates.map(|found| found.alerts(cx, handle));
    events.extend(alerts.into_iter().flatten());
    events.push(claim);
    let lapse = performed.and_then(|one| one.lapse);
    let reply = match refused {
        true => Reply::Duplicate,
        false => Reply::Enrolled { lapse },
    };
    Ok(Decision { events, reply })
}

/// Whether a sample of this customer's is being worked on.
fn busy(cx: &Cx<'_>, user: &UserId, modality: Modality) -> bool {
    let known = cx.state.subject(user);
    let latest = known.and_then(|(handle, _)| cx.state.enrollment_of(&handle, modality));
    latest
        .and_then(|id| cx.state.enrollments.get(&id))
        .is_some_and(|enrollment| {
            let works = enrollment.status == EnrollmentStatus::InProgress;
            // Its completion is refused from then on.
            works && enrollment.expires_ms > cx.facts.now_ms
        })
}

fn find<'a>(cx: &'a Cx<'_>, id: EnrollmentId) -> Result<&'a Enrollment, Refusal> {
    cx.state
        .enrollments
        .get(&id)
        .ok_or(Refusal::UnknownEnrollment)
}

fn in_progress(
    cx: &Cx<'_>,
    id: EnrollmentId,
) -> Result<(crate::core::SubjectHandle, UserId), Refusal> {
    let enrollment = find(cx, id)?;
    if enrollment.status != EnrollmentStatus::InProgress {
        return Err(Refusal::EnrollmentClosed);
    }
    let subject = cx
        .state
        .subjects
        .get(&enrollment.subject)
        .ok_or(Refusal::UnknownUser)?;
    Ok((enrollment.subject, subject.user.clone()))
}
