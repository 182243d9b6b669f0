//! The allow-list: what computing and one stream need, nothing else.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule,
};

use super::{Descriptors, SandboxError};

/// Allowed with any argument: memory, waiting, time, randomness, reading what is
/// open, ending.
const ANY_ARGUMENT: [libc::c_long; 30] = [
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_poll, // a CUDA driver's thread, which fails the device if it may not
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
    libc::SYS_getsockopt,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Calls that write to the descriptor in their first argument.
const WRITES: [libc::c_long; 3] = [libc::SYS_write, libc::SYS_writev, libc::SYS_sendto];

/// `_IOWR(0x0a, 0, struct nsm_message)` of the Nitro security module's driver.
const NSM_REQUEST: u64 = 0xc020_0a00;

type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

pub(super) fn program(descriptors: &Descriptors) -> Result<BpfProgram, SandboxError> {
    let failed = |error: seccompiler::BackendError| SandboxError::Seccomp(error.to_string());
    let rules = rules(descriptors).map_err(failed)?;
    let arch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        arch,
    );
    filter.and_then(TryInto::try_into).map_err(failed)
}

fn rules(descriptors: &Descriptors) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = ANY_ARGUMENT.map(|call| (call, vec![])).into();
    for call in WRITES {
        let to = |fd: &RawFd| rule(&[condition(0, Op::Eq, *fd as u64)?]);
        let allowed = descriptors
            .writable
            .iter()
            .map(to)
            .collect::<Result<_, _>>()?;
        rules.insert(call, allowed);
    }
    // Memory may be had, code may not.
    let executable = libc::PROT_EXEC as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let data = condition(2, Op::MaskedEq(executable), 0)?;
        rules.insert(call, vec![rule(&[data])?]);
    }
    if let Some(fd) = descriptors.nsm {
        let device = condition(0, Op::Eq, fd as u64)?;
        let request = condition(1, Op::Eq, NSM_REQUEST)?;
        rules.insert(libc::SYS_ioctl, vec![rule(&[device, request])?]);
    }
    Ok(rules)
}

fn condition(
    argument: u8,
    op: Op,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Len::Dword, op, value)
}

fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.to_vec())
}
