//! The peer of the gateway: the same TLS and HTTP libraries, answering a fixed
//! body and nothing else. What it spends is what any such server must. At [`STORED`]
//! it hands a record to a store outside before it answers, since an enclave has no disk.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// About the size of an options reply and of a login's reply with its receipt.
const REPLY: usize = 2048;

/// The path whose answers wait for the store.
pub(crate) const STORED: &str = "/stored";
/// About the size of a sealed entry with its frame.
const RECORD: usize = 4400;
/// What the store answers.
const KEPT: usize = 8;

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
        let store = UnixListener::bind(dir.path().join("store"))?;
        std::thread::spawn(move || {
            // Ends with the server, whose stream it reads.
            if let Ok((mut stream, _)) = store.accept() {
                let mut record = vec![0; RECORD];
                while stream.read_exact(&mut record).is_ok() && stream.write_all(&[0; KEPT]).is_ok()
                {
                }
            }
        });
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
    let store = UnixStream::connect(dir.join("store")).await?;
    let store = Arc::new(Mutex::new(store));
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, store) = (acceptor.clone(), store.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let served = hyper::server::conn::http1::Builder::new();
            // The client closes when it is done; nobody waits for the outcome.
            let _ = served
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(|request| answer(request, &store)),
                )
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    store: &Mutex<UnixStream>,
) -> Result<Response<Full<Bytes>>> {
    let stored = request.uri().path() == STORED;
    request.into_body().collect().await?;
    if stored {
        let mut store = store.lock().await;
        store.write_all(&[0; RECORD]).await?;
        store.read_exact(&mut [0; KEPT]).await?;
    }
    Ok(Response::new(Full::new(Bytes::from_static(&[b'x'; REPLY]))))
}
