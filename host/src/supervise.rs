//! Asks the enclave how it is: phase and counters, nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redoubt_shared::supervise::{SuperviseRequest, SuperviseResponse};
use redoubt_shared::{Endpoint, FrameError, Stream, read_frame, write_frame};

use crate::metrics::Metrics;
use crate::places::Watched;

const EVERY: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(2);

/// Polls for ever, over one stream as long as it holds. The pages show the enclave
/// in front.
pub async fn poll(enclave: Endpoint, place: Watched, metrics: Arc<Metrics>) {
    let mut stream = None;
    loop {
        let asked = tokio::time::timeout(PATIENCE, ask(&enclave, stream.take())).await;
        match asked {
            Ok(Ok((answered, SuperviseResponse::Status { phase, counters }))) => {
                if place.phase() != Some(phase) {
                    tracing::info!(phase = phase.name(), "the enclave's phase");
                }
                if place.saw(Some(phase)) {
                    metrics.enclave_seen(Some((phase, counters)));
                }
                stream = Some(answered);
            }
            failed => {
                if place.phase().is_some() {
                    tracing::warn!("the enclave does not answer its supervisor");
                }
                if place.saw(None) {
                    metrics.enclave_seen(None);
                }
                if let Ok(Err(error)) = failed {
                    count(&error, &metrics);
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn count(error: &FrameError, metrics: &Metrics) {
    if !matches!(error, FrameError::Io(_) | FrameError::Closed) {
        metrics.malformed_frames.fetch_add(1, Relaxed);
    }
}

async fn ask(
    enclave: &Endpoint,
    stream: Option<Stream>,
) -> Result<(Stream, SuperviseResponse), FrameError> {
    let mut stream = match stream {
        Some(stream) => stream,
        None => enclave.connect().await?,
    };
    write_frame(&mut stream, &SuperviseRequest::Status).await?;
    let response = read_frame(&mut stream).await?;
    Ok((stream, response))
}
