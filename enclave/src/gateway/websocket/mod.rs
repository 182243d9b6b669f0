//! The same feed as messages of a WebSocket (RFC 6455), for who asks so over HTTP/1.1.
//!
//! Protects against a second protocol that takes what the first would refuse: nothing
//! but the feed's own route answers it, after the same admission; nothing that a client
//! says on it is read but signs of life and the end; it keeps its connection's place and
//! ends no later; a page of another origin, whose browser holds a certificate, gets none.

mod frame;
mod handshake;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use self::frame::FRAME_MAX;
pub use self::frame::{Ending, Received, read};
pub(super) use self::handshake::Handshake;
use crate::api::{ApprovalFeed, ApprovalNews};

/// For how long a message may wait for room.
const PATIENCE: Duration = Duration::from_secs(15);

/// A feed whose connection is about to change its protocol, on its way there.
#[derive(Clone)]
pub(super) struct Changing(Arc<Mutex<Option<Told>>>);

/// What is told, and where.
struct Told {
    upgrade: OnUpgrade,
    feed: ApprovalFeed,
}

impl Changing {
    fn new(upgrade: OnUpgrade, feed: ApprovalFeed) -> Self {
        Self(Arc::new(Mutex::new(Some(Told { upgrade, feed }))))
    }

    /// Tells the feed to its end, or to the end of the connection, which leaves
    /// `goodbye` for the client's own.
    pub(super) async fn go_on(self, end: Instant, goodbye: Duration) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Told { upgrade, feed }) = told else {
            return;
        };
        if let Ok(Ok(stream)) = timeout_at(end, upgrade).await {
            tell(TokioIo::new(stream), feed, end, goodbye).await;
        }
    }
}

async fn tell(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    feed: ApprovalFeed,
    end: Instant,
    goodbye: Duration,
) {
    let told = timeout_at(end, messages(&mut stream, feed)).await;
    let ending = match told {
        Ok(Some(ending)) => ending,
        Ok(None) => return,
        Err(_) => Ending::GoingAway,
    };
    let last = async {
        stream.write_all(&frame::close(ending)).await?;
        stream.shutdown().await?;
        // What was under way is read, so that our close is not lost to a reset.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(goodbye, last).await;
}

/// Why it ends; `None` where nobody is there any more.
async fn messages(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut feed: ApprovalFeed,
) -> Option<Ending> {
    let mut received = Vec::with_capacity(FRAME_MAX);
    let (mut unanswered, mut ended) = (false, false);
    loop {
        let mut part = [0; FRAME_MAX];
        tokio::select! {
            news = feed.next() => {
                let message = match news {
                    None if ended => return Some(Ending::Normal),
                    // The approval goes on; somebody else will tell.
                    None => return Some(Ending::GoingAway),
                    Some(ApprovalNews::Changed(change)) => {
                        ended = change.status.ended();
                        frame::text(&serde_json::to_string(&change).ok()?)
                    }
                    // Who did not answer the last one is gone.
                    Some(ApprovalNews::Unchanged) if unanswered => return None,
                    Some(ApprovalNews::Unchanged) => {
                        unanswered = true;
                        frame::ping()
                    }
                };
                send(stream, &message).await?;
            }
            length = stream.read(&mut part) => {
                let length = length.ok().filter(|length| *length > 0)?;
                received.extend_from_slice(&part[..length]);
                loop {
                    match frame::read(&received) {
                        Err(ending) => return Some(ending),
                        Ok(None) => break,
                        Ok(Some((Received::Close, _))) => return Some(Ending::Normal),
                        Ok(Some((answer, taken))) => {
                            received.drain(..taken);
                            match answer {
                                Received::Ping(content) => {
                                    send(stream, &frame::pong(&content)).await?;
                                }
                                _ => unanswered = false,
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whoever takes nothing for so long is gone.
async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Option<()> {
    let sent = async {
        stream.write_all(message).await?;
        stream.flush().await
    };
    tokio::time::timeout(PATIENCE, sent).await.ok()?.ok()
}
