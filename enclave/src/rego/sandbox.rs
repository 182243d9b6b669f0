//! What a policy process may ask of the kernel: next to nothing.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// Memory, in bytes of address space.
const MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// Memory, waiting for nobody, the monotonic clock of the budget, seeds of hash maps,
/// ending.
const CALLS: [libc::c_long; 14] = [
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
/// The two pipes: whatever else may be open is out of reach.
const PIPES: [(libc::c_long, u64); 2] = [(libc::SYS_read, 0), (libc::SYS_write, 1)];

/// Limits memory, gives way to everybody else, and seals this thread, which is to be
/// the only one. A call that is not allowed ends the process.
pub(super) fn seal() -> Result<(), String> {
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_AS, MEMORY_MAX)?;
    limit(libc::RLIMIT_NPROC, 0)?;
    #[expect(
        unsafe_code,
        reason = "nice has no safe wrapper in the standard library"
    )]
    // SAFETY: takes a number.
    unsafe {
        libc::nice(10);
    }
    let program = filter().map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn limit(what: libc::__rlimit_resource_t, most: u64) -> Result<(), String> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    #[expect(
        unsafe_code,
        reason = "setrlimit has no safe wrapper in the standard library"
    )]
    // SAFETY: `limit` is a valid rlimit for the length of the call.
    let result = unsafe { libc::setrlimit(what, &raw const limit) };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> =
        CALLS.map(|call| (call, vec![])).into();
    for (call, pipe) in PIPES {
        let only = SeccompCondition::new(0, Len::Dword, Op::Eq, pipe)?;
        rules.insert(call, vec![SeccompRule::new(vec![only])?]);
    }
    // Memory may be had, code may not.
    let executable = libc::PROT_EXEC as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let data = SeccompCondition::new(2, Len::Dword, Op::MaskedEq(executable), 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![data])?]);
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}
