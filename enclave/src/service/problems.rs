//! From inner refusals to what a caller may read.

use redoubt_shared::worker::SampleRefusal;

use super::serving::Serving;
use crate::api::{Problem, Timestamp, told};
use crate::biometrics::Unfit;
use crate::core::{Lapse, Refusal};
use crate::ledger::{CommitError, SnapshotFailed};
use crate::passkeys::metadata::MetadataError;
use crate::worker_link::WorkerError;

/// The appliance's own fault.
pub(super) fn internal(cause: &'static str) -> Problem {
    Problem::internal_error().because(cause)
}

/// A commit that failed.
pub(super) fn commit(error: CommitError, now_ms: u64) -> Problem {
    match error {
        CommitError::Refused(refusal) => refused(refusal, now_ms),
        CommitError::Halted => Problem::request_deadline().because("the ledger stopped"),
        CommitError::NoTime => Problem::not_serving().because("no trusted time"),
        CommitError::Busy => Problem::busy(),
        CommitError::UnknownTenant => internal("a caller of a tenant without a ledger"),
        CommitError::UnknownReceipt => Problem::unknown_receipt(),
        CommitError::Expired => Problem::receipt_expired(),
        CommitError::Erased => Problem::receipt_erased(),
        CommitError::NoStore => Problem::store_unavailable().because("the store does not answer"),
        CommitError::NotFresh => Problem::not_fresh(),
        CommitError::Snapshot(SnapshotFailed::UnderWay) => Problem::rotation_in_progress(),
        CommitError::Snapshot(SnapshotFailed::Refused(_)) => {
            Problem::store_unavailable().because("the store took no snapshot")
        }
        CommitError::HandedOver => Problem::handing_over(),
        CommitError::OrderSpent => Problem::order_spent(),
        CommitError::OrderExpired => Problem::order_expired(),
        CommitError::NotSealed => internal("the envelope could not be sealed"),
        CommitError::Damaged => {
            Problem::store_unavailable().because("the store returned a damaged entry")
        }
    }
}

/// A later step of a request: what the steps before decided stands in the ledger, so
/// that "not acknowledged, send it again" would not be the truth.
pub(super) fn in_part(problem: Problem) -> Problem {
    match problem.is(Problem::handing_over) {
        true => Problem::request_deadline().because("handed over between its steps"),
        false => problem,
    }
}

/// Whole seconds until then, at least one.
fn seconds_to(until_ms: u64, now_ms: u64) -> u32 {
    let left = until_ms.saturating_sub(now_ms).div_ceil(1000);
    u32::try_from(left).unwrap_or(u32::MAX).max(1)
}

pub(super) fn refused(refusal: Refusal, now_ms: u64) -> Problem {
    match refusal {
        Refusal::UnknownUser | Refusal::UnknownCredential => Problem::no_passkey(),
        Refusal::TooMany => Problem::too_many_requests(),
        Refusal::TooManyApprovals => Problem::too_many_approvals(),
        Refusal::TooManyDevices => Problem::too_many_devices(),
        Refusal::CredentialTaken => Problem::credential_exists(),
        Refusal::StaleOptions => Problem::registration_failed(),
        Refusal::ConsentRequired => Problem::consent_required(),
        Refusal::UnknownEnrollment => Problem::unknown_enrollment(),
        Refusal::EnrollmentExpired => Problem::enrollment_expired(),
        Refusal::EnrollmentBusy => Problem::enrollment_busy(),
        Refusal::EnrollmentClosed => Problem::enrollment_closed(),
        Refusal::DuplicateFace => Problem::duplicate_face(),
        Refusal::TemplateMoved => {
            Problem::store_unavailable().because("another template was stored meanwhile")
        }
        Refusal::NotEnrolled => Problem::not_enrolled(),
        Refusal::Throttled { until_ms } => {
            Problem::attempts_throttled().retry_after(seconds_to(until_ms, now_ms))
        }
        Refusal::EnrollmentsShut { until_ms } => {
            Problem::enrollments_shut().retry_after(seconds_to(until_ms, now_ms))
        }
        Refusal::Locked { until_ms } => Problem::account_locked(Timestamp(until_ms), now_ms),
        Refusal::AttemptsInProgress => Problem::attempts_in_progress(),
        // The template was erased while the sample was being worked on.
        Refusal::UnknownAttempt => Problem::not_enrolled(),
        Refusal::UnknownApproval => Problem::unknown_approval(),
        Refusal::ApprovalSpent => Problem::approval_closed(),
        Refusal::ApprovalExpired => Problem::approval_expired(),
        Refusal::ApprovalRejected => Problem::approval_rejected(),
        Refusal::ApprovalCancelled => Problem::approval_cancelled(),
        Refusal::AlreadyAnswered => Problem::already_answered(),
        Refusal::AnsweredMeanwhile => Problem::answered_meanwhile(),
        Refusal::OnePersonTwice | Refusal::ImpossibleTerms => Problem::malformed_request().detail(
            "approvers: name 1 to 16 customers, each once, and require 1 of them at least.",
        ),
        Refusal::SharedDevice => Problem::shared_device(),
        Refusal::SecondDeviceNeeded => Problem::second_device_required(),
        Refusal::FaceNeeded => Problem::face_required(),
        Refusal::VoiceNeeded => Problem::voice_required(),
        Refusal::IdempotencyConflict => Problem::idempotency_conflict(),
        Refusal::UnknownSubject => Problem::unknown_subject(),
        Refusal::UnknownErasure => Problem::unknown_erasure(),
        Refusal::UnknownSession => internal("a session that nobody named"),
        Refusal::UnknownDevice => Problem::unknown_device(),
        Refusal::DeviceClosed => Problem::device_closed(),
        Refusal::ModelCompromised => Problem::registration_failed().because("model_compromised"),
        Refusal::DeviceBarred => Problem::device_barred(),
        Refusal::MetadataRolledBack => super::metadata::refused(MetadataError::RolledBack),
        Refusal::MetadataForked => super::metadata::refused(MetadataError::Forked),
        Refusal::PolicyAsks(_) => internal("the tenant's policy was not asked"),
        Refusal::BundleRolledBack => super::policy::refused(
            "version_rolled_back",
            "a bundle of this version or a higher one was taken before",
        ),
        Refusal::ActivationMoved => super::policy::refused(
            "order_spent",
            "the order follows another activation than the last",
        ),
        Refusal::ChallengeFailed(lapse) => challenge_failed(lapse),
        Refusal::UnknownBundle => {
            super::policy::refused("unknown_version", "no bundle of this version is kept")
        }
    }
}

/// A sample that gave no embedding: the problem, and the stable reason recorded.
pub(super) fn sample(error: &WorkerError) -> (Problem, &'static str) {
    match error {
        WorkerError::Unavailable => (Problem::worker_unavailable(), "worker_unavailable"),
        WorkerError::Busy => (Problem::too_many_requests(), "worker_busy"),
        WorkerError::Deadline => (Problem::worker_unavailable(), "worker_deadline"),
        WorkerError::Untrusted(_) => (Problem::worker_unavailable(), "worker_untrusted"),
        WorkerError::Disagreed => (Problem::worker_unavailable(), "worker_disagreed"),
        WorkerError::Refused(refusal) => sample_refused(*refusal),
        WorkerError::FrameRefused(frame, refusal) => {
            let (problem, reason) = sample_refused(*refusal);
            let detail = format!("Frame {}: {}", frame + 1, problem.kind().detail);
            match problem.status() {
                422 => (problem.detail(detail), reason),
                _ => (problem, reason),
            }
        }
    }
}

/// An enrolment whose challenge was not answered, in the customer's words.
pub(super) fn challenge_failed(lapse: Lapse) -> Problem {
    Problem::challenge_failed().detail(format!("{}: {}", lapse.name(), told(lapse)))
}

fn sample_refused(refusal: SampleRefusal) -> (Problem, &'static str) {
    match refusal {
        SampleRefusal::NotAnImage => (Problem::not_an_image(), "not_an_image"),
        SampleRefusal::TooManyPixels => (Problem::too_many_pixels(), "too_many_pixels"),
        SampleRefusal::NoFace => (Problem::no_face(), "no_face"),
        SampleRefusal::ManyFaces => (Problem::multiple_faces(), "multiple_faces"),
        SampleRefusal::FaceTooSmall => (Problem::face_too_small(), "face_too_small"),
        SampleRefusal::TooDark => (Problem::too_dark(), "too_dark"),
        SampleRefusal::TooBright => (Problem::too_bright(), "too_bright"),
        SampleRefusal::Blurred => (Problem::blurred(), "blurred"),
        SampleRefusal::Deadline => (Problem::worker_unavailable(), "worker_deadline"),
        SampleRefusal::Busy => (Problem::too_many_requests(), "worker_busy"),
        SampleRefusal::Failed => (Problem::worker_unavailable(), "worker_failed"),
        SampleRefusal::NotAudio => (Problem::not_audio(), "not_audio"),
        SampleRefusal::AudioNotSupported => (Problem::audio_not_supported(), "audio_not_supported"),
        SampleRefusal::TooLong => (Problem::recording_too_long(), "recording_too_long"),
        SampleRefusal::NotFinite => (Problem::recording_broken(), "recording_broken"),
        SampleRefusal::Silent => (Problem::recording_silent(), "recording_silent"),
        SampleRefusal::Clipped => (Problem::recording_clipped(), "recording_clipped"),
        SampleRefusal::TooLittleSpeech => (Problem::too_little_speech(), "too_little_speech"),
        SampleRefusal::TooQuiet => (Problem::too_quiet(), "too_quiet"),
        SampleRefusal::TooNoisy => (Problem::too_noisy(), "too_noisy"),
        SampleRefusal::FrameCount => (Problem::frame_count(), "frame_count"),
        SampleRefusal::NotSupported => (Problem::worker_unavailable(), "worker_failed"),
    }
}

/// Recordings that make no template.
pub(super) fn unfit(unfit: Unfit) -> (Problem, &'static str) {
    match unfit {
        Unfit::Incomplete => (Problem::sample_count(), "sample_count"),
        Unfit::Repeated => (Problem::recording_repeated(), "recording_repeated"),
        Unfit::Differ => (Problem::recordings_differ(), "recordings_differ"),
    }
}

/// The tier of the worker that saw a sample, if the problem is about the sample.
pub(super) fn seen_at(problem: &Problem, serving: &Serving) -> Option<String> {
    let about_the_sample = problem.status() == 422;
    about_the_sample
        .then(|| serving.worker.tier().map(|tier| tier.name().to_owned()))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_decided_in_part_is_not_told_to_come_again() {
        let first = commit(CommitError::HandedOver, 0);
        assert_eq!((first.code(), first.status()), ("handing_over", 503));
        let later = in_part(first);
        assert_eq!((later.code(), later.status()), ("request_deadline", 504));
        let other = in_part(commit(CommitError::Busy, 0));
        assert_eq!(other.code(), "busy");
    }
}
