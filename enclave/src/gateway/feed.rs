//! A reply that goes on: server-sent events (WHATWG HTML section 9.2).
//!
//! Protects against a connection that counts as idle while somebody listens on it,
//! and against text that piles up: an event is made when the connection has room.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::api::{ApprovalFeed, ApprovalNews};

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Marks a reply whose body outlasts its request.
#[derive(Clone, Copy)]
pub(super) struct GoesOn;

/// A feed as events.
pub(super) fn response(feed: ApprovalFeed) -> Response {
    let events = feed.map(|news| Ok::<_, Infallible>(event(&news)));
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(CONTENT_TYPE, EVENTS);
    response.extensions_mut().insert(GoesOn);
    response
}

fn event(news: &ApprovalNews) -> Bytes {
    match news {
        // JSON on one line: no line of it can begin another field.
        ApprovalNews::Changed(change) => {
            let data = serde_json::to_string(change).unwrap_or_default();
            format!("event: status\ndata: {data}\n\n").into()
        }
        ApprovalNews::Unchanged => Bytes::from_static(b":\n\n"),
    }
}

/// Keeps something until the body behind it has ended.
pub(super) fn holding<T: Send + Unpin + 'static>(response: Response, held: T) -> Response {
    response.map(|body| Body::new(Holding { body, _held: held }))
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
