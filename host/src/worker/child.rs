//! Starting one worker process and making sure it ends.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::files::write_atomically;

/// All the environment a worker gets, and only where the host has it.
const ENVIRONMENT: [&str; 4] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
];
/// A log beyond this many bytes is put aside at the next start.
const LOG_MAX: u64 = 16 * 1024 * 1024;

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; `--stream-fd N` is added.
    pub arguments: Vec<OsString>,
    /// Where its standard error goes; the host's own if `None`.
    pub log: Option<PathBuf>,
    /// Where to write its process id.
    pub pid_file: Option<PathBuf>,
}

/// The thread that is every worker's parent.
///
/// The kernel's "end with your parent" is tied to the *thread* that started
/// the child, so that thread must live as long as the process.
#[derive(Debug)]
pub struct Parent {
    requests: mpsc::UnboundedSender<oneshot::Sender<io::Result<Worker>>>,
}

impl Parent {
    /// Starts the thread. Call within a runtime.
    pub fn new(launch: Launch) -> io::Result<Self> {
        let (requests, mut inbox) =
            mpsc::unbounded_channel::<oneshot::Sender<io::Result<Worker>>>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("worker-parent".into())
            .spawn(move || {
                let _entered = runtime.enter();
                while let Some(reply) = inbox.blocking_recv() {
                    let _ = reply.send(launch.start());
                }
            })?;
        Ok(Self { requests })
    }

    /// Starts a fresh worker.
    pub async fn start(&self) -> io::Result<Worker> {
        let gone = || io::Error::other("the thread that starts workers is gone");
        let (reply, answer) = oneshot::channel();
        self.requests.send(reply).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Launch {
    fn start(&self) -> io::Result<Worker> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let theirs = OwnedFd::from(theirs);
        let fd = theirs.as_raw_fd();
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg("--stream-fd")
            .arg(fd.to_string())
            .env_clear()
            .envs(
                ENVIRONMENT
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.stderr()?)
            .kill_on_drop(true);
        let host = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe system calls are
        // made (prctl, getppid, fcntl), on values copied before the fork.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(move || inherit(fd, host));
        }
        let child = command.spawn().map_err(|error| {
            let program = self.program.display();
            io::Error::new(
                error.kind(),
                format!("{program}: {error}; see --worker-bin"),
            )
        })?;
        drop(theirs);
        let pid = child.id().unwrap_or(0);
        if let Some(path) = &self.pid_file {
            write_atomically(path, format!("{pid}\n").as_bytes())?;
        }
        Ok(Worker {
            child,
            pid,
            stream: UnixStream::from_std(ours)?,
        })
    }

    fn stderr(&self) -> io::Result<Stdio> {
        let Some(path) = &self.log else {
            return Ok(Stdio::inherit());
        };
        put_aside(path);
        let file = File::options().create(true).append(true).open(path);
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Ok(file.map_err(named)?.into())
    }
}

/// Keeps one old log; a chatty worker cannot fill the disk that holds the ledger.
fn put_aside(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_MAX) {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        let _ = std::fs::rename(path, old);
    }
}

/// In the child: die with the host, keep the stream over `exec`.
#[allow(unsafe_code)]
fn inherit(fd: i32, host: u32) -> io::Result<()> {
    // SAFETY: plain system calls on integers.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::getppid() as u32 != host {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        if libc::fcntl(fd, libc::F_SETFD, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A running worker. Dropping it ends the process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    pid: u32,
    stream: UnixStream,
}

impl Worker {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Our end of its stream.
    pub fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Waits until it ends by itself.
    pub async fn exited(&mut self) -> String {
        describe(self.child.wait().await)
    }

    /// Closes its stream, waits `grace`, then kills it.
    pub async fn end(self, grace: Duration) {
        let Self {
            mut child, stream, ..
        } = self;
        drop(stream);
        match tokio::time::timeout(grace, child.wait()).await {
            Ok(status) => tracing::debug!(status = %describe(status), "the worker ended"),
            Err(_) => {
                let _ = child.kill().await;
            }
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
