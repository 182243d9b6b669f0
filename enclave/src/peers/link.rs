//! One kept-alive HTTP/1.1 connection to one peer.
//!
//! Protects against a host or a peer that never answers or answers without end:
//! connecting and every exchange have a time limit, answers a size limit. A
//! connection that fails is dropped, and the next request makes a new one.

use std::fmt::Display;
use std::future::Future;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::PeerEntry;
use redoubt_attestation::peers::ANSWER_MAX;
use redoubt_shared::Endpoint;
use redoubt_shared::frame::{read_frame, write_frame};
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{PeerError, PeerLimits, tls};

/// Longest reason of a refusal that is kept, in characters.
const TEXT_MAX: usize = 300;

type Connection = SendRequest<Full<Bytes>>;

/// A connection that comes back after it failed.
pub(super) struct Link {
    endpoint: Option<Endpoint>,
    name: String,
    pin: Digest32,
    limits: PeerLimits,
    connection: Mutex<Option<Connection>>,
}

/// A whole answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// One request, which may be sent a second time.
pub(super) struct Ask<'a> {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'a [u8],
    pub(super) answer_max: usize,
}

/// An exchange that failed: whether the time was up, and how.
struct Failed {
    late: bool,
    error: PeerError,
}

impl Link {
    pub(super) fn new(endpoint: Option<Endpoint>, entry: &PeerEntry, limits: PeerLimits) -> Self {
        Self {
            endpoint,
            name: entry.name.clone(),
            pin: entry.tls_spki_sha256,
            limits,
            connection: Mutex::new(None),
        }
    }

    /// Sends a request and reads its answer. One at a time: others wait. What
    /// peers are asked may be asked twice, so a kept connection that turns out
    /// to be dead is replaced once.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Reply, PeerError> {
        let mut slot = self.connection.lock().await;
        // Taken out: whoever drops this future drops the half-used connection.
        if let Some(kept) = slot.take().filter(|kept| !kept.is_closed()) {
            match self.exchange(kept, ask).await {
                Ok((reply, connection)) => {
                    *slot = connection;
                    return Ok(reply);
                }
                Err(Failed { late: true, error }) => return Err(error),
                Err(Failed { late: false, .. }) => {}
            }
        }
        let fresh = self.connect().await?;
        let (reply, connection) = self.exchange(fresh, ask).await.map_err(|f| f.error)?;
        *slot = connection;
        Ok(reply)
    }

    /// Asks in JSON for JSON; another status than 200 is a refusal.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &'static str,
        request: &impl Serialize,
    ) -> Result<T, PeerError> {
        let body = serde_json::to_vec(request).map_err(|e| self.malformed(e))?;
        let body = Zeroizing::new(body);
        let ask = Ask {
            path,
            content_type: "application/json",
            body: &body,
            answer_max: ANSWER_MAX,
        };
        let reply = self.ask(&ask).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refusal(&reply));
        }
        serde_json::from_slice(&reply.body).map_err(|e| self.malformed(e))
    }

    async fn connect(&self) -> Result<Connection, PeerError> {
        match timeout(self.limits.connect, self.open()).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable("no connection in time")),
        }
    }

    async fn open(&self) -> Result<Connection, PeerError> {
        let lost = |error: &dyn Display| self.unreachable(error);
        let endpoint = self
            .endpoint
            .as_ref()
            .ok_or_else(|| self.unreachable("the enclave was started without --peers"))?;
        let mut stream = endpoint.connect().await.map_err(|e| lost(&e))?;
        let request = PeerRequest {
            name: self.name.clone(),
        };
        write_frame(&mut stream, &request)
            .await
            .map_err(|e| lost(&e))?;
        match read_frame(&mut stream).await.map_err(|e| lost(&e))? {
            PeerResponse::Connected => {}
            PeerResponse::Refused { detail } => return Err(self.unreachable(shorten(&detail))),
        }
        let config = tls::config(self.pin).map_err(|e| lost(&e))?;
        let name = ServerName::try_from("redoubt-peer").map_err(|e| lost(&e))?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|e| lost(&e))?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| lost(&e))?;
        // Ends when the sender is dropped or the peer closes; its error comes
        // out of the request that met it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// One request on one connection, which comes back if it can be used again.
    async fn exchange(
        &self,
        mut connection: Connection,
        ask: &Ask<'_>,
    ) -> Result<(Reply, Option<Connection>), Failed> {
        let reply = self
            .within(async {
                connection.ready().await.map_err(|e| e.to_string())?;
                let answer = connection.send_request(self.request(ask)?).await;
                let (head, body) = answer.map_err(|e| e.to_string())?.into_parts();
                let body = Limited::new(body, ask.answer_max).collect().await;
                Ok(Reply {
                    status: head.status,
                    headers: head.headers,
                    body: body.map_err(|e| e.to_string())?.to_bytes(),
                })
            })
            .await?;
        let usable = !connection.is_closed();
        Ok((reply, usable.then_some(connection)))
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, String> {
        let body = Bytes::from_owner(Zeroizing::new(ask.body.to_vec()));
        Request::post(ask.path)
            .header(HOST, &self.name)
            .header(CONTENT_TYPE, ask.content_type)
            .body(Full::new(body))
            .map_err(|error| error.to_string())
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, Failed> {
        match timeout(self.limits.exchange, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(detail)) => Err(Failed {
                late: false,
                error: self.unreachable(detail),
            }),
            Err(_) => Err(Failed {
                late: true,
                error: self.unreachable("no answer in time"),
            }),
        }
    }

    fn unreachable(&self, detail: impl Display) -> PeerError {
        PeerError::Unreachable {
            peer: self.name.clone(),
            detail: detail.to_string(),
        }
    }

    pub(super) fn malformed(&self, problem: impl Display) -> PeerError {
        PeerError::Malformed {
            peer: self.name.clone(),
            problem: problem.to_string(),
        }
    }

    /// What an answer other than success means.
    pub(super) fn refusal(&self, reply: &Reply) -> PeerError {
        if reply.status == StatusCode::SERVICE_UNAVAILABLE
            && let Some(wait) = wait_of(&reply.headers)
        {
            return PeerError::Wait(wait);
        }
        PeerError::Refused {
            peer: self.name.clone(),
            status: reply.status.as_u16(),
            text: shorten(&String::from_utf8_lossy(&reply.body)),
        }
    }
}

/// Milliseconds where the peer says them, else the seconds of `Retry-After`.
fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let millis = number(redoubt_attestation::peers::WAIT_HEADER)
        .or_else(|| number("retry-after").map(|seconds| seconds.saturating_mul(1000)))?;
    let longest = *redoubt_attestation::genesis::LEASE_MS.end();
    Some(Duration::from_millis(millis.min(longest)))
}

/// A stranger's text on one short line.
fn shorten(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(TEXT_MAX).map(printable).collect();
    text.trim().to_owned()
}
