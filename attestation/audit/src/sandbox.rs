//! A room without doors for reading received files.
//!
//! Protects the auditor's network: a file that broke a parser here could still
//! not call anyone. After [`deny_sockets`] no thread of this process can make,
//! connect or inherit a socket any more, for the rest of its life.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};

/// The system call filter could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("sockets cannot be denied: {0}; refusing to read a received file without that")]
pub struct SandboxError(String);

/// Every way to a socket, including through io_uring.
const DENIED: [libc::c_long; 12] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_io_uring_setup,
];

/// Denies sockets to every thread of this process with EPERM.
pub fn deny_sockets() -> Result<(), SandboxError> {
    seccompiler::apply_filter_all_threads(&program()?).map_err(|e| SandboxError(e.to_string()))
}

/// Denies sockets to the calling thread and those it starts.
pub fn deny_sockets_here() -> Result<(), SandboxError> {
    seccompiler::apply_filter(&program()?).map_err(|e| SandboxError(e.to_string()))
}

fn program() -> Result<BpfProgram, SandboxError> {
    let wrong = |error: &dyn std::fmt::Display| SandboxError(error.to_string());
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(|error: seccompiler::BackendError| wrong(&error))?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in DENIED {
        rules.insert(call, Vec::new());
        // The same call by its x32 number, where kernels still have that.
        if cfg!(target_arch = "x86_64") {
            rules.insert(call | 0x4000_0000, Vec::new());
        }
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        arch,
    )
    .and_then(TryInto::try_into)
    .map_err(|error: seccompiler::BackendError| wrong(&error))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;

    #[test]
    fn after_the_doors_close_no_socket_can_be_made() {
        // In a thread of its own: the filter cannot be taken off again.
        let inside = std::thread::spawn(|| {
            UdpSocket::bind("127.0.0.1:0").expect("before, sockets work");
            super::deny_sockets_here().unwrap();
            let kinds = [
                TcpStream::connect("127.0.0.1:9").unwrap_err().kind(),
                UdpSocket::bind("127.0.0.1:0").unwrap_err().kind(),
                UnixStream::pair().unwrap_err().kind(),
            ];
            assert_eq!(kinds, [ErrorKind::PermissionDenied; 3]);
            // Files still open.
            std::fs::read("/proc/self/status").unwrap();
        });
        inside.join().unwrap();
        UdpSocket::bind("127.0.0.1:0").expect("other threads of the test are untouched");
    }
}
