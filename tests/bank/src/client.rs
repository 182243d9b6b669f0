//! A pooled HTTP client over mutual TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::api::{BankError, Problem};
use crate::dev::{Dev, Identity};
use crate::tls::{ClientPem, client_config};
use crate::wire::Connector;

/// A request body: whole, or streamed.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// Where and as whom to connect.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `https://host:port`
    pub url: String,
    /// PEM of the CA to pin.
    pub ca: Vec<u8>,
    /// Who we are; `None` shows no certificate.
    pub client: Option<ClientPem>,
    /// HTTP/2 instead of HTTP/1.1.
    pub http2: bool,
}

impl Connection {
    /// The connection that `dev.json` describes, as the given identity.
    pub fn from_dev(dev: &Dev, identity: Option<&Identity>, http2: bool) -> Result<Self> {
        Ok(Self {
            url: dev.url.clone(),
            ca: std::fs::read(&dev.ca).with_context(|| dev.ca.display().to_string())?,
            client: identity.map(ClientPem::read).transpose()?,
            http2,
        })
    }
}

/// A bank: connections to one appliance under one identity.
#[derive(Debug, Clone)]
pub struct Bank {
    base: String,
    http: legacy::Client<Connector, Body>,
    deadline: Duration,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Bank {
    /// Prepares the client; connections open when they are needed.
    pub fn open(connection: &Connection) -> Result<Self> {
        let config = client_config(&connection.ca, connection.client.as_ref(), connection.http2)?;
        let connector = Connector {
            config: Arc::new(config),
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .http2_only(connection.http2)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Ok(Self {
            base: connection.url.trim_end_matches('/').to_owned(),
            http,
            deadline: Duration::from_secs(60),
        })
    }

    /// The same client with another limit on one request's time.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Result<Reply, BankError> {
        self.send(Method::GET, path, &[], whole(Bytes::new())).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Reply, BankError> {
        self.post_with(path, body, &[]).await
    }

    /// `POST` of a JSON body with further headers.
    pub async fn post_with(
        &self,
        path: &str,
        body: &serde_json::Value,
        headers: &[(&str, &str)],
    ) -> Result<Reply, BankError> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = whole(Bytes::from(body.to_string()));
        self.send(Method::POST, path, &all, body).await
    }

    /// `PUT` of a FIDO metadata BLOB; the reply's JSON.
    pub async fn put_metadata(&self, blob: &str) -> Result<serde_json::Value, BankError> {
        let headers = [("content-type", "application/jose")];
        let body = whole(Bytes::from(blob.to_owned()));
        let path = "/api/v1/admin/metadata";
        self.send(Method::PUT, path, &headers, body).await?.read()
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Reply, BankError> {
        self.send(Method::DELETE, path, &[], whole(Bytes::new()))
            .await
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Reply, BankError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(BankError::transport)?;
        tokio::time::timeout(self.deadline, self.exchange(request))
            .await
            .map_err(|_| BankError::TimedOut(self.deadline))?
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Reply, BankError> {
        let response = self
            .http
            .request(request)
            .await
            .map_err(BankError::transport)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(BankError::transport)?;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

/// A body that is all there.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: std::convert::Infallible| match never {})
        .boxed()
}

impl Reply {
    /// The body of a successful answer, or the problem that came instead.
    pub fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, BankError> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body).map_err(|source| BankError::Unreadable {
            status: self.status.as_u16(),
            detail: source.to_string(),
        })
    }

    /// The answer as a refusal, whatever its status.
    pub fn refusal(&self) -> BankError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => BankError::Refused {
                status: self.status.as_u16(),
                problem: Box::new(problem),
                retry_after: self.retry_after(),
            },
            Err(source) => BankError::Unreadable {
                status: self.status.as_u16(),
                detail: format!("no problem document: {source}"),
            },
        }
    }

    /// `Retry-After` in seconds.
    pub fn retry_after(&self) -> Option<u64> {
        let value = self.headers.get(header::RETRY_AFTER)?;
        value.to_str().ok()?.parse().ok()
    }
}
