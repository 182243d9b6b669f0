//! Request bodies, read whole within bounds or thrown away politely.
//!
//! Protects against: memory filled by bodies, senders that never finish, and a
//! refusal lost because the stream was reset while its sender was still
//! sending: the rest of a refused body is thrown away for a moment.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use zeroize::Zeroizing;

use super::Limits;
use crate::api::Problem;

/// A body as it comes from the connection. What nobody read when it is dropped
/// is thrown away in the background, within bounds.
pub(super) struct Lingering {
    body: Option<Incoming>,
    linger: Option<(Duration, usize)>,
    ended: bool,
}

impl Lingering {
    /// A sender that waits for `100 Continue` has sent nothing yet and needs no
    /// lingering. HTTP/2 needs it too: resetting the stream at once makes some
    /// clients drop the reply that came before the reset.
    pub(super) fn new(request: &hyper::Request<()>, body: Incoming, limits: &Limits) -> Self {
        let waits = request.headers().contains_key(http::header::EXPECT);
        Self {
            body: Some(body),
            linger: (!waits).then_some((limits.linger, limits.linger_bytes)),
            ended: false,
        }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.ended = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let unread = !self.ended && !self.is_end_stream();
        if let (true, Some(body), Some((time, bytes)), Ok(runtime)) = (
            unread,
            self.body.take(),
            self.linger,
            tokio::runtime::Handle::try_current(),
        ) {
            runtime.spawn(tokio::time::timeout(time, throw_away(body, bytes)));
        }
    }
}

async fn throw_away(mut body: Incoming, mut bytes: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = bytes.checked_sub(length) else {
            return;
        };
        bytes = left;
    }
}

/// The length the headers declare, refused at once when it is above the limit.
pub(super) fn declared_length(
    headers: &http::HeaderMap,
    limit: usize,
) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(http::header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let declared = value.to_str().ok().and_then(|text| text.parse().ok());
    match declared {
        Some(length) if length <= limit => Ok(Some(length)),
        Some(_) => Err(Problem::body_too_large()),
        None => Err(Problem::malformed_request().detail("Content-Length is not a number.")),
    }
}

/// The whole body, at most `limit` bytes of it, within `time`.
pub(super) async fn read_whole(
    body: Body,
    declared: Option<usize>,
    limit: usize,
    time: Duration,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut whole = pin!(read(body, declared, limit));
    // Most bodies are there already; a timer would cost more than they do.
    if let Poll::Ready(whole) = futures::poll!(whole.as_mut()) {
        return whole;
    }
    tokio::time::timeout(time, whole)
        .await
        .map_err(|_| Problem::request_timeout())?
}

async fn read(
    mut body: Body,
    declared: Option<usize>,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut whole = Zeroizing::new(Vec::with_capacity(declared.unwrap_or(0).min(limit)));
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Problem::malformed_request().detail("The body ended before its end."))?;
        if let Some(data) = frame.data_ref() {
            if data.len() > limit - whole.len() {
                return Err(Problem::body_too_large());
            }
            whole.extend_from_slice(data);
        }
    }
    Ok(whole)
}
