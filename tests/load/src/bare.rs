//! The peer of the gateway: the same TLS and HTTP libraries, answering a fixed
//! body and nothing else. What it spends is what any such server must.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use redoubt_bank::client::{Bank, Connection};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// About the size of an options reply and of a login's reply with its receipt.
const REPLY: usize = 2048;

/// A running bare server.
pub(crate) struct Bare {
    child: Child,
    dir: tempfile::TempDir,
}

impl Bare {
    pub(crate) fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem())?;
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem())?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--json", "/dev/null", "--bare-server"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .spawn()?;
        let bare = Self { child, dir };
        for _ in 0..200 {
            if bare.dir.path().join("port").exists() {
                return Ok(bare);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("the bare server did not start")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Result<Bank> {
        let port = std::fs::read_to_string(self.dir.path().join("port"))?;
        Bank::open(&Connection {
            url: format!("https://localhost:{port}"),
            ca: std::fs::read(self.dir.path().join("cert.pem"))?,
            client: None,
            http2: false,
        })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may be gone already; either way it is over.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side.
pub(crate) fn serve(dir: &Path) -> Result<()> {
    let certificate = CertificateDer::from_pem_file(dir.join("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(accept(dir, Arc::new(config)))
}

async fn accept(dir: &Path, config: Arc<rustls::ServerConfig>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let partial = dir.join("port.part");
    std::fs::write(&partial, port.to_string()).context("port file")?;
    std::fs::rename(partial, dir.join("port"))?;
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let served = hyper::server::conn::http1::Builder::new();
            // The client closes when it is done; nobody waits for the outcome.
            let _ = served
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    Ok(Response::new(Full::new(Bytes::from_static(&[b'x'; REPLY]))))
}
