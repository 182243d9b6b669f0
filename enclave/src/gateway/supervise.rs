//! What the host's supervisor may ask: the phase and counters from fixed lists.
//!
//! Protects against: a supervisor that learns more. Answers are numbers under
//! names chosen at compile time.

use std::sync::Arc;
use std::time::Duration;

use redoubt_shared::supervise::{SuperviseRequest, SuperviseResponse};
use redoubt_shared::{Listener, Stream, read_frame, write_frame};
use tokio::sync::Semaphore;

use super::counters::Counters;
use crate::api::Services;

const SUPERVISORS: usize = 8;

/// Answers the supervisor until the task is dropped.
pub async fn supervise<S: Services>(
    services: Arc<S>,
    counters: Arc<Counters>,
    mut listener: Listener,
) {
    let room = Arc::new(Semaphore::new(SUPERVISORS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(stream) => {
                let (services, counters) = (services.clone(), counters.clone());
                tokio::spawn(async move {
                    converse(&*services, &counters, stream).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn converse<S: Services>(services: &S, counters: &Counters, mut stream: Stream) {
    while let Ok(SuperviseRequest::Status) = read_frame(&mut stream).await {
        let counted = counters.read().into_iter().chain(services.counters());
        let answer = SuperviseResponse::Status {
            phase: services.phase(),
            counters: counted
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        };
        if write_frame(&mut stream, &answer).await.is_err() {
            return;
        }
    }
}
