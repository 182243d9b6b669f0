//! Tries to break out, and says what happened.
//!
//! Each attempt is a bare system call. It runs before sealing, as the control
//! that shows it would have worked (or at least got past the door), and then
//! again sealed, on the main thread and on a thread started before.

use std::os::fd::AsRawFd;

use libc::c_long;
use serde::Serialize;

use super::{Descriptors, SandboxError};

/// One attempt's outcome.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was tried.
    pub attempt: &'static str,
    /// Which thread tried: `main` or `job`.
    pub thread: &'static str,
    /// Whether the process was sealed.
    pub sealed: bool,
    /// The error number, or zero where the call went through.
    pub errno: i32,
    /// `errno` is EPERM or EACCES.
    pub refused: bool,
}

/// A path that exists.
const PATH: &std::ffi::CStr = c"/etc/passwd";
/// A file that can be made where the world is open.
const NEW_PATH: &std::ffi::CStr = c"/tmp/redoubt-worker-must-not-write-here";
/// A program that does not exist, so that the control run goes on.
const MISSING: &std::ffi::CStr = c"/nonexistent/program";
/// No process has this id (Linux stops at 2^22).
const NOBODY: c_long = 0x7fff_0000;

/// What to undo where a call went through.
#[derive(Debug, Clone, Copy)]
enum Undo {
    Nothing,
    CloseDescriptor,
    RemoveFile,
    EndChild,
}

struct Attempt {
    name: &'static str,
    call: c_long,
    arguments: [c_long; 5],
    undo: Undo,
}

/// Every attempt; `other` is an open descriptor that is not on the list.
fn attempts(other: i32) -> Vec<Attempt> {
    let attempt = |name, call, arguments, undo| Attempt {
        name,
        call,
        arguments,
        undo,
    };
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as c_long;
    let flags = |flags: i32| c_long::from(flags);
    let here = flags(libc::AT_FDCWD);
    let create = flags(libc::O_CREAT | libc::O_WRONLY);
    let code = flags(libc::PROT_READ | libc::PROT_EXEC);
    let stream = flags(libc::SOCK_STREAM);
    let signal = flags(libc::SIGCHLD);
    let peek = libc::PTRACE_PEEKDATA as c_long;
    let other = flags(other);
    let open = Undo::CloseDescriptor;
    let none = Undo::Nothing;
    vec![
        attempt(
            "open_a_file",
            libc::SYS_openat,
            [here, text(PATH), 0, 0, 0],
            open,
        ),
        attempt(
            "create_a_file",
            libc::SYS_openat,
            [here, text(NEW_PATH), create, 0o600, 0],
            Undo::RemoveFile,
        ),
        attempt(
            "look_at_a_path",
            libc::SYS_faccessat,
            [here, text(PATH), 0, 0, 0],
            none,
        ),
        attempt(
            "open_an_internet_socket",
            libc::SYS_socket,
            [flags(libc::AF_INET), stream, 0, 0, 0],
            open,
        ),
        attempt(
            "open_a_local_socket",
            libc::SYS_socket,
            [flags(libc::AF_UNIX), stream, 0, 0, 0],
            open,
        ),
        attempt("connect", libc::SYS_connect, [-1, 0, 0, 0, 0], none),
        attempt(
            "execute_a_program",
            libc::SYS_execve,
            [text(MISSING), 0, 0, 0, 0],
            none,
        ),
        attempt(
            "fork",
            libc::SYS_clone,
            [signal, 0, 0, 0, 0],
            Undo::EndChild,
        ),
        attempt(
            "start_a_thread_or_process",
            libc::SYS_clone3,
            [0, 0, 0, 0, 0],
            none,
        ),
        attempt(
            "trace_a_process",
            libc::SYS_ptrace,
            [peek, NOBODY, 0, 0, 0],
            none,
        ),
        attempt(
            "read_another_process",
            libc::SYS_process_vm_readv,
            [NOBODY, 0, 0, 0, 0],
            none,
        ),
        attempt(
            "signal_a_process",
            libc::SYS_kill,
            [NOBODY, 0, 0, 0, 0],
            none,
        ),
        attempt(
            "make_memory_executable",
            libc::SYS_mprotect,
            [0, 0, code, 0, 0],
            none,
        ),
        attempt(
            "make_a_memory_file",
            libc::SYS_memfd_create,
            [text(c"x"), 0, 0, 0, 0],
            open,
        ),
        attempt(
            "write_to_another_descriptor",
            libc::SYS_write,
            [other, text(c"x"), 1, 0, 0],
            none,
        ),
        attempt(
            "pass_a_descriptor",
            libc::SYS_sendmsg,
            [-1, 0, 0, 0, 0],
            none,
        ),
        attempt(
            "change_process_flags",
            libc::SYS_prctl,
            [flags(libc::PR_GET_DUMPABLE), 0, 0, 0, 0],
            none,
        ),
    ]
}

impl Attempt {
    /// The error number, or zero.
    #[allow(
        unsafe_code,
        reason = "attempts are bare system calls, whose failure is the point"
    )]
    fn make(&self) -> i32 {
        let [a, b, c, d, e] = self.arguments;
        // SAFETY: pointers among the arguments are to static C strings or null
        // where null is allowed or refused; the rest are plain values. A child
        // made by `clone` shares nothing and ends at once below.
        let result = unsafe { libc::syscall(self.call, a, b, c, d, e, 0) };
        if result < 0 {
            return std::io::Error::last_os_error().raw_os_error().unwrap_or(-1);
        }
        match self.undo {
            Undo::Nothing => {}
            // SAFETY: the descriptor or child is the one the call just made.
            Undo::CloseDescriptor | Undo::RemoveFile => unsafe {
                libc::close(result as i32);
            },
            // SAFETY: as above; in the child nothing but `_exit` runs.
            Undo::EndChild => unsafe {
                if result == 0 {
                    libc::_exit(0);
                }
                libc::waitpid(result as i32, std::ptr::null_mut(), 0);
            },
        }
        if matches!(self.undo, Undo::RemoveFile) {
            // SAFETY: a static C string.
            unsafe { libc::unlink(NEW_PATH.as_ptr()) };
        }
        0
    }
}

fn attempt_all(thread: &'static str, sealed: bool, other: i32) -> Vec<Outcome> {
    let outcome = |attempt: Attempt| {
        let errno = attempt.make();
        Outcome {
            attempt: attempt.name,
            thread,
            sealed,
            errno,
            refused: errno == libc::EPERM || errno == libc::EACCES,
        }
    };
    attempts(other).into_iter().map(outcome).collect()
}

/// Every attempt: open on the main thread, then sealed on main and job thread.
pub fn run() -> Result<Vec<Outcome>, SandboxError> {
    let system = |what| move |source| SandboxError::System { what, source };
    let other = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .map_err(system("opening /dev/null"))?;
    let other_fd = other.as_raw_fd();
    let mut outcomes = attempt_all("main", false, other_fd);
    let descriptors = Descriptors::take_stock(&[1, 2])?;
    super::forbid_files()?;
    let (sealed, go) = std::sync::mpsc::channel::<()>();
    // A thread that is still starting needs calls that are not on the list.
    let started = std::sync::Arc::new(std::sync::Barrier::new(2));
    let starting = std::sync::Arc::clone(&started);
    let job = std::thread::Builder::new()
        .name("job-0".into())
        .spawn(move || {
            starting.wait();
            let _ = go.recv();
            attempt_all("job", true, other_fd)
        })
        .map_err(system("starting a thread"))?;
    started.wait();
    super::seal(&descriptors)?;
    outcomes.extend(attempt_all("main", true, other_fd));
    let _ = sealed.send(());
    let from_job = job.join().map_err(|_| {
        let panicked = std::io::Error::other("it panicked");
        system("joining the thread")(panicked)
    })?;
    outcomes.extend(from_job);
    Ok(outcomes)
}
