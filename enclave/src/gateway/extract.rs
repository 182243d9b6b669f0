//! From bytes to typed requests.
//!
//! Protects against: input that is not what the route was promised. Content
//! types are checked, bodies are bounded (samples by a budget over all
//! connections as well), and a refusal names the field.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Query, Request};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::Limited;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use super::admit::Exchange;
use super::body::{declared_length, read_whole};
use super::exact::Exact;
use super::serve::Shared;
use crate::api::{Caller, IdempotencyKey, IntrospectionForm, Problem, Reader, Sample, Services};
use crate::biometrics::RECORDINGS_MAX;

/// A tenant's client with a role.
pub(super) struct Client(pub(super) Caller);

/// Who may read a receipt.
pub(super) struct LedgerReader(pub(super) Reader);

/// The exporter of the session and whether it has a certificate.
pub(super) struct Binding {
    pub(super) exporter: [u8; 32],
    pub(super) anonymous: bool,
}

/// A JSON body without a sample.
pub(super) struct Received<T>(pub(super) T);

/// A form (`application/x-www-form-urlencoded`).
pub(super) struct ReceivedForm<T>(pub(super) T);

/// In which form an introspection is wanted: the first of the `Accept` header that
/// there is, else JSON.
pub(super) struct Wanted(pub(super) IntrospectionForm);

/// A JSON body with a sample, and its share of the budget.
pub(super) struct ReceivedSample<T>(pub(super) T, pub(super) Budget);

/// A FIDO metadata BLOB, and its share of the budget for samples.
pub(super) struct ReceivedBlob(pub(super) Zeroizing<Vec<u8>>, pub(super) Budget);

/// The files of a multipart form, and their share of the budget.
pub(super) struct Upload(pub(super) Vec<Sample>, pub(super) Budget);

/// The names of its fields.
const FILES: [&str; RECORDINGS_MAX] = ["biometric_file", "biometric_file_2", "biometric_file_3"];

/// A share of the memory for samples; given back when dropped.
pub(super) struct Budget(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A query string.
pub(super) struct Asked<T>(pub(super) T);

/// A `{id}` of the path; what is no id names nothing.
pub(super) struct Named(pub(super) String);

impl Named {
    pub(super) fn parse<T: FromStr>(&self, unknown: fn() -> Problem) -> Result<T, Problem> {
        self.0.parse().map_err(|_| unknown())
    }
}

/// The two names of `{user_id}/{modality}`.
pub(super) struct NamedPair(pub(super) String, pub(super) String);

/// The `Idempotency-Key` header.
pub(super) struct Idempotency(pub(super) Option<IdempotencyKey>);

fn exchange(parts: &Parts) -> Result<&Arc<Exchange>, Problem> {
    parts
        .extensions
        .get()
        .ok_or_else(|| Problem::internal_error().because("a request without a session"))
}

impl<St: Sync> FromRequestParts<St> for Client {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &St) -> Result<Self, Problem> {
        exchange(parts)?.caller().map(Client)
    }
}

impl<St: Sync> FromRequestParts<St> for LedgerReader {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &St) -> Result<Self, Problem> {
        exchange(parts)?.reader().map(LedgerReader)
    }
}

impl<St: Sync> FromRequestParts<St> for Binding {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &St) -> Result<Self, Problem> {
        let session = &exchange(parts)?.session;
        Ok(Binding {
            exporter: session.exporter,
            anonymous: session.peer.is_none(),
        })
    }
}

impl<St: Sync> FromRequestParts<St> for Idempotency {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &St) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Idempotency(None));
        };
        let key = value.to_str().ok().and_then(IdempotencyKey::from_header);
        let wrong = "Idempotency-Key: use 1 to 128 visible ASCII characters.";
        let key = key.ok_or_else(|| Problem::malformed_request().detail(wrong))?;
        Ok(Idempotency(Some(key)))
    }
}

/// The media type of one member of `Accept`, unless it says `q=0` (RFC 9110 section 12.5.1).
fn accepted(range: &str) -> Option<&str> {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next()?;
    let refused = |part: &str| matches!(part, "q=0" | "q=0." | "q=0.0" | "q=0.00" | "q=0.000");
    (!parts.any(refused)).then_some(kind)
}

impl<St: Sync> FromRequestParts<St> for Wanted {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &St) -> Result<Self, Problem> {
        let values = parts.headers.get_all(ACCEPT).iter();
        let mut kinds = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(accepted);
        let form = kinds.find_map(|kind| match kind.to_ascii_lowercase().as_str() {
            "application/json" => Some(IntrospectionForm::Json),
            "application/token-introspection+jwt" => Some(IntrospectionForm::Jwt),
            "application/jose+json" => Some(IntrospectionForm::Hybrid),
            _ => None,
        });
        Ok(Wanted(form.unwrap_or(IntrospectionForm::Json)))
    }
}

impl<St: Send + Sync> FromRequestParts<St> for Named {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &St) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Named(path.0))
            .map_err(|_| Problem::malformed_request().detail("The id in the path is not text."))
    }
}

impl<St: Send + Sync> FromRequestParts<St> for NamedPair {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &St) -> Result<Self, Problem> {
        let path = axum::extract::Path::<(String, String)>::from_request_parts(parts, state).await;
        path.map(|path| NamedPair(path.0.0, path.0.1))
            .map_err(|_| Problem::malformed_request().detail("A name in the path is not text."))
    }
}

impl<St: Send + Sync, T: DeserializeOwned> FromRequestParts<St> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &St) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Asked(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ");
            let text = text.unwrap_or("it cannot be read").to_owned();
            Problem::malformed_request().detail(format!("Query string: {text}"))
        })
    }
}

impl<S: Services, T: DeserializeOwned> FromRequest<Arc<Shared<S>>> for Received<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, shared: &Arc<Shared<S>>) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let limit = shared.limits.small_body;
        let declared = declared_length(request.headers(), limit)?;
        let time = shared.limits.body_read;
        let body = read_whole(request.into_body(), declared, limit, time).await?;
        parse(&body).map(Received)
    }
}

impl<S: Services, T: DeserializeOwned> FromRequest<Arc<Shared<S>>> for ReceivedForm<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, shared: &Arc<Shared<S>>) -> Result<Self, Problem> {
        let is_form = |kind: &str| kind == "application/x-www-form-urlencoded";
        if !content_type_is(request.headers(), is_form) {
            return Err(Problem::unsupported_media_type());
        }
        let limit = shared.limits.small_body;
        let declared = declared_length(request.headers(), limit)?;
        let time = shared.limits.body_read;
        let body = read_whole(request.into_body(), declared, limit, time).await?;
        // The refusal repeats nothing of the form: there is a token in it.
        let form = serde_urlencoded::from_bytes(&body).ok().map(ReceivedForm);
        form.ok_or_else(|| {
            Problem::malformed_request().detail("Send token, as it was issued, in the form.")
        })
    }
}

impl<S: Services, T: DeserializeOwned> FromRequest<Arc<Shared<S>>> for ReceivedSample<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, shared: &Arc<Shared<S>>) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let limit = shared.limits.sample_body;
        let declared = declared_length(request.headers(), limit)?;
        let budget = shared.budget(declared.unwrap_or(limit)).await?;
        let time = shared.limits.body_read;
        let body = read_whole(request.into_body(), declared, limit, time).await?;
        Ok(ReceivedSample(parse(&body)?, budget))
    }
}

impl<S: Services> FromRequest<Arc<Shared<S>>> for ReceivedBlob {
    type Rejection = Problem;
    async fn from_request(request: Request, shared: &Arc<Shared<S>>) -> Result<Self, Problem> {
        let known = |kind: &str| kind == "application/jose" || kind == "application/octet-stream";
        if !content_type_is(request.headers(), known) {
            return Err(Problem::unsupported_media_type());
        }
        let limit = shared.limits.metadata_body;
        let declared = declared_length(request.headers(), limit)?;
        let budget = shared.budget(declared.unwrap_or(limit)).await?;
        let time = shared.limits.body_read;
        let body = read_whole(request.into_body(), declared, limit, time).await?;
        Ok(ReceivedBlob(body, budget))
    }
}

impl<S: Services> FromRequest<Arc<Shared<S>>> for Upload {
    type Rejection = Problem;
    async fn from_request(request: Request, shared: &Arc<Shared<S>>) -> Result<Self, Problem> {
        if !content_type_is(request.headers(), |kind| kind == "multipart/form-data") {
            return Err(Problem::unsupported_media_type());
        }
        let limit = shared.limits.sample_body;
        let declared = declared_length(request.headers(), limit)?;
        let budget = shared.budget(declared.unwrap_or(limit)).await?;
        let form = read_form(request, limit, shared.limits.sample);
        let samples = tokio::time::timeout(shared.limits.body_read, form)
            .await
            .map_err(|_| Problem::request_timeout())??;
        Ok(Upload(samples, budget))
    }
}

impl<S: Services> Shared<S> {
    /// Waits for room for a body of this many bytes.
    async fn budget(&self, bytes: usize) -> Result<Budget, Problem> {
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self.sample_bodies.clone().acquire_many_owned(kibibytes);
        match tokio::time::timeout(self.limits.body_read, room).await {
            Ok(Ok(permit)) => Ok(Budget(permit)),
            _ => Err(Problem::busy()),
        }
    }
}

async fn read_form(
    request: Request,
    limit: usize,
    sample_limit: usize,
) -> Result<Vec<Sample>, Problem> {
    let mut request = request.map(|body| Body::new(Limited::new(body, limit)));
    axum::extract::DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| {
        Problem::malformed_request().detail("Content-Type: the boundary is missing.")
    })?;
    let (mut samples, mut behind) = (Vec::new(), 0);
    while let Some(mut field) = form.next_field().await.map_err(form_problem)? {
        let found = FILES.iter().position(|name| field.name() == Some(name));
        // How many it takes is the enrolment's to say; the first is always there.
        let in_order = |at: &usize| *at >= behind && (behind > 0 || *at == 0);
        let Some(at) = found.filter(in_order) else {
            let wrong = "Send the fields biometric_file, and for a voice biometric_file_2 and \
                         biometric_file_3, each once and in this order.";
            return Err(Problem::malformed_request().detail(wrong));
        };
        behind = at + 1;
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(chunk) = field.chunk().await.map_err(form_problem)? {
            if chunk.len() > sample_limit - bytes.len() {
                return Err(Problem::body_too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            let name = FILES[at];
            return Err(Problem::malformed_request().detail(format!("{name}: it is empty.")));
        }
        samples.push(Sample::new(std::mem::take(&mut bytes)));
    }
    if samples.is_empty() {
        return Err(Problem::malformed_request().detail("biometric_file: it is missing."));
    }
    Ok(samples)
}

fn form_problem(error: axum::extract::multipart::MultipartError) -> Problem {
    if error.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::body_too_large();
    }
    Problem::malformed_request().detail("The multipart form is broken.")
}

fn content_type_is(headers: &HeaderMap, wanted: fn(&str) -> bool) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase());
    essence.is_some_and(|essence| wanted(&essence))
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let json = |kind: &str| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    };
    if content_type_is(headers, json) {
        return Ok(());
    }
    Err(Problem::unsupported_media_type())
}

/// Reads JSON; only when that fails it is read again to learn where.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let Exact(value) = serde_json::from_slice(text).or_else(|_| {
        let located = axum::Json::<Exact<T>>::from_bytes(text);
        located.map(|found| found.0).map_err(json_problem)
    })?;
    Ok(value)
}

fn json_problem(rejection: JsonRejection) -> Problem {
    let text = rejection.body_text();
    let (_, told) = text.split_once(": ").unwrap_or(("", &text));
    Problem::malformed_request().detail(format!("{told}."))
}
