//! The opening handshake of a WebSocket (RFC 6455 section 4.2).

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;

use super::Changing;
use crate::api::{ApprovalFeed, Problem};

/// Section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: &str = "13";

/// What a request asks its connection to become; `None` asks nothing.
pub(in crate::gateway) struct Handshake(Option<Opening>);

struct Opening {
    accept: HeaderValue,
    upgrade: OnUpgrade,
}

impl Handshake {
    /// The reply that changes the protocol, or the feed again where it stays HTTP.
    pub(in crate::gateway) fn open(self, feed: ApprovalFeed) -> Result<Response, ApprovalFeed> {
        let Some(Opening { accept, upgrade }) = self.0 else {
            return Err(feed);
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        let changing = Changing::new(upgrade, feed);
        response.extensions_mut().insert(changing);
        Ok(response)
    }
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        // Over HTTP/2 there is no header of that name, and nothing to change.
        let Some(upgrade) = upgrade.filter(|_| names(&parts.headers, &UPGRADE, "websocket")) else {
            return Ok(Self(None));
        };
        let asked = match parts.method == Method::GET {
            true => accepted(&parts.headers),
            false => Err("A WebSocket is opened with GET."),
        };
        let accept = asked.map_err(|wrong| {
            let problem = Problem::malformed_request().detail(wrong);
            let mut response = problem.into_response();
            let version = HeaderValue::from_static(VERSION);
            response
                .headers_mut()
                .insert(SEC_WEBSOCKET_VERSION, version);
            response
        })?;
        Ok(Self(Some(Opening { accept, upgrade })))
    }
}

/// The proof that the handshake was understood (section 4.2.2), or what is wrong with it.
fn accepted(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    if !names(headers, &CONNECTION, "upgrade") {
        return Err("A WebSocket needs Connection: Upgrade.");
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err("Sec-WebSocket-Version must be 13.");
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).unwrap_or_default();
    if STANDARD.decode(key).ok().is_none_or(|key| key.len() != 16) {
        return Err("Sec-WebSocket-Key must be 16 bytes in base64.");
    }
    let empty = only(headers, &CONTENT_LENGTH).is_none_or(|length| length == "0");
    if !empty || headers.contains_key(TRANSFER_ENCODING) {
        return Err("A WebSocket is opened without a body.");
    }
    if headers.contains_key(ORIGIN) && !is_own(headers) {
        return Err("Origin: no page of another origin is told anything.");
    }
    let text = [key.as_bytes(), GUID].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::try_from(STANDARD.encode(digest)).map_err(|_| "Sec-WebSocket-Key")
}

/// Whether a browser's page came from this very appliance.
fn is_own(headers: &HeaderMap) -> bool {
    let origin = only(headers, &ORIGIN).and_then(|origin| origin.strip_prefix("https://"));
    origin.is_some() && origin == only(headers, &HOST)
}

/// Whether a header's list has this word.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let words = values.filter_map(|value| value.to_str().ok());
    let mut words = words.flat_map(|value| value.split(','));
    words.any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// A header that stands once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    fn headers() -> HeaderMap {
        let lines = [
            (HOST, "server.example.com"),
            (UPGRADE, "websocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (SEC_WEBSOCKET_VERSION, "13"),
        ];
        let lines = lines.map(|(name, value)| (name, HeaderValue::from_static(value)));
        lines.into_iter().collect()
    }

    #[test]
    fn the_example_of_the_standard_is_accepted_as_there() {
        let accept = accepted(&headers()).unwrap();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut own = headers();
        own.insert(
            ORIGIN,
            HeaderValue::from_static("https://server.example.com"),
        );
        accepted(&own).unwrap();
    }

    #[test]
    fn a_handshake_that_is_none_is_refused_for_what_is_wrong_with_it() {
        let cases = [
            (CONNECTION, "keep-alive", "Connection"),
            (SEC_WEBSOCKET_VERSION, "8", "Version"),
            (SEC_WEBSOCKET_KEY, "AAAA", "Key"),
            (SEC_WEBSOCKET_KEY, "not base64", "Key"),
            (ORIGIN, "https://evil.example", "Origin"),
            (ORIGIN, "http://server.example.com", "Origin"),
            (ORIGIN, "null", "Origin"),
            (CONTENT_LENGTH, "1", "body"),
            (TRANSFER_ENCODING, "chunked", "body"),
        ];
        for (name, value, expected) in cases {
            let mut bent = headers();
            bent.insert(name, HeaderValue::from_static(value));
            let wrong = accepted(&bent).unwrap_err();
            assert!(wrong.contains(expected), "{wrong}");
        }
        let mut twice = headers();
        twice.append(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        assert!(accepted(&twice).is_err());
        twice.remove(SEC_WEBSOCKET_VERSION);
        assert!(accepted(&twice).is_err());
    }
}
