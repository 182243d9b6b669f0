//! One function per route: typed in, typed out, no decision.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;

use super::extract::{
    Asked, Binding, Client, Idempotency, LedgerReader, Named, NamedPair, Received, ReceivedBlob,
    ReceivedSample, Upload,
};
use super::feed;
use super::reply::{Reply, json_lines, json_text};
use super::serve::Shared;
use super::websocket::Handshake;
use crate::api::*;

pub(super) type Asker<S> = State<Arc<Shared<S>>>;
pub(super) type Outcome<T> = Result<Reply<T>, Problem>;

#[derive(Deserialize)]
pub(super) struct EvidenceQuery {
    nonce: String,
    #[serde(default)]
    purpose: Purpose,
}

/// Evidence: a fresh attestation document bound to this TLS session.
#[utoipa::path(
    get, path = "/.well-known/attestation", tag = "evidence",
    params(
        ("nonce" = String, Query, description = "8 to 64 fresh bytes, base64url or hexadecimal",
            pattern = r"^([0-9A-Fa-f]{2}){8,64}$|^([A-Za-z0-9_-]{4}){2}([A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])$|^([A-Za-z0-9_-]{4}){3,20}([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$|^([A-Za-z0-9_-]{4}){21}([A-Za-z0-9_-][AQgw])?$"),
        ("purpose" = inline(Option<Purpose>), Query, description = "What the key is for; serve if absent"),
    ),
    responses((status = 200, description = "The document and its preimage", body = AttestationReply)),
)]
pub(super) async fn attestation<S: Services>(
    State(shared): Asker<S>,
    binding: Binding,
    Asked(query): Asked<EvidenceQuery>,
) -> Outcome<AttestationReply> {
    let nonce = read_nonce(&query.nonce).ok_or_else(Problem::invalid_nonce)?;
    if !shared.attestations[usize::from(binding.anonymous)].take() {
        return Err(Problem::too_many_requests());
    }
    let request = AttestationRequest {
        purpose: query.purpose,
        nonce,
        exporter: binding.exporter,
    };
    Ok(Reply::ok(shared.services.attestation(request).await?))
}

/// Text of hexadecimal digits only, 16 or more and an even number, is
/// hexadecimal; everything else is base64url.
pub(super) fn read_nonce(text: &str) -> Option<Vec<u8>> {
    let hexadecimal = text.len() >= 16
        && text.len().is_multiple_of(2)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let nonce = if hexadecimal {
        hex::decode(text).ok()
    } else {
        URL_SAFE_NO_PAD.decode(text).ok()
    };
    nonce.filter(|nonce| (8..=64).contains(&nonce.len()))
}

/// Hands in one officer's share, sealed to this boot's unseal key.
#[utoipa::path(
    post, path = "/api/v1/unseal/share", tag = "evidence", request_body = ShareSubmission,
    responses((status = 202, description = "Taken", body = ShareAccepted)),
)]
pub(super) async fn submit_share<S: Services>(
    State(shared): Asker<S>,
    Received(share): Received<ShareSubmission>,
) -> Outcome<ShareAccepted> {
    let accepted = shared.services.submit_share(share).await?;
    Ok(Reply(StatusCode::ACCEPTED, accepted))
}

/// Options to create a passkey (`PublicKeyCredentialCreationOptionsJSON`).
#[utoipa::path(
    post, path = "/api/v1/passkeys/register/options", tag = "passkeys",
    request_body = RegisterOptions,
    responses((status = 200, description = "For `navigator.credentials.create`", body = CreationOptions)),
)]
pub(super) async fn register_options<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<RegisterOptions>,
) -> Outcome<CreationOptions> {
    let options = shared.services.register_options(caller, request).await?;
    Ok(Reply::ok(options))
}

/// Registers the created passkey (`RegistrationResponseJSON` and `user_id`).
#[utoipa::path(
    post, path = "/api/v1/passkeys/register/verify", tag = "passkeys",
    request_body = PresentedRegistration,
    responses((status = 200, description = "Registered", body = Registered)),
)]
pub(super) async fn register_verify<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<PresentedRegistration>,
) -> Outcome<Registered> {
    let registered = shared.services.register_verify(caller, request).await?;
    Ok(Reply::ok(registered))
}

/// Options to use a passkey (`PublicKeyCredentialRequestOptionsJSON`). A `user_id`
/// that no passkey belongs to gets options of the same shape, the same each time.
#[utoipa::path(
    post, path = "/api/v1/passkeys/authenticate/options", tag = "passkeys",
    request_body = AuthenticateOptions,
    responses((status = 200, description = "For `navigator.credentials.get`", body = RequestOptions)),
)]
pub(super) async fn authenticate_options<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<AuthenticateOptions>,
) -> Outcome<RequestOptions> {
    let options = shared
        .services
        .authenticate_options(caller, request)
        .await?;
    Ok(Reply::ok(options))
}

/// Verifies the use of a passkey (`AuthenticationResponseJSON`, and `user_id` if the options had it).
#[utoipa::path(
    post, path = "/api/v1/passkeys/authenticate/verify", tag = "passkeys",
    request_body = PresentedLogin,
    responses((status = 200, description = "Authenticated", body = Authenticated)),
)]
pub(super) async fn authenticate_verify<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<PresentedLogin>,
) -> Outcome<Authenticated> {
    let authenticated = shared.services.authenticate_verify(caller, request).await?;
    Ok(Reply::ok(authenticated))
}

/// Takes a FIDO metadata BLOB as its service signed it, and acts on it.
#[utoipa::path(
    put, path = "/api/v1/admin/metadata", tag = "passkeys",
    request_body(content = String, content_type = "application/jose",
        description = "The BLOB, at most 8 MiB; application/octet-stream is read too"),
    responses((status = 200, description = "Taken; what it changed", body = MetadataTaken)),
)]
pub(super) async fn put_metadata<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    ReceivedBlob(blob, _budget): ReceivedBlob,
) -> Outcome<MetadataTaken> {
    Ok(Reply::ok(shared.services.put_metadata(caller, blob).await?))
}

/// The FIDO metadata in force, and what it says of each model.
#[utoipa::path(
    get, path = "/api/v1/admin/metadata", tag = "passkeys",
    responses((status = 200, description = "As it stands", body = MetadataStatus)),
)]
pub(super) async fn get_metadata<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
) -> Outcome<MetadataStatus> {
    Ok(Reply::ok(shared.services.get_metadata(caller).await?))
}

/// What to serve at `https://RP-ID/.well-known/webauthn`.
#[utoipa::path(
    get, path = "/api/v1/passkeys/related-origins", tag = "passkeys",
    responses((status = 200, description = "To be copied, or passed on", body = RelatedOrigins)),
)]
pub(super) async fn related_origins<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
) -> Outcome<RelatedOrigins> {
    Ok(Reply::ok(shared.services.related_origins(caller).await?))
}

/// Starts an enrolment.
#[utoipa::path(
    post, path = "/api/v1/enroll/initiate", tag = "biometrics", request_body = EnrollInitiate,
    responses((status = 201, description = "Started", body = EnrollInitiated)),
)]
pub(super) async fn enroll_initiate<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<EnrollInitiate>,
) -> Outcome<EnrollInitiated> {
    let initiated = shared.services.enroll_initiate(caller, request).await?;
    Ok(Reply(StatusCode::CREATED, initiated))
}

/// The form of `enroll/submit`, for the OpenAPI document.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes a form that is read as a stream")]
pub(super) struct EnrollForm {
    /// JPEG, PNG or WebP of a face, or the first recording of a voice, WAV, FLAC or Opus (in Ogg or WebM);
    /// at most 8 MiB. In place of a picture, the JSON of a `LivenessAnswer`.
    #[schema(value_type = String, format = Binary, min_length = 1)]
    biometric_file: Vec<u8>,
    /// Of a voice: the second recording.
    #[schema(value_type = String, required = false, format = Binary, min_length = 1)]
    biometric_file_2: Option<Vec<u8>>,
    /// Of a voice: the third recording.
    #[schema(value_type = String, required = false, format = Binary, min_length = 1)]
    biometric_file_3: Option<Vec<u8>>,
}

/// Hands in the samples of an enrolment: one of a face, three of a voice.
#[utoipa::path(
    post, path = "/api/v1/enroll/submit", tag = "biometrics", params(EnrollSubmit),
    request_body(content = EnrollForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Completed", body = Enrolled)),
)]
pub(super) async fn enroll_submit<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Asked(request): Asked<EnrollSubmit>,
    Upload(samples, _budget): Upload,
) -> Outcome<Enrolled> {
    let enrolled = shared
        .services
        .enroll_submit(caller, request, samples)
        .await?;
    Ok(Reply::ok(enrolled))
}

/// What is compared is not too large.
fn bounded(request: &VerifyRequest, limit: usize) -> Result<(), Problem> {
    match request.bytes() > limit {
        true => Err(Problem::body_too_large()),
        false => Ok(()),
    }
}

/// Draws a challenge for a customer, moves of the face or digits to read; while one is open, the same again.
#[utoipa::path(
    post, path = "/api/v1/liveness/challenge", tag = "biometrics", request_body = ChallengeRequest,
    responses((status = 200, description = "What the customer is to do", body = LivenessChallenge)),
)]
pub(super) async fn liveness_challenge<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Received(request): Received<ChallengeRequest>,
) -> Outcome<LivenessChallenge> {
    let drawn = shared.services.liveness_challenge(caller, request).await?;
    Ok(Reply::ok(drawn))
}

/// Compares a sample with the customer's template.
#[utoipa::path(
    post, path = "/api/v1/verify", tag = "biometrics", request_body = VerifyRequest,
    responses((status = 200, description = "The verdict", body = Verification)),
)]
pub(super) async fn verify<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    ReceivedSample(request, _budget): ReceivedSample<VerifyRequest>,
) -> Outcome<Verification> {
    bounded(&request, shared.limits.sample)?;
    let verification = shared.services.verify(caller, request).await?;
    Ok(Reply::ok(verification))
}

/// The header of a request that may be sent again, for the OpenAPI document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes a header that is read by its extractor")]
pub(super) struct Retry {
    /// Makes a retry find the first answer; 1 to 128 visible ASCII characters.
    #[param(rename = "Idempotency-Key", pattern = "^[!#-~]{1,128}$")]
    key: Option<String>,
}

/// Asks for a customer's approval of a transaction.
#[utoipa::path(
    post, path = "/api/v1/approvals", tag = "approvals", request_body = ApprovalRequest,
    params(Retry),
    responses((status = 201, description = "Pending", body = ApprovalCreated)),
)]
pub(super) async fn create_approval<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    Idempotency(key): Idempotency,
    Received(request): Received<ApprovalRequest>,
) -> Outcome<ApprovalCreated> {
    let created = shared
        .services
        .create_approval(caller, request, key)
        .await?;
    Ok(Reply(StatusCode::CREATED, created))
}

/// An approval as it stands.
#[utoipa::path(
    get, path = "/api/v1/approvals/{id}", tag = "approvals",
    params(("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands", body = Approval)),
)]
pub(super) async fn get_approval<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<Approval> {
    let id = name.parse(Problem::unknown_approval)?;
    Ok(Reply::ok(shared.services.get_approval(caller, id).await?))
}

/// Hands in the customer's answer (`AuthenticationResponseJSON` and `user_id`).
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/verify", tag = "approvals",
    params(("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$")),
    request_body = PresentedAuthentication,
    responses((status = 200, description = "Taken; with its proof once approved", body = ApprovalVerified)),
)]
pub(super) async fn verify_approval<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    Received(request): Received<PresentedAuthentication>,
) -> Outcome<ApprovalVerified> {
    let id = name.parse(Problem::unknown_approval)?;
    let verified = shared.services.verify_approval(caller, id, request).await?;
    Ok(Reply::ok(verified))
}

/// Options for the next answer of one of those asked.
#[utoipa::path(
    get, path = "/api/v1/approvals/{id}/options", tag = "approvals",
    params(
        ("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$"),
        ("user_id" = String, Query, description = "One of those asked", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("purpose" = inline(Option<AnswerPurpose>), Query, description = "approval if absent"),
    ),
    responses((status = 200, description = "For `navigator.credentials.get`", body = RequestOptions)),
)]
pub(super) async fn approval_options<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    Asked(query): Asked<AnswerOptions>,
) -> Outcome<RequestOptions> {
    let id = name.parse(Problem::unknown_approval)?;
    let options = shared.services.approval_options(caller, id, query).await?;
    Ok(Reply::ok(options))
}

/// Verifies the face that an approval asks for: an attempt like any other.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/face", tag = "approvals",
    params(("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$")),
    request_body = VerifyRequest,
    responses((status = 200, description = "The verdict", body = Verification)),
)]
pub(super) async fn approval_face<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    ReceivedSample(request, _budget): ReceivedSample<VerifyRequest>,
) -> Outcome<Verification> {
    approval_sample(&shared, caller, (name, Modality::Facial), request).await
}

/// Verifies the voice that an approval asks for: an attempt like any other. A recording or a
/// cloned voice passes.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/voice", tag = "approvals",
    params(("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$")),
    request_body = VerifyRequest,
    responses((status = 200, description = "The verdict", body = Verification)),
)]
pub(super) async fn approval_voice<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    ReceivedSample(request, _budget): ReceivedSample<VerifyRequest>,
) -> Outcome<Verification> {
    approval_sample(&shared, caller, (name, Modality::Voice), request).await
}

async fn approval_sample<S: Services>(
    shared: &Shared<S>,
    caller: Caller,
    (name, modality): (Named, Modality),
    request: VerifyRequest,
) -> Outcome<Verification> {
    let id = name.parse(Problem::unknown_approval)?;
    bounded(&request, shared.limits.sample)?;
    let sample = shared
        .services
        .approval_sample(caller, id, modality, request);
    Ok(Reply::ok(sample.await?))
}

/// A customer rejects.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/reject", tag = "approvals",
    params(
        ("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$"),
        Retry,
    ),
    request_body = Rejection,
    responses((status = 200, description = "Recorded", body = ApprovalVerified)),
)]
pub(super) async fn reject_approval<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    Idempotency(key): Idempotency,
    Received(request): Received<Rejection>,
) -> Outcome<ApprovalVerified> {
    let id = name.parse(Problem::unknown_approval)?;
    let services = &shared.services;
    let rejected = services.reject_approval(caller, id, request, key).await?;
    Ok(Reply::ok(rejected))
}

/// Takes an approval back.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/cancel", tag = "approvals",
    params(
        ("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$"),
        Retry,
    ),
    responses((status = 200, description = "Taken back", body = ApprovalVerified)),
)]
pub(super) async fn cancel_approval<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    Idempotency(key): Idempotency,
) -> Outcome<ApprovalVerified> {
    let id = name.parse(Problem::unknown_approval)?;
    let cancelled = shared.services.cancel_approval(caller, id, key).await?;
    Ok(Reply::ok(cancelled))
}

/// An approval's changes until it ends, as server-sent events, or as messages of a
/// WebSocket for who asks so.
#[utoipa::path(
    get, path = "/api/v1/approvals/{id}/events", tag = "approvals",
    params(("id" = String, Path, description = "approval_id", pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, content_type = "text/event-stream", body = ApprovalChange,
        description = "`event: status` with `data:` of this schema: first as it stands, then each change; \
            a comment every 15 seconds; ends with the approval"),
        (status = 101, description = "Asked for with `Upgrade: websocket` over HTTP/1.1 (RFC 6455): each \
            change as a text message of the same schema, a ping every 15 seconds, closed with 1000 where the approval ended")),
)]
pub(super) async fn follow_approval<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
    handshake: Handshake,
) -> Result<Response, Problem> {
    let id = name.parse(Problem::unknown_approval)?;
    let feed = shared.services.follow_approval(caller, id).await?;
    Ok(handshake.open(feed).unwrap_or_else(feed::response))
}

/// A receipt with its evidence.
#[utoipa::path(
    get, path = "/api/v1/receipts/{id}", tag = "evidence",
    params(("id" = String, Path, description = "receipt_id", pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "The receipt", body = Object)),
)]
pub(super) async fn receipt<S: Services>(
    State(shared): Asker<S>,
    LedgerReader(reader): LedgerReader,
    name: Named,
) -> Outcome<Document> {
    let id = name.parse(Problem::unknown_receipt)?;
    Ok(Reply::ok(shared.services.receipt(reader, id).await?))
}

/// Claims of a tenant's ledger, by filter, page by page.
#[utoipa::path(
    get, path = "/api/v1/audit/events", tag = "audit", params(EventsQuery),
    responses((status = 200, description = "Those that match", body = EventsPage)),
)]
pub(super) async fn audit_events<S: Services>(
    State(shared): Asker<S>,
    LedgerReader(reader): LedgerReader,
    Asked(query): Asked<EventsQuery>,
) -> Outcome<EventsPage> {
    Ok(Reply::ok(
        shared.services.audit_events(reader, query).await?,
    ))
}

/// Entries of a tenant's ledger with what checks them, as JSON Lines.
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "audit", params(ExportQuery),
    responses((status = 200, description = "Pages; `redoubt-audit ledger verify` checks them",
        body = String, content_type = "application/jsonl")),
)]
pub(super) async fn audit_export<S: Services>(
    State(shared): Asker<S>,
    LedgerReader(reader): LedgerReader,
    Asked(query): Asked<ExportQuery>,
) -> Result<Response, Problem> {
    let JsonLines(lines) = shared.services.audit_export(reader, query).await?;
    Ok(json_lines(lines.into()))
}

/// Erases one modality of a customer.
#[utoipa::path(
    delete, path = "/api/v1/enroll/{user_id}/{modality}", tag = "erasure",
    params(
        ("user_id" = String, Path, description = "Whose", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("modality" = inline(Modality), Path, description = "What"),
    ),
    responses((status = 200, description = "Out of use from now on", body = Erased)),
)]
pub(super) async fn erase_modality<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    NamedPair(user, modality): NamedPair,
) -> Outcome<Erased> {
    let modality = serde_json::from_value(modality.into());
    let modality = modality.map_err(|_| Problem::unsupported_modality())?;
    let user = user.parse().map_err(|_| Problem::not_enrolled())?;
    let erased = shared.services.erase_modality(caller, user, modality);
    Ok(Reply::ok(erased.await?))
}

/// Erases everything of a customer.
#[utoipa::path(
    delete, path = "/api/v1/subjects/{user_id}", tag = "erasure",
    params(("user_id" = String, Path, description = "Who", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 200, description = "Unknown from now on", body = Erased)),
)]
pub(super) async fn erase_subject<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<Erased> {
    let user = name.parse(Problem::unknown_subject)?;
    Ok(Reply::ok(
        shared.services.erase_subject(caller, user).await?,
    ))
}

/// An erasure as it stands.
#[utoipa::path(
    get, path = "/api/v1/erasures/{id}", tag = "erasure",
    params(("id" = String, Path, description = "erasure_id", pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands", body = Erasure)),
)]
pub(super) async fn get_erasure<S: Services>(
    State(shared): Asker<S>,
    Client(caller): Client,
    name: Named,
) -> Outcome<Erasure> {
    let id = name.parse(Problem::unknown_erasure)?;
    Ok(Reply::ok(shared.services.get_erasure(caller, id).await?))
}

/// Begins a new epoch, and changes officers if the request names new ones.
#[utoipa::path(
    post, path = "/api/v1/epochs/rotate", tag = "epochs", request_body = RotateMembers,
    responses((status = 202, description = "Begun", body = EpochStatus)),
)]
pub(super) async fn rotate_epoch<S: Services>(
    State(shared): Asker<S>,
    Received(request): Received<RotateEpoch>,
) -> Outcome<EpochStatus> {
    let status = shared.services.rotate_epoch(request).await?;
    Ok(Reply(StatusCode::ACCEPTED, status))
}

/// Gives the secret to the enclave that an officers' order names, and halts.
#[utoipa::path(
    post, path = "/api/v1/handover", tag = "handover", request_body = HandoverRequest,
    responses((status = 200, description = "Given away, durably", body = HandedOver)),
)]
pub(super) async fn hand_over<S: Services>(
    State(shared): Asker<S>,
    Received(request): Received<HandoverRequest>,
) -> Outcome<HandedOver> {
    Ok(Reply::ok(shared.services.hand_over(request).await?))
}

/// Takes what another enclave left for this one in the store.
#[utoipa::path(
    post, path = "/api/v1/handover/take", tag = "handover", request_body = TakeRequest,
    responses((status = 202, description = "Taken; the ledger is read", body = TakingOver)),
)]
pub(super) async fn take_over<S: Services>(
    State(shared): Asker<S>,
    Received(request): Received<TakeRequest>,
) -> Outcome<TakingOver> {
    let taking = shared.services.take_over(request).await?;
    Ok(Reply(StatusCode::ACCEPTED, taking))
}

/// Ends this enclave for good, by an order that names its boot.
#[utoipa::path(
    post, path = "/api/v1/halt", tag = "handover", request_body = HaltRequest,
    responses((status = 200, description = "Halted, with nothing kept that opens the ledger", body = Halted)),
)]
pub(super) async fn halt<S: Services>(
    State(shared): Asker<S>,
    Received(request): Received<HaltRequest>,
) -> Outcome<Halted> {
    Ok(Reply::ok(shared.services.halt_by_order(request).await?))
}

/// Where epochs stand.
#[utoipa::path(
    get, path = "/api/v1/epochs", tag = "epochs",
    responses((status = 200, description = "As they stand", body = EpochStatus)),
)]
pub(super) async fn epoch_status<S: Services>(State(shared): Asker<S>) -> Outcome<EpochStatus> {
    Ok(Reply::ok(shared.services.epoch_status().await?))
}

/// Where the enclave stands.
#[utoipa::path(
    get, path = "/healthz", tag = "evidence",
    responses((status = 200, description = "The phase", body = Health)),
)]
pub(super) async fn health<S: Services>(State(shared): Asker<S>) -> Reply<Health> {
    Reply::ok(Health {
        phase: shared.services.phase(),
    })
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "evidence",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(super) async fn openapi<S: Services>(State(shared): Asker<S>) -> Response {
    json_text(shared.openapi.clone())
}
