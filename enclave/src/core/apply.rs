//! How events change the state. The only place that does.

use std::sync::Arc;

use super::approval::{self, ApprovalStatus};
use super::event::{Content, Event, Recorded};
use super::state::*;
use super::{
    bundle, device, duplicates, erasure, face, frames, fused, models, renewal, risk, ruling,
    session, strangers, throttle, voice,
};
use crate::passkeys::CredentialRecord;

/// Folds one event into the state; claims change nothing. Events come from our
/// own `decide` or from the verified ledger, so one that names something
/// unknown cannot happen; it changes nothing.
pub fn apply(state: &mut TenantState, recorded: &Recorded) {
    if let Content::State(event) = &recorded.content {
        apply_event(state, event);
    }
}

fn apply_event(state: &mut TenantState, event: &Event) {
    match event {
        Event::TenantOpened { tenant, keys } => {
            state.tenant = Some(tenant.clone());
            state.keys = Some(keys.clone());
        }
        Event::TermBegan {
            at_ms,
            max_failures,
            lockout_ms,
            ..
        } => {
            begin_term(state, *at_ms, *max_failures, *lockout_ms);
            strangers::begin_term(state, *at_ms, *max_failures, *lockout_ms);
            state.sessions.prune(*at_ms, usize::MAX);
            face::forget(state, *at_ms);
            state.throttle.begin_term(*at_ms);
            approval::begin_term(state, *at_ms);
        }
        Event::Restored {
            at_ms,
            max_failures,
            lockout_ms,
        } => restore(
            state,
            *at_ms,
            *max_failures,
            at_ms.saturating_add(*lockout_ms),
        ),
        Event::SubjectOpened { .. } | Event::SubjectNamed { .. } => open_subject(state, event),
        Event::PasskeyRegistered { .. } | Event::PasskeyUsed { .. } => apply_passkey(state, event),
        Event::EnrollmentBegan { id, enrollment } => {
            let mut earlier = None;
            with(state, &enrollment.subject, |subject| {
                earlier = subject.enrollment.replace(*id)
            });
            if let Some(earlier) = earlier {
                state.enrollments.remove(&earlier);
            }
            state.enrollments.insert(*id, enrollment.clone());
        }
        Event::EnrollmentSampleReserved { id } => {
            set_enrollment(state, id, EnrollmentStatus::InProgress)
        }
        Event::EnrollmentSampleReleased { id } => {
            set_enrollment(state, id, EnrollmentStatus::Pending)
        }
        Event::FaceEnrolled {
            id,
            handle,
            template,
        } => {
            set_enrollment(state, id, EnrollmentStatus::Completed);
            renewal::used(state, handle, template.transform);
            with(state, handle, |subject| {
                subject.face = Some(Arc::new(Template::clone(template)))
            });
        }
        Event::VoiceEnrolled {
            id,
            handle,
            template,
        } => {
            set_enrollment(state, id, EnrollmentStatus::Completed);
            renewal::used(state, handle, template.transform);
            voice::apply(state, event);
        }
        Event::VoiceEnrollmentBegan { .. } | Event::VoiceTried { .. } => voice::apply(state, event),
        Event::FusedTried { .. } => fused::apply(state, event),
        Event::AttemptReserved { .. }
        | Event::AttemptReleased { .. }
        | Event::AttemptConcluded { .. }
        | Event::LockExpired { .. } => apply_attempt(state, event),
        Event::ApprovalCreated { .. }
        | Event::ApprovalGiven { .. }
        | Event::ApprovalAsked { .. }
        | Event::ApprovalGranted { .. }
        | Event::ApprovalRejected { .. }
        | Event::ApprovalCancelled { .. }
        | Event::IdempotencyKept { .. } => approval::apply(state, event),
        Event::FaceErased { .. }
        | Event::VoiceErased { .. }
        | Event::SubjectErased { .. }
        | Event::BudgetKept { .. }
        | Event::BudgetTakenUp { .. }
        | Event::ErasuresDarkened { .. } => erasure::apply(state, event),
        Event::SessionOpened { .. } | Event::SessionsEnded { .. } | Event::AllSessionsEnded => {
            session::apply(state, event)
        }
        Event::FaceMatched { .. } => face::apply(state, event),
        Event::AttemptNoted { .. } | Event::PaymentNoted { .. } | Event::AlertRaised { .. } => {
            risk::apply(state, event)
        }
        Event::AttemptBegun { .. } => throttle::apply(state, event),
        Event::AttemptEnded { .. } => {
            throttle::apply(state, event);
            strangers::apply(state, event);
        }
        Event::StrangerTried { .. } => strangers::apply(state, event),
        Event::DeviceUsed { .. } | Event::DeviceRefused { .. } | Event::DeviceDescribed { .. } => {
            device::apply(state, event)
        }
        Event::DeviceStateSet { .. } => {
            models::count(state, event);
            device::apply(state, event);
        }
        Event::MetadataTaken { .. } | Event::ModelsJudged { .. } | Event::ModelsActedOn { .. } => {
            models::apply(state, event)
        }
        Event::BundleTaken { .. } | Event::BundleChosen { .. } => bundle::apply(state, event),
        Event::Ruled { .. } => ruling::apply(state, event),
        Event::FaceRenewed { .. } | Event::VoiceRenewed { .. } => renewal::apply(state, event),
        Event::FramesSeen { .. } => frames::apply(state, event),
        Event::DuplicateRefused { .. } => duplicates::apply(state, event),
    }
}

pub(super) fn with(
    state: &mut TenantState,
    handle: &SubjectHandle,
    change: impl FnOnce(&mut Subject),
) {
    if let Some(subject) = state.subjects.get_mut(handle) {
        change(Arc::make_mut(subject));
    }
}

fn set_enrollment(
    state: &mut TenantState,
    id: &redoubt_shared::EnrollmentId,
    status: EnrollmentStatus,
) {
    if let Some(enrollment) = state.enrollments.get_mut(id) {
        enrollment.status = status;
    }
}

/// What a dead term left reserved counts as failed; its enrolments may try
/// again. A budget used up under the policy of now locks, whichever policy it
/// was used up under.
fn begin_term(state: &mut TenantState, at_ms: u64, max_failures: u32, lockout_ms: u64) {
    voice::begin_term(state, true);
    // Found first: what does not change stays shared with snapshots.
    let touched: Vec<SubjectHandle> = state
        .subjects
        .iter()
        .filter(|(_, subject)| {
            let attempts = &subject.attempts;
            !attempts.reserved.is_empty()
                || (attempts.locked_until_ms.is_none() && attempts.failures >= max_failures)
        })
        .map(|(handle, _)| *handle)
        .collect();
    for handle in touched {
        with(state, &handle, |subject| {
            let attempts = &mut subject.attempts;
            if handle == SubjectHandle::NOBODY {
                // Strangers' are counted by name.
                return attempts.reserved.clear();
            }
            attempts.failures += attempts.reserved.len() as u32;
            attempts.reserved.clear();
            if attempts.failures >= max_failures {
                attempts.locked_until_ms = Some(at_ms.saturating_add(lockout_ms));
            }
        });
    }
    let waiting: Vec<_> = state
        .enrollments
        .iter()
        .filter(|(_, enrollment)| enrollment.status == EnrollmentStatus::InProgress)
        .map(|(id, _)| *id)
        .collect();
    for id in waiting {
        set_enrollment(state, &id, EnrollmentStatus::Pending);
    }
}

/// What was lost may have spent every attempt and every approval, and ended every
/// session. Claims of the ledger before are found in it, not here.
fn restore(state: &mut TenantState, at_ms: u64, max_failures: u32, until_ms: u64) {
    state.sessions = Default::default();
    renewal::leave_out(state);
    state.throttle.begin_term(at_ms);
    strangers::restore(state, until_ms);
    voice::begin_term(state, false);
    let handles: Vec<SubjectHandle> = state.subjects.keys().copied().collect();
    for handle in handles {
        with(state, &handle, |subject| {
            subject.attempts.reserved.clear();
            subject.attempts.failures = subject.attempts.failures.max(max_failures);
            subject.attempts.locked_until_ms = Some(until_ms);
        });
    }
    let pending: Vec<_> = state
        .approvals
        .iter()
        .filter(|(_, approval)| approval.status == ApprovalStatus::Pending)
        .map(|(id, _)| *id)
        .collect();
    for id in pending {
        approval::expire(state, &id, at_ms);
    }
}

fn open_subject(state: &mut TenantState, event: &Event) {
    match event {
        Event::SubjectOpened { handle, key } => {
            let Ok(unnamed) = "unnamed".parse() else {
                return;
            };
            let subject = Subject {
                user: unnamed,
                key: key.clone(),
                user_handle: [0; 16],
                passkeys: Default::default(),
                face: None,
                enrollment: None,
                approvals: Vec::new(),
                attempts: Attempts::default(),
            };
            state.subjects.insert(*handle, Arc::new(subject));
        }
        Event::SubjectNamed {
            handle,
            user,
            user_handle,
        } => {
            state.users.insert(user.clone(), *handle);
            with(state, handle, |subject| {
                subject.user = user.clone();
                subject.user_handle = *user_handle;
            });
        }
        _ => {}
    }
}

fn apply_passkey(state: &mut TenantState, event: &Event) {
    match event {
        Event::PasskeyRegistered { handle, record } => {
            state.credentials.insert(Arc::from(&*record.id), *handle);
            with(state, handle, |subject| {
                subject
                    .passkeys
                    .insert(record.id.clone(), CredentialRecord::clone(record));
            });
        }
        Event::PasskeyUsed {
            handle,
            credential_id,
            sign_count,
            backup_state,
        } => use_passkey(state, handle, credential_id, *sign_count, *backup_state),
        _ => {}
    }
}

pub(super) fn use_passkey(
    state: &mut TenantState,
    handle: &SubjectHandle,
    credential_id: &[u8],
    sign_count: u32,
    backup_state: bool,
) {
    with(state, handle, |subject| {
        if let Some(record) = subject.passkeys.get_mut(credential_id) {
            record.sign_count = record.sign_count.max(sign_count);
            record.backup_state = backup_state;
        }
    });
}

fn apply_attempt(state: &mut TenantState, event: &Event) {
    match event {
        Event::AttemptReserved { handle, id } => {
            with(state, handle, |subject| subject.attempts.reserved.push(*id));
        }
        Event::AttemptReleased { handle, id } => {
            with(state, handle, |subject| {
                subject.attempts.reserved.retain(|other| other != id)
            });
            voice::released(state, handle, id);
        }
        Event::AttemptConcluded {
            handle,
            id,
            accepted,
            locked_until_ms,
        } => {
            let subject = state.subjects.get(handle);
            let before = subject.map_or(0, |subject| subject.attempts.failures);
            let failures = voice::concluded(state, handle, id, *accepted, before);
            with(state, handle, |subject| {
                let attempts = &mut subject.attempts;
                attempts.reserved.retain(|other| other != id);
                attempts.failures = failures;
                if locked_until_ms.is_some() {
                    attempts.locked_until_ms = *locked_until_ms;
                }
            });
        }
        Event::LockExpired { handle } => {
            with(state, handle, |subject| {
                subject.attempts.failures = 0;
                subject.attempts.locked_until_ms = None;
            });
            voice::made_whole(state, handle);
        }
        _ => {}
    }
}
