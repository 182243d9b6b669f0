//! TLS and HTTP/1.1 around the service.
//!
//! Protects against connections and requests that cost without asking: their
//! number, the handshake, heads, bodies and blocking work are bounded. There is
//! no client authentication: whoever asks shows evidence or a signed note.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use redoubt_attestation::ledger::witness_wire;
use redoubt_attestation::peers::{ADD_CHECKPOINT, REQUEST_MAX, WAIT_HEADER};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::answer::{Answer, Refused};
use super::service::Service;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// Requests at work at once.
const REQUESTS: usize = 8;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Also how long a kept connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
const BODY_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// A bound peer.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: TlsAcceptor,
}

struct Shared {
    service: Service,
    work: Semaphore,
}

impl Server {
    /// Listens.
    pub async fn bind(service: Service, address: SocketAddr) -> Result<Self> {
        let tls = TlsAcceptor::from(service.identity.tls()?);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("--listen {address}"))?;
        let work = Semaphore::new(REQUESTS);
        Ok(Self {
            listener,
            shared: Arc::new(Shared { service, work }),
            tls,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop` resolves, then lets requests at work finish.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let (closing, _) = watch::channel(false);
        tokio::pin!(stop);
        loop {
            let socket = tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        // Out of descriptors, most likely: the rest goes on.
                        eprintln!("redoubt-audit witness: accept: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                continue;
            };
            let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
            let closed = closing.subscribe();
            tokio::spawn(async move {
                serve(socket, tls, shared, closed).await;
                drop(permit);
            });
        }
        drop(self.listener);
        closing.send_replace(true);
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let _ = timeout(STOP_WITHIN, connections.acquire_many(all)).await;
        Ok(())
    }
}

async fn serve(
    socket: TcpStream,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    mut closed: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(socket)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(respond(shared, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(32)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closed.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let answer = match answer(shared, request).await {
        Ok(answer) => answer,
        Err(refused) => refused.into(),
    };
    render(answer)
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Refused> {
    if request.method() != Method::POST {
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
    }
    let path = request.uri().path().to_owned();
    let most = match path.as_str() {
        ADD_CHECKPOINT => witness_wire::REQUEST_MAX,
        _ => REQUEST_MAX,
    };
    let body = Limited::new(request.into_body(), most).collect();
    let body = match timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => Zeroizing::new(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("at most {most} bytes are read"),
            ));
        }
        Ok(Err(_)) => return Err(Refused::bad("the body broke off")),
        Err(_) => return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "too slow")),
    };
    let permit = shared.work.acquire().await;
    let work = {
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || shared.service.answer(&path, &body))
    };
    let answer = work.await;
    drop(permit);
    answer.map_err(|_| Refused::failed("the request failed inside the peer"))
}

fn render(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type);
    if let Some(wait_ms) = answer.wait_ms {
        response = response
            .header(header::RETRY_AFTER, wait_ms.div_ceil(1000))
            .header(WAIT_HEADER, wait_ms);
    }
    response
        .body(Full::new(Bytes::from(answer.body)))
        .unwrap_or_default()
}
