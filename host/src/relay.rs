//! Copies bytes between two streams, both ways, with half-close.
//!
//! Protects against a slow or silent peer holding memory: at most one buffer
//! per direction is in flight (back-pressure is the kernel's), and a stream on
//! which nothing moves for the idle time is ended. Bytes are never looked at.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::Instant;

use crate::capture::{Capture, Track};
use crate::metrics::{Metrics, Relay};

/// Bytes in flight per direction.
const BUFFER: usize = 16 * 1024;

/// Why a relayed pair ended.
#[derive(Debug)]
pub enum Ended {
    /// Both sides closed, or one failed.
    Closed(io::Result<(u64, u64)>),
    /// Nothing moved for the idle time.
    Idle,
}

/// Copies until both directions are closed, one side fails, or both fall silent.
/// `outer` is the stream that bytes come *in* from.
pub async fn relay<A, B>(outer: &mut Tap<A>, inner: &mut B, idle: Duration) -> Ended
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let activity = outer.activity.clone();
    let copy = copy_bidirectional_with_sizes(outer, inner, BUFFER, BUFFER);
    tokio::select! {
        done = copy => Ended::Closed(done),
        () = activity.silent_for(idle) => Ended::Idle,
    }
}

/// When something last moved.
#[derive(Debug, Clone)]
pub struct Activity {
    start: Instant,
    /// Milliseconds after `start`.
    last: Arc<std::sync::atomic::AtomicU64>,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
        }
    }

    fn touch(&self) {
        let now = self.start.elapsed().as_millis() as u64;
        self.last.store(now, std::sync::atomic::Ordering::Relaxed);
    }

    async fn silent_for(&self, idle: Duration) {
        loop {
            let last = self.last.load(std::sync::atomic::Ordering::Relaxed);
            let until = self.start + Duration::from_millis(last) + idle;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A stream whose traffic is counted and, on request, captured.
#[derive(Debug)]
pub struct Tap<S> {
    stream: S,
    relay: Relay,
    metrics: Arc<Metrics>,
    activity: Activity,
    tracks: Option<[Track; 2]>,
}

impl<S> Tap<S> {
    /// Counts `stream` for `relay`.
    pub fn new(stream: S, relay: Relay, metrics: Arc<Metrics>, capture: Option<&Capture>) -> Self {
        Self {
            stream,
            relay,
            metrics,
            activity: Activity::new(),
            tracks: capture.map(|capture| capture.stream(relay.name())),
        }
    }

    fn moved_in(&mut self, bytes: &[u8]) {
        self.activity.touch();
        self.metrics.relayed_inward(self.relay, bytes.len());
        if let Some([inward, _]) = &mut self.tracks {
            inward.saw(bytes);
        }
    }

    fn moved_out(&mut self, bytes: &[u8]) {
        self.activity.touch();
        self.metrics.relayed_outward(self.relay, bytes.len());
        if let Some([_, outward]) = &mut self.tracks {
            outward.saw(bytes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut tap.stream).poll_read(cx, buf);
        if polled.is_ready() && buf.filled().len() > before {
            tap.moved_in(&buf.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let polled = Pin::new(&mut tap.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            tap.moved_out(&buf[..*written]);
        }
        polled
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
