//! Replies: JSON, or one problem.
//!
//! Protects against: refusals of different shapes. Every handler's [`Problem`]
//! travels beside an empty response and is written out in one place, which also
//! knows the request id.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use serde::Serialize;

use crate::api::{Introspected, JwkSet, Problem, RequestId};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/jsonl");
const INTROSPECTION_JWT: HeaderValue =
    HeaderValue::from_static("application/token-introspection+jwt");
const JOSE: HeaderValue = HeaderValue::from_static("application/jose+json");
const KEY_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json");
/// Keys of a tenant stay for the life of its ledger.
const FOR_FIVE_MINUTES: HeaderValue = HeaderValue::from_static("private, max-age=300");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A JSON reply.
pub(super) struct Reply<T>(pub(super) StatusCode, pub(super) T);

impl<T> Reply<T> {
    pub(super) fn ok(body: T) -> Self {
        Self(StatusCode::OK, body)
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.1) {
            Ok(text) => json(self.0, JSON, text.into()),
            Err(_) => Problem::internal_error()
                .because("a reply could not be serialized")
                .into_response(),
        }
    }
}

/// A body that is JSON already.
pub(super) fn json(status: StatusCode, kind: HeaderValue, text: bytes::Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The OpenAPI document.
pub(super) fn json_text(text: bytes::Bytes) -> Response {
    json(StatusCode::OK, JSON, text)
}

/// Pages of an export.
pub(super) fn json_lines(text: bytes::Bytes) -> Response {
    json(StatusCode::OK, JSON_LINES, text)
}

/// What a token stands for, in the form that was asked for.
pub(super) fn introspected(introspected: Introspected) -> Response {
    match introspected {
        Introspected::Json(plain) => Reply::ok(plain).into_response(),
        Introspected::Jwt(jwt) => json(StatusCode::OK, INTROSPECTION_JWT, jwt.into()),
        Introspected::Hybrid(jws) => json(StatusCode::OK, JOSE, jws.to_string().into()),
    }
}

/// A tenant's public keys (RFC 7517 section 8.5.2), the one reply that may be kept.
pub(super) fn key_set(keys: &JwkSet) -> Result<Response, Problem> {
    let text = serde_json::to_vec(keys)
        .map_err(|_| Problem::internal_error().because("a reply could not be serialized"))?;
    let mut response = json(StatusCode::OK, KEY_SET, text.into());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, FOR_FIVE_MINUTES);
    Ok(response)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status_of(&self);
        response.extensions_mut().insert(self);
        response
    }
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Writes a problem out, if there is one, and what every reply carries.
pub(super) fn finish(
    response: Response,
    request_id: &RequestId,
    version: Version,
) -> (Response, Option<Problem>) {
    let (mut parts, mut body) = response.into_parts();
    let problem = parts.extensions.remove::<Problem>();
    if let Some(problem) = &problem {
        let text = serde_json::to_vec(&problem.body(request_id.as_str())).unwrap_or_default();
        body = Body::from(text);
        parts.status = status_of(problem);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.headers.insert(CONTENT_TYPE, PROBLEM);
        if let Some(seconds) = problem.retry_after_seconds() {
            parts.headers.insert(RETRY_AFTER, seconds.into());
        }
        let gives_up = matches!(problem.status(), 408 | 413);
        if gives_up && version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            parts.headers.insert(CONNECTION, close);
        }
    }
    if parts.headers.get(CONTENT_TYPE) != Some(&KEY_SET) {
        parts.headers.insert(CACHE_CONTROL, NO_STORE);
    }
    if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
        parts.headers.insert(REQUEST_ID, id);
    }
    (Response::from_parts(parts, body), problem)
}
