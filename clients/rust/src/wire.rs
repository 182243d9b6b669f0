//! One HTTP/2 connection over pinned, mutual TLS 1.3.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::{Connection, Error};

type Sender = SendRequest<Full<Bytes>>;

pub(crate) struct Wire {
    host: String,
    port: u16,
    tls: TlsConnector,
    open: Mutex<Option<Sender>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({}:{})", self.host, self.port)
    }
}

impl Wire {
    pub(crate) fn new(connection: &Connection) -> Result<Self, Error> {
        let url: Uri = connection.url.parse().map_err(unusable)?;
        let host = url.host().ok_or_else(|| unusable("the URL has no host"))?;
        Ok(Self {
            host: host.to_owned(),
            port: url.port_u16().unwrap_or(443),
            tls: TlsConnector::from(Arc::new(config(connection)?)),
            open: Mutex::new(None),
        })
    }

    /// Sends a request and reads the whole reply.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<(Parts, Vec<u8>), Error> {
        let uri = format!("https://{}:{}{target}", self.host, self.port);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(body)).map_err(unusable)?;
        let mut sender = self.sender().await?;
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok((head, body.collect().await?.to_bytes().to_vec()))
    }

    /// The open connection, or a new one.
    async fn sender(&self) -> Result<Sender, Error> {
        let mut open = self.open.lock().await;
        if let Some(sender) = open.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let name = ServerName::try_from(self.host.clone()).map_err(unusable)?;
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let stream = TokioIo::new(self.tls.connect(name, tcp).await?);
        let (sender, driver) = handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(driver);
        *open = Some(sender.clone());
        Ok(sender)
    }
}

fn unusable(error: impl ToString) -> Error {
    Error::Unusable(error.to_string())
}

/// A configuration that trusts the pinned CA alone.
fn config(connection: &Connection) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&connection.ca) {
        roots
            .add(certificate.map_err(unusable)?)
            .map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(unusable("the file to pin holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots);
    let mut config = match &connection.identity {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(key).map_err(unusable)?;
            let chain = chain.map_err(unusable)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(unusable)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
