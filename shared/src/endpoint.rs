//! One `Endpoint` type for every stream between the parts: `vsock:CID:PORT`,
//! `unix:PATH`, and `unix:PATH:PORT` with the `CONNECT port` handshake that
//! Firecracker and vhost-device-vsock speak. One host runs against real Nitro,
//! an emulated machine or a plain process; only `main` chooses.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio_vsock::{VsockAddr, VsockListener, VsockStream};

use crate::limits::VSOCK_WRITE_MAX;

/// Where a part listens or connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `vsock:CID:PORT`; CID `any` listens for every peer.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// `unix:PATH`
    Unix(PathBuf),
    /// `unix:PATH:PORT`: connecting sends `CONNECT PORT\n` and expects `OK …\n`;
    /// listening takes what the back end forwards to `PATH_PORT`.
    UnixConnect {
        /// The back end's socket.
        path: PathBuf,
        /// Port behind it.
        port: u32,
    },
}

/// What is wrong with an endpoint's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {text:?}: write vsock:CID:PORT, unix:PATH or unix:PATH:PORT")]
pub struct EndpointError {
    text: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        parse(text).ok_or_else(|| EndpointError {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    if let Some(rest) = text.strip_prefix("vsock:") {
        let (cid, port) = rest.split_once(':')?;
        let cid = if cid == "any" {
            tokio_vsock::VMADDR_CID_ANY
        } else {
            cid.parse().ok()?
        };
        return Some(Endpoint::Vsock {
            cid,
            port: port.parse().ok()?,
        });
    }
    let path = text.strip_prefix("unix:").filter(|path| !path.is_empty())?;
    if let Some((path, port)) = path.rsplit_once(':')
        && let Ok(port) = port.parse()
    {
        return (!path.is_empty()).then(|| Endpoint::UnixConnect {
            path: path.into(),
            port,
        });
    }
    Some(Endpoint::Unix(path.into()))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Vsock {
                cid: tokio_vsock::VMADDR_CID_ANY,
                port,
            } => write!(f, "vsock:any:{port}"),
            Endpoint::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::UnixConnect { path, port } => write!(f, "unix:{}:{port}", path.display()),
        }
    }
}

impl Endpoint {
    /// Opens a stream to whoever listens here.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Endpoint::Vsock { cid, port } => {
                let stream = VsockStream::connect(VsockAddr::new(*cid, *port)).await?;
                Ok(Stream(Kind::Vsock(stream)))
            }
            Endpoint::Unix(path) => Ok(Stream(Kind::Unix(UnixStream::connect(path).await?))),
            Endpoint::UnixConnect { path, port } => {
                let stream = UnixStream::connect(path).await?;
                Ok(Stream(Kind::Forwarded(Box::new(
                    connect_handshake(stream, *port).await?,
                ))))
            }
        }
    }

    /// Listens here. A stale Unix socket file is replaced; one that answers is not.
    pub async fn listen(&self) -> io::Result<Listener> {
        match self {
            Endpoint::Vsock { cid, port } => Ok(Listener(ListenerKind::Vsock(
                VsockListener::bind(VsockAddr::new(*cid, *port))?,
            ))),
            Endpoint::Unix(path) => Ok(Listener(ListenerKind::Unix(bind_unix(path).await?))),
            Endpoint::UnixConnect { path, port } => {
                let mut forwarded = path.clone().into_os_string();
                forwarded.push(format!("_{port}"));
                Ok(Listener(ListenerKind::Unix(
                    bind_unix(Path::new(&forwarded)).await?,
                )))
            }
        }
    }
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!(
                    "{}: another process listens on this socket; stop it first",
                    path.display()
                ),
            ));
        }
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

async fn connect_handshake(mut stream: UnixStream, port: u32) -> io::Result<BufReader<UnixStream>> {
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await?;
    let mut stream = BufReader::with_capacity(VSOCK_WRITE_MAX, stream);
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let seen = stream.fill_buf().await?;
        if seen.is_empty() || line.len() > 64 {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("no answer to CONNECT {port}: nothing listens there yet"),
            ));
        }
        let taken = seen
            .iter()
            .position(|b| *b == b'\n')
            .map_or(seen.len(), |at| at + 1);
        line.extend_from_slice(&seen[..taken]);
        stream.consume(taken);
    }
    if !line.starts_with(b"OK ") {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            format!("CONNECT {port} was refused"),
        ));
    }
    Ok(stream)
}

/// A bound endpoint.
#[derive(Debug)]
pub struct Listener(ListenerKind);

#[derive(Debug)]
enum ListenerKind {
    Unix(UnixListener),
    Vsock(VsockListener),
}

impl Listener {
    /// Waits for the next peer.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        match &mut self.0 {
            ListenerKind::Unix(listener) => Ok(Stream(Kind::Unix(listener.accept().await?.0))),
            ListenerKind::Vsock(listener) => Ok(Stream(Kind::Vsock(listener.accept().await?.0))),
        }
    }
}

/// A byte stream between two parts. No single write exceeds [`VSOCK_WRITE_MAX`].
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Unix(UnixStream),
    Forwarded(Box<BufReader<UnixStream>>),
    Vsock(VsockStream),
}

impl Stream {
    /// One end of a pair made elsewhere, such as a socket inherited at start.
    pub fn from_unix(stream: UnixStream) -> Self {
        Self(Kind::Unix(stream))
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match &self.0 {
            Kind::Unix(stream) => stream.as_raw_fd(),
            Kind::Forwarded(stream) => stream.get_ref().as_raw_fd(),
            Kind::Vsock(stream) => stream.as_raw_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Forwarded(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Vsock(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let capped = &buf[..buf.len().min(VSOCK_WRITE_MAX)];
        match &mut self.get_mut().0 {
            Kind::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Kind::Forwarded(stream) => Pin::new(stream).poll_write(cx, capped),
            Kind::Vsock(stream) => Pin::new(stream).poll_write(cx, capped),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Forwarded(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Vsock(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Forwarded(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Vsock(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[test]
    fn endpoints_read_back_what_they_print() {
        for text in [
            "vsock:3:5005",
            "vsock:any:5005",
            "unix:/run/a.sock",
            "unix:/run/v:5005",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for wrong in ["", "tcp:1", "vsock:3", "vsock:x:1", "unix:", "unix::5"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_live_socket_is_not_taken_over_and_a_stale_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Unix(dir.path().join("s"));
        let listener = endpoint.listen().await.unwrap();
        assert_eq!(
            endpoint.listen().await.unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(listener);
        endpoint.listen().await.unwrap();
    }

    #[tokio::test]
    async fn the_connect_handshake_keeps_bytes_that_follow_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let backend = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let (mut peer, _) = backend.accept().await.unwrap();
            let mut hello = [0; 13];
            peer.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"CONNECT 5005\n");
            peer.write_all(b"OK 1024\nfirst bytes").await.unwrap();
        });
        let mut stream = Endpoint::UnixConnect { path, port: 5005 }
            .connect()
            .await
            .unwrap();
        let mut seen = String::new();
        stream.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "first bytes");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_back_end_without_a_guest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let backend = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move { drop(backend.accept().await) });
        let error = Endpoint::UnixConnect { path, port: 1 }
            .connect()
            .await
            .unwrap_err();
        assert!(
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
            ),
            "{error}"
        );
    }
}
