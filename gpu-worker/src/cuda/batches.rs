//! One thread owns the device and runs what waits, up to a batch at a time: while
//! one batch runs, the next one gathers. Nobody waits for a batch to fill. If the
//! device fails, hangs or its thread panics, this process ends: nothing it answers
//! could be believed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use redoubt_shared::limits::JOB_DEADLINE_MS;

use super::CudaError;
use super::engine::{Device, Engine};
use crate::sandbox::{end, forbid_files};

/// Nobody waits that long for a face: a device that takes longer hangs.
const HUNG: Duration = Duration::from_millis(2 * JOB_DEADLINE_MS as u64);

struct Ask {
    image: Vec<f32>,
    reply: SyncSender<Vec<f32>>,
}

/// Gives images to the thread that owns the device.
#[derive(Debug, Clone)]
pub struct Handle {
    asks: SyncSender<Ask>,
}

impl Handle {
    /// Starts the thread, which makes its own engine: a driver prepares each thread
    /// at its first call, and later nothing can be prepared any more. Returns what
    /// `make` says of it, once no file can be opened there.
    pub(super) fn start<D, T>(
        make: impl FnOnce() -> Result<(Engine<D>, T), CudaError> + Send + 'static,
    ) -> Result<(Self, T), CudaError>
    where
        D: Device<Error = CudaError>,
        T: Send + 'static,
    {
        let (asks, waiting) = sync_channel(super::BATCH * 4);
        let (ready, made) = sync_channel(1);
        let thread = std::thread::Builder::new().name("device".into());
        thread.spawn(move || {
            let engine = match make() {
                Ok((engine, said)) => {
                    let _ = ready.send(forbid_files().map(|()| said).map_err(CudaError::from));
                    engine
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let ended = catch_unwind(AssertUnwindSafe(|| work(engine, &waiting)));
            if !matches!(ended, Ok(Ok(()))) {
                if let Ok(Err(error)) = ended {
                    tracing::error!(%error, "the device failed");
                }
                end(1);
            }
        })?;
        let said = made.recv().map_err(|_| CudaError::Gone)??;
        Ok((Self { asks }, said))
    }

    /// The network's answer for one image.
    pub fn run(&self, image: &[f32]) -> Result<Vec<f32>, CudaError> {
        let (reply, answer) = sync_channel(1);
        let ask = Ask {
            image: image.to_vec(),
            reply,
        };
        self.asks.send(ask).map_err(|_| CudaError::Gone)?;
        match answer.recv_timeout(HUNG) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::error!("the device hangs");
                end(1);
            }
            answer => answer.map_err(|_| CudaError::Gone),
        }
    }
}

/// Until nobody can ask any more.
fn work<D: Device>(engine: Engine<D>, waiting: &Receiver<Ask>) -> Result<(), D::Error> {
    // Never dropped: a sealed process cannot give device memory back, the kernel does.
    let mut engine = std::mem::ManuallyDrop::new(engine);
    let length = engine.input();
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < engine.most() {
            match waiting.try_recv() {
                Ok(ask) => batch.push(ask),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        // An image of another length has no answer; its asker sees the hang-up.
        batch.retain(|ask| ask.image.len() == length);
        if batch.is_empty() {
            continue;
        }
        let images: Vec<f32> = batch.iter().flat_map(|ask| &ask.image).copied().collect();
        let answers = engine.run(&images)?;
        for (ask, answer) in batch.iter().zip(answers.chunks(engine.output())) {
            // Whoever stopped waiting needs no answer.
            let _ = ask.reply.send(answer.to_vec());
        }
    }
    Ok(())
}
