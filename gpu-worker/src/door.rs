//! Where the one stream of this process comes from.
//!
//! Protects against a second peer: a listening worker takes one stream and stops
//! listening before it is sealed, so nobody who takes it over can take another.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::Context as _;
use redoubt_shared::{Listener, Stream};

use crate::Arguments;

/// A stream, or the place where it will arrive.
pub(crate) enum Door {
    /// One end of a socket pair that the parent made.
    Inherited(Stream),
    /// Whoever comes first.
    Listening(Listener),
}

impl Door {
    /// Call within a runtime.
    pub(crate) async fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        match (arguments.stream_fd, &arguments.listen) {
            (Some(fd), _) => Ok(Self::Inherited(inherited(fd)?)),
            (None, Some(endpoint)) => {
                let listener = endpoint.listen().await;
                Ok(Self::Listening(listener.context("--listen")?))
            }
            (None, None) => anyhow::bail!("--stream-fd or --listen is needed"),
        }
    }

    /// The stream; nothing listens any more.
    pub(crate) async fn stream(self) -> anyhow::Result<Stream> {
        match self {
            Self::Inherited(stream) => Ok(stream),
            Self::Listening(mut listener) => listener.accept().await.context("--listen"),
        }
    }
}

fn inherited(fd: RawFd) -> anyhow::Result<Stream> {
    #[expect(unsafe_code, reason = "taking ownership of the inherited stream")]
    // SAFETY: `harden` found the descriptor open, and nothing else in this
    // program owns it.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    stream.set_nonblocking(true).context("--stream-fd")?;
    let stream = tokio::net::UnixStream::from_std(stream).context("--stream-fd")?;
    Ok(Stream::from_unix(stream))
}
