//! Speaks on the stream: handshake, proof, then jobs until it closes.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redoubt_attestation::binding::{EXPORTER_BYTES, EXPORTER_LABEL};
use redoubt_shared::limits::JOB_DEADLINE_MS;
use redoubt_shared::worker::{SampleRefusal, WorkerRequest, WorkerResponse};
use redoubt_shared::{FrameError, JobId, read_frame, write_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use super::{Identity, IdentityError, Job, Queue, Sample};

/// Why a session ended otherwise than by its stream closing.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer broke TLS, or the stream failed.
    #[error("session: {0}")]
    Stream(#[from] std::io::Error),
    /// The peer sent something that is no request.
    #[error("session: {0}")]
    Frame(#[from] FrameError),
    /// No evidence could be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The peer sent a job before it asked for proof.
    #[error("the peer sent a job before it asked what this is")]
    Unproven,
}

/// Serves the one session of this process; returns when the stream closes.
pub async fn serve<S>(
    stream: S,
    identity: &Identity,
    queue: &Arc<Queue<Job>>,
) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let acceptor = TlsAcceptor::from(identity.tls());
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        // Closed before it began: the host lets an unused worker go.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut exporter = [0; EXPORTER_BYTES];
    let (_, session) = stream.get_ref();
    session
        .export_keying_material(&mut exporter, EXPORTER_LABEL, None)
        .map_err(IdentityError::Tls)?;
    let (mut reader, mut writer) = split(stream);
    let (replies, answers) = unbounded_channel();
    let ended = tokio::select! {
        ended = requests(&mut reader, identity, &exporter, queue, &replies) => ended,
        ended = write(&mut writer, answers) => ended,
    };
    let _ = writer.shutdown().await;
    match ended {
        Err(SessionError::Frame(FrameError::Closed)) => Ok(()),
        // A host that ends the session does not say goodbye for the peer.
        Err(SessionError::Frame(FrameError::Io(error)))
            if error.kind() == ErrorKind::UnexpectedEof =>
        {
            Ok(())
        }
        other => other,
    }
}

async fn requests<R: AsyncRead + Unpin>(
    reader: &mut R,
    identity: &Identity,
    exporter: &[u8; EXPORTER_BYTES],
    queue: &Queue<Job>,
    replies: &UnboundedSender<WorkerResponse>,
) -> Result<(), SessionError> {
    let mut proven = false;
    loop {
        match read_frame(reader).await? {
            WorkerRequest::Prove { nonce } => {
                proven = true;
                let _ = replies.send(identity.evidence(&nonce, exporter)?);
            }
            WorkerRequest::Face { .. }
            | WorkerRequest::Voice { .. }
            | WorkerRequest::Frames { .. }
            | WorkerRequest::Spoken { .. }
                if !proven =>
            {
                return Err(SessionError::Unproven);
            }
            WorkerRequest::Face {
                job,
                deadline_ms,
                liveness,
                image,
            } => enqueue(
                queue,
                replies,
                job,
                deadline_ms,
                Sample::Face { image, liveness },
            ),
            WorkerRequest::Voice {
                job,
                deadline_ms,
                audio,
            } => enqueue(queue, replies, job, deadline_ms, Sample::Voice(audio)),
            WorkerRequest::Spoken {
                job,
                deadline_ms,
                audio,
            } => enqueue(queue, replies, job, deadline_ms, Sample::Spoken(audio)),
            WorkerRequest::Frames {
                job,
                deadline_ms,
                liveness,
                frames,
            } => enqueue(
                queue,
                replies,
                job,
                deadline_ms,
                Sample::Frames { frames, liveness },
            ),
        }
    }
}

fn enqueue(
    queue: &Queue<Job>,
    replies: &UnboundedSender<WorkerResponse>,
    id: JobId,
    deadline_ms: u32,
    sample: Sample,
) {
    let wait = Duration::from_millis(deadline_ms.min(JOB_DEADLINE_MS).into());
    let (bytes, work) = (sample.bytes(), sample.work());
    let job = Job {
        id,
        sample,
        deadline: Instant::now() + wait,
        reply: replies.clone(),
    };
    if let Err(job) = queue.push(job, bytes, work) {
        job.refuse(SampleRefusal::Busy);
    }
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    mut answers: UnboundedReceiver<WorkerResponse>,
) -> Result<(), SessionError> {
    while let Some(answer) = answers.recv().await {
        write_frame(writer, &answer).await?;
    }
    Ok(())
}
