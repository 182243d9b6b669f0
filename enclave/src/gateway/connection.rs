//! One connection: handshake, HTTP, end.
//!
//! Protects against: connections that cost without asking. The handshake, the
//! first head, idle time and the whole life of a connection are bounded, and it
//! ends no later than the certificate that opened it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use redoubt_shared::Stream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::feed::{self, GoesOn};
use super::limits::Limits;
use super::prompt::Prompt;
use super::serve::Gateway;
use super::tls::Session;
use super::websocket::Changing;
use crate::api::Services;

/// HTTP/1.1 and HTTP/2 with their limits; ALPN decides which one speaks.
pub(super) fn builders(limits: &Limits) -> (http1::Builder, http2::Builder<TokioExecutor>) {
    let mut one = http1::Builder::new();
    one.timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes);
    let mut two = http2::Builder::new(TokioExecutor::new());
    two.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .max_pending_accept_reset_streams(32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    (one, two)
}

/// Requests in progress on one connection, and when the last one ended.
struct Activity {
    busy: AtomicUsize,
    opened: Instant,
    last: AtomicUsize,
}

impl Activity {
    fn new() -> Self {
        Self {
            busy: AtomicUsize::new(0),
            opened: Instant::now(),
            last: AtomicUsize::new(0),
        }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn idle_since(&self) -> Option<Instant> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed) as u64);
        (self.busy.load(Ordering::Relaxed) == 0).then(|| self.opened + last)
    }
}

struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.opened.elapsed().as_millis();
        self.0.last.store(
            usize::try_from(now).unwrap_or(usize::MAX),
            Ordering::Relaxed,
        );
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a stream to its end.
pub(super) async fn run<S: Services>(gateway: Arc<Gateway<S>>, stream: Stream) {
    gateway.counters.connections_total.add();
    let counters = gateway.counters.clone();
    let _open = counters.connections_open.hold();
    let handshake = tokio::time::timeout(gateway.limits.handshake, open(&gateway, stream));
    let Ok(Some((stream, session))) = handshake.await else {
        counters.handshakes_refused_total.add();
        return;
    };
    let _anonymous = match session.peer {
        Some(_) => None,
        None => match gateway.anonymous.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => return counters.anonymous_refused_total.add(),
        },
    };
    speak(gateway, stream, session).await;
}

async fn open<S: Services>(
    gateway: &Gateway<S>,
    stream: Stream,
) -> Option<(TlsStream<Stream>, Session)> {
    let handshake = match gateway.tls() {
        Ok(tls) => tls.handshake().ok()?,
        Err(_) => {
            tracing::error!("the trust in force has an anchor that does not parse");
            return None;
        }
    };
    let accepted = TlsAcceptor::from(handshake.config.clone())
        .accept(stream)
        .await;
    let stream = accepted
        .inspect_err(|error| {
            let kind = error.kind();
            tracing::debug!(%kind, "handshake refused");
        })
        .ok()?;
    let session = handshake.finish(stream.get_ref().1).ok()?;
    Some((stream, session))
}

async fn speak<S: Services>(gateway: Arc<Gateway<S>>, stream: TlsStream<Stream>, session: Session) {
    let end = Instant::now() + lifetime(&*gateway.services, &gateway.limits, &session);
    let activity = Arc::new(Activity::new());
    let (http2, session) = (session.http2, Arc::new(session));
    let changing = Arc::new(OnceLock::new());
    let service = service_fn(|request| {
        let (gateway, session, busy) = (gateway.clone(), session.clone(), activity.begin());
        let changing = changing.clone();
        async move {
            let mut response = gateway.answer(session, request).await;
            if let Some(told) = response.extensions_mut().remove::<Changing>() {
                let _ = changing.set(told);
            }
            let response = match response.extensions().get::<GoesOn>() {
                Some(_) => feed::holding(response, busy),
                None => response,
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let (stream, life) = (TokioIo::new(stream), (&*activity, &gateway.limits, end));
    if http2 {
        let connection = gateway.http2.serve_connection(stream, service);
        return drive(pin!(connection), |it| it.graceful_shutdown(), life).await;
    }
    let connection = gateway.http1.serve_connection(stream, service);
    let connection = connection.with_upgrades();
    drive(pin!(connection), |it| it.graceful_shutdown(), life).await;
    if let Some(told) = changing.get() {
        told.clone().go_on(end, gateway.limits.goodbye).await;
    }
}

/// Lets a connection go on until it ends, is idle for too long or too old; then it is
/// asked to end.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    ask_to_end: impl FnOnce(Pin<&mut C>),
    (activity, limits, end): (&Activity, &Limits, Instant),
) {
    let prompt = Arc::<Prompt>::default();
    loop {
        let idle_end = activity
            .idle_since()
            .map_or_else(|| Instant::now() + limits.idle, |since| since + limits.idle);
        let check = idle_end.min(end);
        tokio::select! {
            _ = poll_fn(|cx| prompt.poll(connection.as_mut(), cx)) => return,
            () = tokio::time::sleep_until(check) => {}
        }
        let idle = activity
            .idle_since()
            .is_some_and(|since| since + limits.idle <= Instant::now());
        if idle || Instant::now() >= end {
            break;
        }
    }
    ask_to_end(connection.as_mut());
    let rest = poll_fn(|cx| prompt.poll(connection.as_mut(), cx));
    let _ = tokio::time::timeout(limits.goodbye, rest).await;
}

/// Bounded by the limits and by the certificate that opened the connection.
fn lifetime<S: Services>(services: &S, limits: &Limits, session: &Session) -> Duration {
    let Some(peer) = &session.peer else {
        return limits.connection_age;
    };
    let now = Duration::from_millis(services.now_ms().unwrap_or(u64::MAX));
    limits
        .connection_age
        .min(Duration::from_secs(peer.not_after).saturating_sub(now))
}
