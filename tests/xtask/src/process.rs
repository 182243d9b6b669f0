//! Child processes that never outlive this program.
//!
//! Protects against orphans: a child ends when it is dropped, and the kernel ends
//! it if this program is killed. Each is in its own process group, so that Ctrl-C
//! reaches this program alone, which then ends its children in order.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::signals;

const TICK: Duration = Duration::from_millis(25);

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command`, its output appended to `log`. Call from the main thread:
    /// the kernel ties the child's life to the thread that starts it.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let open = File::options().create(true).append(true).open(log);
        let file = open.with_context(|| log.display().to_string())?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        die_with_parent(command);
        let child = command
            .spawn()
            .with_context(|| command.get_program().to_string_lossy().into_owned())?;
        Ok(Self {
            name: name.into(),
            log: log.into(),
            child,
        })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// An error with the end of its log if it is not running any more.
    pub(crate) fn require_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended() {
            bail!("{} ended with {status}\n{}", self.name, log_end(&self.log));
        }
        Ok(())
    }

    /// SIGKILL, and wait.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, a grace, then SIGKILL.
    pub(crate) fn end(&mut self, grace: Duration) {
        if self.ended().is_some() {
            return;
        }
        terminate(self.pid());
        let until = Instant::now() + grace;
        while Instant::now() < until {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(TICK);
        }
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a short command; its standard output, or an error that shows what it said.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    die_with_parent(command);
    let shown = shown(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| shown.clone())?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success(),
        "{shown}\nended with {}:\n{}",
        out.status,
        said.trim()
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Waits for a command that shares this terminal; ends it if somebody asks to stop.
pub(crate) fn wait_in_foreground(command: &mut Command) -> Result<ExitStatus> {
    die_with_parent(command);
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| shown.clone())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if signals::asked_to_stop() {
            terminate(child.id());
            std::thread::sleep(Duration::from_secs(1));
            let _ = child.kill();
            let _ = child.wait();
            bail!("stopped");
        }
        std::thread::sleep(TICK);
    }
}

/// Waits until `ready` answers something.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let until = Instant::now() + patience;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        ensure!(!signals::asked_to_stop(), "stopped");
        ensure!(
            Instant::now() < until,
            "{what}: nothing within {} s",
            patience.as_secs()
        );
        std::thread::sleep(TICK);
    }
}

/// The last lines of a log, indented.
pub(crate) fn log_end(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(15)..];
    let shown: Vec<_> = last.iter().map(|line| format!("    {line}")).collect();
    format!("  the end of {}:\n{}", log.display(), shown.join("\n"))
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    signal(pid, libc::SIGTERM);
}

/// Ends a process that is not this program's own child.
pub(crate) fn kill(pid: u32) {
    signal(pid, libc::SIGKILL);
}

#[expect(unsafe_code, reason = "signals are sent by a system call")]
fn signal(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid)
        && pid > 1
    {
        // SAFETY: kill takes two integers; a positive pid names one process.
        unsafe { libc::kill(pid, signal) };
    }
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[expect(
    unsafe_code,
    reason = "the parent-death signal is set between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, both
    // async-signal-safe, on values copied before the fork.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_that_ignores_the_request_to_end_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
        let mut child = Process::start("stubborn", &mut sh(script), &log).unwrap();
        let ready = || {
            Ok(std::fs::read_to_string(&log)?
                .contains("ready")
                .then_some(()))
        };
        wait_for("ready", Duration::from_secs(10), ready).unwrap();
        child.end(Duration::from_millis(100));
        assert!(child.ended().is_some());
    }

    #[test]
    fn a_child_that_died_is_reported_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut child = Process::start("part", &mut sh("echo no such store >&2; exit 3"), &log);
        let child = child.as_mut().unwrap();
        let ended = || Ok(child.ended());
        wait_for("the end", Duration::from_secs(10), ended).unwrap();
        let error = child.require_running().unwrap_err().to_string();
        assert!(error.contains("part ended with exit status: 3"), "{error}");
        assert!(error.contains("no such store"), "{error}");
    }

    #[test]
    fn what_a_failed_command_said_is_shown() {
        let error = output_of(&mut sh("echo bad flag >&2; exit 2")).unwrap_err();
        assert!(format!("{error:#}").contains("bad flag"));
        assert_eq!(output_of(&mut sh("echo yes")).unwrap(), "yes\n");
    }
}
