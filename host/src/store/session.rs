//! An enclave's side door to the store: one session at a time, in request order.
//!
//! Protects against a restarted enclave meeting its predecessor: a new session
//! ends the old one at this door, whose running append is over before the new
//! one's first request is carried out. An enclave that waits has a door of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redoubt_shared::store::{Numbered, StoreRefusal, StoreResponse};
use redoubt_shared::{FrameError, Listener, Stream, read_frame, write_frame};

use super::service::StoreHandle;
use crate::metrics::Metrics;

/// Accepts store sessions for ever.
pub async fn serve(mut listener: Listener, store: StoreHandle, metrics: Arc<Metrics>) {
    let mut newest = tokio::task::JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "the store endpoint did not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let session = store.begin_session();
        newest.shutdown().await;
        metrics.store_sessions.fetch_add(1, Relaxed);
        let (store, metrics) = (store.clone(), metrics.clone());
        newest.spawn(async move {
            match talk(stream, &store, session).await {
                Ok(()) | Err(FrameError::Closed) => {}
                Err(error @ FrameError::Io(_)) => tracing::info!(%error, "store session ended"),
                Err(error) => {
                    metrics.malformed_frames.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "store session ended");
                }
            }
        });
    }
}

/// Serves one session until it ends or is superseded.
pub async fn talk(mut stream: Stream, store: &StoreHandle, session: u64) -> Result<(), FrameError> {
    loop {
        let Numbered { number, body } = read_frame(&mut stream).await?;
        let Some(body) = store.call(session, body).await else {
            return Ok(());
        };
        match write_frame(&mut stream, &Numbered { number, body }).await {
            Err(FrameError::Length { declared, .. }) => {
                let body = StoreResponse::Refused {
                    reason: StoreRefusal::TooLarge,
                    detail: format!("the answer needs a frame of {declared} bytes"),
                };
                write_frame(&mut stream, &Numbered { number, body }).await?;
            }
            other => other?,
        }
    }
}
