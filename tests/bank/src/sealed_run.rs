//! Runs a program that can open no socket.
//!
//! Protects the claim that evidence verifies offline: the filter is laid over
//! this process and inherited by the program it becomes, so a verifier that
//! asks anybody anything fails.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Denies sockets to this process, then becomes `program`. Returns only on failure.
pub fn become_without_sockets(program: &OsString, arguments: &[OsString]) -> Result<Infallible> {
    deny_sockets()?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}

/// `socket`, `socketpair` and `connect` answer EPERM from now on.
pub fn deny_sockets() -> Result<()> {
    let denied = [libc::SYS_socket, libc::SYS_socketpair, libc::SYS_connect];
    let rules: BTreeMap<i64, _> = denied.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program).context("the kernel refused the seccomp filter")
}
