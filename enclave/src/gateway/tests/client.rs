//! A running gateway and clients of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use redoubt_shared::Endpoint;
use rustls::client::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::{RootCertStore, version};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fake::Fake;
use super::pki::{Chain, World};
use crate::gateway::{Counters, Gateway, Limits};

/// A gateway on a socket of its own.
pub(super) struct Door {
    pub(super) world: World,
    pub(super) fake: Arc<Fake>,
    pub(super) counters: Arc<Counters>,
    pub(super) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Door {
    pub(super) async fn open() -> Self {
        Self::with(Limits::default()).await
    }

    pub(super) async fn with(limits: Limits) -> Self {
        let world = World::new();
        let fake = Fake::new(world.trust());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ingress");
        let listener = Endpoint::Unix(socket.clone()).listen().await.unwrap();
        let counters = Arc::new(Counters::default());
        let gateway = Gateway::new(fake.clone(), limits, counters.clone());
        tokio::spawn(gateway.serve(listener));
        Self {
            world,
            fake,
            counters,
            socket,
            _folder: folder,
        }
    }

    pub(super) fn config(&self, chain: Option<Chain>, alpn: &[&str]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.world.server.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_details(provider, Arc::new(super::tls::FixedTime))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match chain {
            Some(chain) => builder
                .with_client_auth_cert(chain.certificates, chain.key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    pub(super) async fn raw(&self, config: ClientConfig) -> io::Result<TlsStream<UnixStream>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// A connected HTTP/1.1 client.
    pub(super) async fn http1(&self, chain: Option<Chain>) -> Result<Client, String> {
        let config = self.config(chain, &["http/1.1"]);
        let stream = self.raw(config).await.map_err(|error| error.to_string())?;
        let exporter = exporter(&stream);
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Client {
            sender: Sender::Http1(sender),
            exporter,
        })
    }

    /// A connected HTTP/2 client.
    pub(super) async fn http2(&self, chain: Option<Chain>) -> Result<Client, String> {
        let config = self.config(chain, &["h2"]);
        let stream = self.raw(config).await.map_err(|error| error.to_string())?;
        let exporter = exporter(&stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Client {
            sender: Sender::Http2(sender),
            exporter,
        })
    }

    /// A client of tenant a.
    pub(super) async fn bank(&self) -> Client {
        self.http1(Some(self.world.client_a())).await.unwrap()
    }
}

fn exporter(stream: &TlsStream<UnixStream>) -> [u8; 32] {
    let (_, connection) = stream.get_ref();
    connection
        .export_keying_material([0; 32], b"EXPORTER-redoubt-attestation-v1", None)
        .unwrap()
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// One connection to the gateway.
pub(super) struct Client {
    sender: Sender,
    pub(super) exporter: [u8; 32],
}

/// A reply, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and code, checked against the media type and the rest of RFC 9457.
    pub(super) fn problem(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], self.status());
        assert_eq!(body["request_id"], self.header("x-request-id"));
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("urn:redoubt:problem:{code}"));
        assert!(body["title"].is_string() && body["detail"].is_string());
        (self.status(), code)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.head.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answered = tokio::time::timeout(Duration::from_secs(20), self.exchange(request));
        answered.await.map_err(|_| "no reply".to_owned())?
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let response: Response<hyper::body::Incoming> = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|error| error.to_string())?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                *request.version_mut() = Version::HTTP_2;
                let uri = format!("https://localhost{}", request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                request.headers_mut().remove("host");
                sender.ready().await.map_err(|error| error.to_string())?;
                sender.send_request(request).await
            }
        }
        .map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok(Answer {
            head,
            body: body.to_bytes(),
        })
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.send(request("GET", path, None, "")).await.unwrap()
    }

    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    pub(super) async fn try_post(&mut self, path: &str, body: &Value) -> Result<Answer, String> {
        let json = Some("application/json");
        self.send(request("POST", path, json, body.to_string()))
            .await
    }
}

pub(super) fn request(
    method: &str,
    path: &str,
    content_type: Option<&str>,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    if let Some(kind) = content_type {
        request = request.header("content-type", kind);
    }
    request.body(Full::new(body.into())).unwrap()
}
