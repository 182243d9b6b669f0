//! Client of a Redoubt appliance.
//!
//! Types and calls are generated from the appliance's OpenAPI document. Connections are
//! TLS 1.3 under the one CA that `redoubt-audit trust` wrote, show the bank's certificate,
//! and carry HTTP/2: one connection serves any number of calls at once.
//!
//! ```no_run
//! # async fn example() -> Result<(), redoubt_client::Error> {
//! use redoubt_client::{AuthenticateOptions, Client, Connection};
//! let client = Client::new(Connection {
//!     url: "https://appliance.bank.example:8443".into(),
//!     ca: std::fs::read("trust/ca.pem")?,
//!     identity: Some((std::fs::read("bank.pem")?, std::fs::read("bank.key")?)),
//! })?;
//! let asked = AuthenticateOptions {
//!     user_id: Some("customer-4711".into()),
//!     hints: None,
//!     prf: None,
//! };
//! let options = client.authenticate_options(&asked).await?;
//! # drop(options); Ok(()) }
//! ```

mod generated;
mod request;
mod wire;

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, header};
use serde::de::DeserializeOwned;

pub use generated::*;
pub(crate) use request::{Body, Request};
use wire::Wire;

/// Where an appliance is, whom to trust, and who is asking.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `https://host:port`
    pub url: String,
    /// PEM of the CA to pin: `ca.pem` of the folder that `redoubt-audit trust` wrote.
    pub ca: Vec<u8>,
    /// PEM of the client's certificate chain, leaf first, and of its key. Without them
    /// only evidence is served.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The appliance refused: `code` is stable, `detail` says how to mend it (RFC 9457).
    #[error("{}: {}", problem.code, problem.detail)]
    Refused {
        /// What it said.
        problem: Box<ProblemBody>,
        /// Seconds after which to try again, where that helps.
        retry_after: Option<u64>,
    },
    /// What was given to connect with is unusable.
    #[error("connection: {0}")]
    Unusable(String),
    /// The connection failed, or its other end is not under the pinned CA.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// HTTP failed.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// A body could not be written or read as its type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }
}

/// Calls to one appliance under one identity.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    checkpoint: Mutex<Option<String>>,
}

impl Client {
    /// Prepares a client; it connects when it is used, and again after a broken connection.
    pub fn new(connection: Connection) -> Result<Self, Error> {
        Ok(Self {
            wire: Wire::new(&connection)?,
            checkpoint: Mutex::new(None),
        })
    }

    /// Sends a checkpoint note of this tenant's ledger, from one of its receipts, along with
    /// every call from now on: an appliance whose ledger does not continue it stops instead
    /// of answering.
    pub fn remember(&self, checkpoint: &str) {
        let header = URL_SAFE_NO_PAD.encode(checkpoint);
        *self
            .checkpoint
            .lock()
            .unwrap_or_else(|held| held.into_inner()) = Some(header);
    }

    async fn json<T: DeserializeOwned>(&self, request: Request, body: Body) -> Result<T, Error> {
        let bytes = self.send(request, body).await?;
        // A reply without a body (204) reads as `()`.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        Ok(serde_json::from_slice(text)?)
    }

    async fn text(&self, request: Request, body: Body) -> Result<String, Error> {
        let bytes = self.send(request, body).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The body of a successful reply.
    async fn send(&self, request: Request, body: Body) -> Result<Vec<u8>, Error> {
        let mut headers = request.headers;
        if let Some(kind) = body.kind {
            headers.push((header::CONTENT_TYPE.as_str(), kind.to_owned()));
        }
        let held = self
            .checkpoint
            .lock()
            .unwrap_or_else(|held| held.into_inner())
            .clone();
        headers.extend(held.map(|note| ("redoubt-checkpoint", note)));
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.map_err(|error| Error::Unusable(error.to_string()))?;
        let (head, bytes) = self
            .wire
            .exchange(method, &request.target, &headers, body.bytes)
            .await?;
        if head.status.is_success() {
            return Ok(bytes);
        }
        let after = head.headers.get(header::RETRY_AFTER);
        Err(Error::Refused {
            problem: Box::new(serde_json::from_slice(&bytes)?),
            retry_after: after.and_then(|value| value.to_str().ok()?.parse().ok()),
        })
    }
}
