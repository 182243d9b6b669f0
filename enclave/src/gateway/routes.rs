//! The route table: every route, the phases it exists in, who may use it, and
//! what it may refuse. Router, admission and OpenAPI document are built from it.

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter};
use redoubt_shared::supervise::Phase;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::Path;
use utoipa::openapi::path::Paths;
use utoipa_axum::PathItemExt;
use utoipa_axum::router::UtoipaMethodRouter;

use super::admit::{Access, Badge, Gate};
use super::serve::Shared;
use super::{devices as d, handlers as h, policy as p, sessions as s, templates as t, watch as w};
use crate::api::{Problem, Services, Timestamp};

/// One row of the table.
#[derive(Debug)]
pub(super) struct Route {
    /// Upper-case method.
    pub(super) method: &'static str,
    /// Path with `{}` for its parameters.
    pub(super) template: String,
    /// Phases it exists in.
    pub(super) phases: &'static [Phase],
    /// Who may use it.
    pub(super) access: Access,
    /// Refusals of its own, besides those of admission and parsing.
    pub(super) problems: &'static [fn() -> Problem],
}

impl Route {
    /// `METHOD /path`
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

/// A row with its handler.
pub(super) struct Row<S: Services> {
    pub(super) route: Arc<Route>,
    pub(super) mounted: UtoipaMethodRouter<Arc<Shared<S>>>,
}

pub(super) const ALWAYS: &[Phase] = &[
    Phase::Booted,
    Phase::AwaitingUnseal,
    Phase::Recovering,
    Phase::Serving,
    Phase::HandingOver,
    Phase::Halted,
];
const MEASURED: &[Phase] = &[
    Phase::AwaitingUnseal,
    Phase::Recovering,
    Phase::Serving,
    Phase::HandingOver,
    Phase::Halted,
];
const WAITING: &[Phase] = &[Phase::AwaitingUnseal];
// While serving, shares of new officers complete a rotation.
const UNSEALING: &[Phase] = &[Phase::AwaitingUnseal, Phase::Serving];
pub(super) const SERVING: &[Phase] = &[Phase::Serving];

const ANYONE: Access = Access::Anyone;
const BANK: Access = Access::Holders(&[Badge::Bank]);
const TENANT: Access = Access::Holders(&[Badge::Bank, Badge::ReadOnly]);
const OFFICER: Access = Access::Holders(&[Badge::Officer]);
const READERS: Access = Access::Holders(&[Badge::Bank, Badge::ReadOnly, Badge::Auditor]);

type Refusals = &'static [fn() -> Problem];

/// Several lists as one, of as many as they have together: any other number does not compile.
const fn joined<const COUNT: usize>(parts: &[Refusals]) -> [fn() -> Problem; COUNT] {
    let mut all: [fn() -> Problem; COUNT] = [Problem::internal_error; COUNT];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut one = 0;
        while one < parts[part].len() {
            all[at] = parts[part][one];
            (at, one) = (at + 1, one + 1);
        }
        part += 1;
    }
    assert!(at == COUNT);
    all
}

const SHARES: Refusals = &[
    Problem::share_refused,
    Problem::unknown_document,
    Problem::shares_disagree,
];
const EVIDENCE: Refusals = &[
    Problem::invalid_nonce,
    Problem::too_many_requests,
    Problem::malformed_request,
];
const REGISTER: Refusals = &[
    Problem::registration_failed,
    Problem::credential_exists,
    Problem::too_many_devices,
    Problem::store_unavailable,
];
const LOGIN_OPTIONS: Refusals = &[Problem::store_unavailable];
const LOGIN: Refusals = &[Problem::authentication_failed, Problem::store_unavailable];
const TAKE_METADATA: Refusals = &[
    Problem::metadata_refused,
    Problem::metadata_not_configured,
    Problem::store_unavailable,
];
const TAKE_POLICY: Refusals = &[
    Problem::policy_refused,
    Problem::policy_not_configured,
    Problem::store_unavailable,
];
const INITIATE: Refusals = &[
    Problem::consent_required,
    Problem::enrollment_busy,
    Problem::unsupported_modality,
    Problem::store_unavailable,
];
/// Of a picture, alone or one of several.
const PICTURES: Refusals = &[
    Problem::not_an_image,
    Problem::too_many_pixels,
    Problem::no_face,
    Problem::multiple_faces,
    Problem::face_too_small,
    Problem::too_dark,
    Problem::too_bright,
    Problem::blurred,
];
const RECORDINGS: Refusals = &[
    Problem::not_audio,
    Problem::audio_not_supported,
    Problem::recording_too_long,
    Problem::recording_broken,
    Problem::recording_silent,
    Problem::recording_clipped,
    Problem::too_little_speech,
    Problem::too_quiet,
    Problem::too_noisy,
];
/// Of frames, and where they are missing.
const CHALLENGED: Refusals = &[
    Problem::challenge_required,
    Problem::challenges_off,
    Problem::unknown_challenge,
    Problem::frame_count,
];
const WORKED: Refusals = &[Problem::worker_unavailable, Problem::store_unavailable];
const SUBMIT: Refusals = &joined::<34>(&[
    &[
        Problem::unknown_enrollment,
        Problem::enrollment_expired,
        Problem::enrollment_busy,
        Problem::enrollment_closed,
        Problem::duplicate_face,
        Problem::enrollments_shut,
    ],
    PICTURES,
    &[Problem::not_live],
    CHALLENGED,
    &[Problem::challenge_failed],
    RECORDINGS,
    &[
        Problem::sample_count,
        Problem::recording_repeated,
        Problem::recordings_differ,
    ],
    WORKED,
]);
const CHALLENGE: Refusals = &[Problem::challenges_off];
const COMPARED: Refusals = &joined::<25>(&[
    &[
        Problem::not_enrolled,
        Problem::unsupported_modality,
        Problem::modality_mismatch,
        || Problem::account_locked(Timestamp(0), 0),
        Problem::attempts_in_progress,
        Problem::attempts_throttled,
    ],
    PICTURES,
    RECORDINGS,
    WORKED,
]);
const COMPARE: Refusals = &joined::<29>(&[CHALLENGED, COMPARED]);
const ASK_APPROVAL: Refusals = &[
    Problem::no_passkey,
    Problem::not_enrolled,
    Problem::second_device_required,
    Problem::policy_denied,
    Problem::invalid_transaction,
    Problem::idempotency_conflict,
    Problem::too_many_approvals,
    Problem::store_unavailable,
];
const READ_APPROVAL: Refusals = &[Problem::unknown_approval, Problem::store_unavailable];
const FOLLOW_APPROVAL: Refusals = &[
    Problem::unknown_approval,
    Problem::too_many_listeners,
    Problem::store_unavailable,
];
const ANSWER_OPTIONS: Refusals = &[
    Problem::malformed_request,
    Problem::no_passkey,
    Problem::unknown_approval,
    Problem::approval_expired,
    Problem::approval_closed,
    Problem::approval_rejected,
    Problem::approval_cancelled,
    Problem::store_unavailable,
];
const APPROVE: Refusals = &[
    Problem::authentication_failed,
    Problem::no_passkey,
    Problem::unknown_approval,
    Problem::approval_expired,
    Problem::approval_closed,
    Problem::approval_rejected,
    Problem::approval_cancelled,
    Problem::already_answered,
    Problem::answered_meanwhile,
    Problem::shared_device,
    Problem::second_device_required,
    Problem::face_required,
    Problem::voice_required,
    Problem::store_unavailable,
];
const REJECT: Refusals = &[
    Problem::malformed_request,
    Problem::authentication_failed,
    Problem::no_passkey,
    Problem::unknown_approval,
    Problem::approval_expired,
    Problem::approval_closed,
    Problem::approval_rejected,
    Problem::approval_cancelled,
    Problem::already_answered,
    Problem::idempotency_conflict,
    Problem::receipt_erased,
    Problem::receipt_expired,
    Problem::store_unavailable,
];
const CANCEL: Refusals = &[
    Problem::malformed_request,
    Problem::unknown_approval,
    Problem::approval_expired,
    Problem::approval_closed,
    Problem::approval_rejected,
    Problem::approval_cancelled,
    Problem::idempotency_conflict,
    Problem::receipt_erased,
    Problem::receipt_expired,
    Problem::store_unavailable,
];
const APPROVAL_SAMPLE: Refusals = &joined::<35>(&[
    CHALLENGED,
    &[
        Problem::unknown_approval,
        Problem::approval_expired,
        Problem::approval_closed,
        Problem::approval_rejected,
        Problem::approval_cancelled,
        Problem::already_answered,
    ],
    COMPARED,
]);
const READ_RECEIPT: Refusals = &[
    Problem::unknown_receipt,
    Problem::receipt_erased,
    Problem::receipt_expired,
    Problem::store_unavailable,
];
const READ_AUDIT: Refusals = &[
    Problem::malformed_request,
    Problem::unknown_tenant,
    Problem::store_unavailable,
];
/// What is done to what is enrolled, without a sample.
const OF_ENROLLED: Refusals = &[
    Problem::not_enrolled,
    Problem::unsupported_modality,
    Problem::store_unavailable,
];
const ERASE_SUBJECT: Refusals = &[Problem::unknown_subject, Problem::store_unavailable];
const READ_ERASURE: Refusals = &[Problem::unknown_erasure, Problem::store_unavailable];
const ROTATE: Refusals = &[
    Problem::rotation_in_progress,
    Problem::custodian_unavailable,
    Problem::store_unavailable,
];
const HAND_OVER: Refusals = &[
    Problem::order_not_signed,
    Problem::order_other_manifest,
    Problem::order_other_ledger,
    Problem::order_other_giver,
    Problem::order_other_recipient,
    Problem::order_other_config,
    Problem::order_recipient_refused,
    Problem::order_expired,
    Problem::order_spent,
    Problem::rotation_in_progress,
    Problem::store_unavailable,
    Problem::not_fresh,
];
const TAKE_OVER: Refusals = &[
    Problem::no_envelope,
    Problem::order_expired,
    Problem::store_unavailable,
];
const HALT: Refusals = &[
    Problem::order_not_signed,
    Problem::order_other_manifest,
    Problem::order_other_ledger,
    Problem::order_other_giver,
    Problem::order_expired,
];
const READ_EPOCHS: Refusals = &[Problem::store_unavailable];

const READ_SESSION: Refusals = &[Problem::store_unavailable];
const READ_DEVICES: Refusals = &[Problem::unknown_subject, Problem::store_unavailable];
const READ_ALERTS: Refusals = &[Problem::malformed_request, Problem::store_unavailable];
const ONE_DEVICE: Refusals = &[
    Problem::unknown_subject,
    Problem::unknown_device,
    Problem::store_unavailable,
];
const SET_DEVICE: Refusals = &[
    Problem::unknown_subject,
    Problem::unknown_device,
    Problem::device_closed,
    Problem::device_barred,
    Problem::store_unavailable,
];

/// The table.
#[rustfmt::skip]
pub(super) fn table<S: Services>() -> Vec<Row<S>> {
    vec![
        row(h::__path_health, h::health::<S>, ALWAYS, ANYONE, &[]),
        row(h::__path_openapi, h::openapi::<S>, ALWAYS, ANYONE, &[]),
        row(h::__path_attestation, h::attestation::<S>, MEASURED, ANYONE, EVIDENCE),
        row(h::__path_submit_share, h::submit_share::<S>, UNSEALING, ANYONE, SHARES),
        row(h::__path_register_options, h::register_options::<S>, SERVING, BANK, REGISTER),
        row(h::__path_register_verify, h::register_verify::<S>, SERVING, BANK, REGISTER),
        row(h::__path_authenticate_options, h::authenticate_options::<S>, SERVING, BANK, LOGIN_OPTIONS),
        row(h::__path_authenticate_verify, h::authenticate_verify::<S>, SERVING, BANK, LOGIN),
        row(h::__path_related_origins, h::related_origins::<S>, SERVING, TENANT, &[]),
        row(h::__path_put_metadata, h::put_metadata::<S>, SERVING, BANK, TAKE_METADATA),
        row(h::__path_get_metadata, h::get_metadata::<S>, SERVING, TENANT, &[Problem::store_unavailable]),
        row(p::__path_put_policy, p::put_policy::<S>, SERVING, BANK, TAKE_POLICY),
        row(p::__path_get_policy, p::get_policy::<S>, SERVING, TENANT, &[Problem::store_unavailable]),
        row(p::__path_order_policy, p::order_policy::<S>, SERVING, BANK, TAKE_POLICY),
        row(p::__path_try_policy, p::try_policy::<S>, SERVING, BANK, TAKE_POLICY),
        row(h::__path_liveness_challenge, h::liveness_challenge::<S>, SERVING, BANK, CHALLENGE),
        row(h::__path_enroll_initiate, h::enroll_initiate::<S>, SERVING, BANK, INITIATE),
        row(h::__path_enroll_submit, h::enroll_submit::<S>, SERVING, BANK, SUBMIT),
        row(h::__path_verify, h::verify::<S>, SERVING, BANK, COMPARE),
        row(h::__path_create_approval, h::create_approval::<S>, SERVING, BANK, ASK_APPROVAL),
        row(h::__path_get_approval, h::get_approval::<S>, SERVING, TENANT, READ_APPROVAL),
        row(h::__path_verify_approval, h::verify_approval::<S>, SERVING, BANK, APPROVE),
        row(h::__path_approval_options, h::approval_options::<S>, SERVING, BANK, ANSWER_OPTIONS),
        row(h::__path_approval_face, h::approval_face::<S>, SERVING, BANK, APPROVAL_SAMPLE),
        row(h::__path_approval_voice, h::approval_voice::<S>, SERVING, BANK, APPROVAL_SAMPLE),
        row(h::__path_reject_approval, h::reject_approval::<S>, SERVING, BANK, REJECT),
        row(h::__path_cancel_approval, h::cancel_approval::<S>, SERVING, BANK, CANCEL),
        row(h::__path_follow_approval, h::follow_approval::<S>, SERVING, TENANT, FOLLOW_APPROVAL),
        row(h::__path_receipt, h::receipt::<S>, SERVING, READERS, READ_RECEIPT),
        row(h::__path_audit_events, h::audit_events::<S>, SERVING, READERS, READ_AUDIT),
        row(h::__path_audit_export, h::audit_export::<S>, SERVING, READERS, READ_AUDIT),
        row(h::__path_erase_modality, h::erase_modality::<S>, SERVING, BANK, OF_ENROLLED),
        row(t::__path_renew_template, t::renew_template::<S>, SERVING, BANK, OF_ENROLLED),
        row(h::__path_erase_subject, h::erase_subject::<S>, SERVING, BANK, ERASE_SUBJECT),
        row(h::__path_get_erasure, h::get_erasure::<S>, SERVING, TENANT, READ_ERASURE),
        row(h::__path_rotate_epoch, h::rotate_epoch::<S>, SERVING, OFFICER, ROTATE),
        row(h::__path_epoch_status, h::epoch_status::<S>, SERVING, OFFICER, READ_EPOCHS),
        row(h::__path_hand_over, h::hand_over::<S>, SERVING, OFFICER, HAND_OVER),
        row(h::__path_take_over, h::take_over::<S>, WAITING, OFFICER, TAKE_OVER),
        row(s::__path_introspect, s::introspect::<S>, SERVING, BANK, READ_SESSION),
        row(s::__path_revoke_token, s::revoke_token::<S>, SERVING, BANK, READ_SESSION),
        row(s::__path_end_all_sessions, s::end_all_sessions::<S>, SERVING, BANK, READ_SESSION),
        row(s::__path_end_user_sessions, s::end_user_sessions::<S>, SERVING, BANK, READ_DEVICES),
        row(s::__path_end_device_sessions, s::end_device_sessions::<S>, SERVING, BANK, ONE_DEVICE),
        row(s::__path_jwks, s::jwks::<S>, SERVING, TENANT, &[]),
        row(d::__path_devices, d::devices::<S>, SERVING, TENANT, READ_DEVICES),
        row(d::__path_describe_device, d::describe_device::<S>, SERVING, BANK, ONE_DEVICE),
        row(d::__path_set_device_state, d::set_device_state::<S>, SERVING, BANK, SET_DEVICE),
        row(w::__path_history, w::history::<S>, SERVING, TENANT, READ_DEVICES),
        row(w::__path_stats, w::stats::<S>, SERVING, TENANT, READ_DEVICES),
        row(w::__path_security_alerts, w::security_alerts::<S>, SERVING, TENANT, READ_ALERTS),
        row(h::__path_halt, h::halt::<S>, MEASURED, OFFICER, HALT),
    ]
}

fn row<P, H, T, S>(
    _: P,
    handler: H,
    phases: &'static [Phase],
    access: Access,
    problems: &'static [fn() -> Problem],
) -> Row<S>
where
    P: Path + SchemaReferences + for<'t> Tags<'t>,
    H: Handler<T, Arc<Shared<S>>>,
    T: 'static,
    S: Services,
{
    let (template, methods) = (P::path(), P::methods());
    let mut operation = P::operation();
    operation.tags = Some(P::tags().iter().map(ToString::to_string).collect());
    let (mut schemas, mut paths) = (Vec::new(), Paths::new());
    P::schemas(&mut schemas);
    let filter = methods
        .iter()
        .map(PathItemExt::to_method_filter)
        .reduce(MethodFilter::or)
        .unwrap_or(MethodFilter::GET);
    let method = match filter {
        MethodFilter::POST => "POST",
        MethodFilter::PUT => "PUT",
        MethodFilter::DELETE => "DELETE",
        _ => "GET",
    };
    paths.add_path_operation(&template, methods, operation);
    let route = Route {
        method,
        template,
        phases,
        access,
        problems,
    };
    Row {
        route: Arc::new(route),
        mounted: (schemas, paths, MethodRouter::new().on(filter, handler)),
    }
}

impl<S: Services> Row<S> {
    /// Puts the row's own gate in front of its handler.
    pub(super) fn gated(self, services: &Arc<S>) -> UtoipaMethodRouter<Arc<Shared<S>>> {
        let (schemas, paths, handler) = self.mounted;
        let gate = Gate {
            route: self.route,
            services: services.clone(),
        };
        (schemas, paths, handler.route_layer(gate))
    }
}
