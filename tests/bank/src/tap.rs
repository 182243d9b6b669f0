//! Sits between two parts, relays what they say and writes it down.
//!
//! Every stream of the appliance is an address, so whatever an untrusted relay
//! could see can be recorded without touching the parts: one file per
//! connection and direction, so that no secret is torn apart by interleaving.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// One side of a tap: `tcp:HOST:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("tcp", rest)) => Ok(Self::Tcp(rest.to_owned())),
            Some(("unix", rest)) => Ok(Self::Unix(rest.into())),
            _ => bail!("address {text:?}: write tcp:HOST:PORT or unix:PATH"),
        }
    }
}

/// Either kind of stream.
pub trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl Address {
    /// Opens a stream to it.
    pub async fn connect(&self) -> std::io::Result<Box<dyn Both>> {
        Ok(match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Box<dyn Both>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// A bound tap.
pub struct Tap {
    listener: Listener,
    target: Address,
    dir: Arc<PathBuf>,
    /// The address that was bound, with the port that was chosen.
    pub bound: String,
}

impl Tap {
    /// Binds `listen`; connections go on to `target`, their bytes to files below `dir`.
    pub async fn bind(listen: &Address, target: Address, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let (listener, bound) = match listen {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let bound = listener.local_addr()?.to_string();
                (Listener::Tcp(listener), bound)
            }
            Address::Unix(path) => {
                let _ = std::fs::remove_file(path);
                let listener = UnixListener::bind(path).context(path.display().to_string())?;
                (Listener::Unix(listener), path.display().to_string())
            }
        };
        Ok(Self {
            listener,
            target,
            dir: Arc::new(dir.to_path_buf()),
            bound,
        })
    }

    /// Relays until it is dropped.
    pub async fn run(self) -> Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let near = self.listener.accept().await?;
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let (target, dir) = (self.target.clone(), self.dir.clone());
            tokio::spawn(async move {
                let stem = format!("{}-{number:06}", std::process::id());
                // A peer that is not up yet closes the near side: the caller tries again.
                let _ = relay(near, &target, &dir.join(stem)).await;
            });
        }
    }
}

async fn relay(near: Box<dyn Both>, target: &Address, stem: &Path) -> Result<()> {
    let far = target.connect().await?;
    let up = File::create(stem.with_extension("up")).await?;
    let down = File::create(stem.with_extension("down")).await?;
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let forth = copy(near_read, far_write, up);
    let back = copy(far_read, near_write, down);
    let (_, _) = tokio::join!(forth, back);
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut record: File,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            record.flush().await?;
            return to.shutdown().await;
        }
        record.write_all(&buffer[..count]).await?;
        record.flush().await?;
        to.write_all(&buffer[..count]).await?;
    }
}
