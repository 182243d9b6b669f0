//! Child processes that never outlive the test.
//!
//! Every child is started by one thread that lives as long as the test process
//! and is killed by the kernel when that thread ends, however it ends. A child
//! is also killed, by its id, when its handle is dropped.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running part.
#[derive(Debug)]
pub struct Part {
    child: Child,
    /// Which part, for messages.
    pub name: &'static str,
}

type Order = (Command, Sender<io::Result<Child>>);

fn spawner() -> &'static Sender<Order> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    })
}

/// The child dies with the thread that started it.
fn bind_to_parent(command: &mut Command) {
    let hook = || {
        // SAFETY: prctl is async-signal-safe and takes plain integers here.
        #[allow(unsafe_code)]
        let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the hook makes one async-signal-safe call and allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(hook);
    }
}

impl Part {
    /// Starts a program whose output goes to a log file.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        bind_to_parent(&mut command);
        let (answer, child) = channel();
        let sent = spawner().send((command, answer));
        sent.map_err(|_| anyhow::anyhow!("the spawning thread is gone"))?;
        let child = child.recv()?.with_context(|| format!("start {name}"))?;
        Ok(Self { child, name })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        signal(self.pid(), libc::SIGTERM)?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} does not end on SIGTERM", self.name)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: i32) -> Result<()> {
    let pid = i32::try_from(pid).context("process id")?;
    anyhow::ensure!(pid > 1, "no process with id {pid}");
    // SAFETY: kill takes two integers; the id is that of one process.
    #[allow(unsafe_code)]
    let done = unsafe { libc::kill(pid, signal) };
    if done != 0 {
        return Err(io::Error::last_os_error()).context(format!("signal {signal} to {pid}"));
    }
    Ok(())
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Result<std::process::Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}"))
}

/// Runs a program that must succeed.
pub fn run_ok(command: &mut Command) -> Result<std::process::Output> {
    let output = run(command)?;
    if !output.status.success() {
        bail!(
            "{:?} answered {}\n{}{}",
            command,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}
