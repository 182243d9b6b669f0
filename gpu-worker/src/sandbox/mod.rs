//! Closes the world, once everything is loaded.
//!
//! Protects what a sample can reach when it takes over its decoder: no file, no
//! socket, no program, no new thread or process, no other process's memory, and
//! nothing to write to but the one inherited stream and the log. Three layers:
//!
//! 1. [`harden`], first thing: no core dumps, not dumpable, no inherited
//!    descriptors but the known ones.
//! 2. [`forbid_files`], on every thread before its first job: Landlock without
//!    a single allowed path.
//! 3. [`seal`], last: a seccomp allow-list on all threads at once; whatever is
//!    not on it fails with EPERM.
//!
//! Not covered: time spent, memory used (the host's to bound), and what the
//! kernel itself leaks through the calls that stay allowed.

mod descriptors;
mod filter;
pub mod selftest;

use std::os::fd::RawFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};

pub use descriptors::Descriptors;

/// Why the world could not be closed. The worker must not run then.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A system call.
    #[error("sandbox: {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A library started threads behind our back.
    #[error("sandbox: {found} threads run where {expected} were started; a library has its own")]
    Threads {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Landlock.
    #[error("sandbox: Landlock: {0}; a kernel with CONFIG_SECURITY_LANDLOCK is needed")]
    Landlock(String),
    /// Seccomp.
    #[error("sandbox: seccomp: {0}; a kernel with CONFIG_SECCOMP_FILTER is needed")]
    Seccomp(String),
}

pub(crate) fn check(what: &'static str, result: libc::c_long) -> Result<(), SandboxError> {
    if result < 0 {
        let source = std::io::Error::last_os_error();
        return Err(SandboxError::System { what, source });
    }
    Ok(())
}

/// No core dump, no debugger, no descriptors but 0, 1, 2 and `keep`.
pub fn harden(keep: Option<RawFd>) -> Result<(), SandboxError> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    #[expect(
        unsafe_code,
        reason = "setrlimit has no safe wrapper in the standard library"
    )]
    // SAFETY: `none` is a valid rlimit for the length of the call.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    check("forbidding core dumps", limited.into())?;
    #[expect(
        unsafe_code,
        reason = "prctl has no safe wrapper in the standard library"
    )]
    // SAFETY: PR_SET_DUMPABLE takes plain integers.
    let undumpable = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    check("becoming undumpable", undumpable.into())?;
    descriptors::close_others(keep)
}

/// Refuses to go on if there are other threads than the `expected` ones: they
/// would escape [`forbid_files`].
pub fn check_threads(expected: usize) -> Result<(), SandboxError> {
    let found = threads()?;
    if found != expected {
        return Err(SandboxError::Threads { found, expected });
    }
    Ok(())
}

/// How many threads this process has.
pub fn threads() -> Result<usize, SandboxError> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|source| SandboxError::System {
        what: "counting threads",
        source,
    })?;
    Ok(tasks.count())
}

/// From now on this thread, and threads it starts, open nothing.
pub fn forbid_files() -> Result<(), SandboxError> {
    let failed = |error: landlock::RulesetError| SandboxError::Landlock(error.to_string());
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(failed)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V7))
        .map_err(failed)?
        .handle_access(AccessNet::from_all(ABI::V7))
        .map_err(failed)?
        .scope(Scope::from_all(ABI::V7))
        .map_err(failed)?
        .create()
        .map_err(failed)?
        .restrict_self()
        .map_err(failed)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(SandboxError::Landlock("not enforced by this kernel".into()));
    }
    Ok(())
}

/// The allow-list, on every thread of the process.
pub fn seal(descriptors: &Descriptors) -> Result<(), SandboxError> {
    let program = filter::program(descriptors)?;
    seccompiler::apply_filter_all_threads(&program)
        .map_err(|error| SandboxError::Seccomp(error.to_string()))
}

/// Ends this process at once. Libraries that tidy up at exit would take from threads
/// what they still use, or, as a GPU's driver, wait for ever for what a sealed process
/// may not ask.
pub fn end(code: i32) -> ! {
    #[expect(unsafe_code, reason = "_exit has no safe wrapper")]
    // SAFETY: takes a number and does not return; nothing here is buffered.
    unsafe {
        libc::_exit(code)
    }
}
