//! The store endpoint as a hostile host would serve it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_shared::store::{Numbered, StoreRequest, StoreResponse};
use redoubt_shared::{encode, read_frame, write_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::disk::Disk;
use crate::nonces::Nonces;

/// What the host does with one request.
#[derive(Debug)]
pub enum Act {
    /// What an honest store would do.
    Honest,
    /// These answers at once, instead; nothing else happens.
    Say(Vec<StoreResponse>),
    /// The same, each numbered as if it answered the request after the one before.
    SayAhead(Vec<StoreResponse>),
    /// What an honest store would do, acknowledged so much later.
    Late(Duration),
    /// What an honest store would do, then the stream ends without an answer.
    KeepAndHangUp,
    /// What an honest store would do, and never a word about it.
    KeepInSilence,
    /// The stream ends.
    HangUp,
    /// Nothing until the trick changes; then the request is looked at again.
    Silence,
}

/// Decides on each request; may edit the disk.
pub type Trick = Box<dyn FnMut(&StoreRequest, &mut Disk) -> Act + Send>;

/// No trick at all.
pub fn honest() -> Trick {
    Box::new(|_, _| Act::Honest)
}

struct State {
    disk: Mutex<Disk>,
    trick: Mutex<Trick>,
    changes: watch::Sender<u64>,
    nonces: Arc<Nonces>,
    real: Option<PathBuf>,
    silences: AtomicU64,
}

/// A listening store; it ends with its owner.
pub struct Store {
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Serves a disk in memory.
    pub fn listen(path: &Path, disk: Disk, trick: Trick, nonces: Arc<Nonces>) -> Result<Self> {
        Self::open(path, disk, trick, nonces, None)
    }

    /// Stands before a real store: what is honest goes there.
    pub fn before(path: &Path, real: &Path, nonces: Arc<Nonces>) -> Result<Self> {
        let real = Some(real.to_path_buf());
        Self::open(path, Disk::default(), honest(), nonces, real)
    }

    fn open(
        path: &Path,
        disk: Disk,
        trick: Trick,
        nonces: Arc<Nonces>,
        real: Option<PathBuf>,
    ) -> Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
        let state = Arc::new(State {
            disk: Mutex::new(disk),
            trick: Mutex::new(trick),
            changes: watch::channel(0).0,
            nonces,
            real,
            silences: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { state, task })
    }

    /// The disk as it is now.
    pub fn snapshot(&self) -> Disk {
        locked(&self.state.disk).clone()
    }

    /// Edits the disk behind the enclave's back.
    pub fn edit(&self, change: impl FnOnce(&mut Disk)) {
        change(&mut locked(&self.state.disk));
    }

    /// How often it fell silent over a request, with what is to be kept of it kept.
    pub fn silences(&self) -> u64 {
        self.state.silences.load(Ordering::SeqCst)
    }

    /// From now on another trick; what waits is looked at again.
    pub fn play(&self, trick: Trick) {
        *locked(&self.state.trick) = trick;
        self.state.changes.send_modify(|count| *count += 1);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, state: Arc<State>) {
    // Connections end with the listener: the set aborts them when it is dropped.
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        open.spawn(async move {
            // A stream that ends or breaks is the enclave's to open again.
            let _ = serve(stream, &state).await;
        });
        while open.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: UnixStream, state: &State) -> Result<()> {
    let mut real = match &state.real {
        Some(path) => Some(UnixStream::connect(path).await?),
        None => None,
    };
    loop {
        let asked: Numbered<StoreRequest> = read_frame(&mut stream).await?;
        let (number, request) = (asked.number, asked.body);
        state.nonces.note(&request);
        loop {
            let mut changes = state.changes.subscribe();
            let act = (locked(&state.trick))(&request, &mut locked(&state.disk));
            match act {
                Act::Silence => {
                    state.silences.fetch_add(1, Ordering::SeqCst);
                    let mut byte = [0];
                    tokio::select! {
                        changed = changes.changed() => changed?,
                        // Nobody waits any more, or speaks out of turn.
                        _ = stream.read(&mut byte) => return Ok(()),
                    }
                }
                Act::HangUp => return Ok(()),
                Act::KeepAndHangUp => {
                    honestly(state, &mut real, &request).await?;
                    return Ok(());
                }
                Act::KeepInSilence => {
                    honestly(state, &mut real, &request).await?;
                    state.silences.fetch_add(1, Ordering::SeqCst);
                    // Until the peer gives up.
                    let _ = stream.read(&mut [0]).await;
                    return Ok(());
                }
                Act::Late(time) => {
                    let answer = honestly(state, &mut real, &request).await?;
                    tokio::time::sleep(time).await;
                    write_frame(&mut stream, &numbered(number, answer)).await?;
                    break;
                }
                Act::Honest => {
                    let answer = honestly(state, &mut real, &request).await?;
                    write_frame(&mut stream, &numbered(number, answer)).await?;
                    break;
                }
                Act::Say(answers) => {
                    say(&mut stream, answers, |_| number).await?;
                    break;
                }
                Act::SayAhead(answers) => {
                    say(&mut stream, answers, |nth| number + nth).await?;
                    break;
                }
            }
        }
    }
}

async fn say(
    stream: &mut UnixStream,
    answers: Vec<StoreResponse>,
    number: impl Fn(u64) -> u64,
) -> Result<()> {
    let mut frames = Vec::new();
    for (nth, body) in (0..).zip(answers) {
        frames.extend(encode(&numbered(number(nth), body))?);
    }
    Ok(stream.write_all(&frames).await?)
}

fn numbered<T>(number: u64, body: T) -> Numbered<T> {
    Numbered { number, body }
}

async fn honestly(
    state: &State,
    real: &mut Option<UnixStream>,
    request: &StoreRequest,
) -> Result<StoreResponse> {
    match real {
        None => Ok(locked(&state.disk).answer(request)),
        Some(stream) => {
            // One question at a time: all of them may have one number.
            write_frame(stream, &numbered(0, request)).await?;
            let answer: Numbered<StoreResponse> = read_frame(stream).await?;
            Ok(answer.body)
        }
    }
}
