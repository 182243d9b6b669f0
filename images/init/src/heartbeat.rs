//! The sign of life that Nitro's tools wait for: one byte, 0xB7, to the parent.
//!
//! It also tells where the parent is. On Nitro the parent machine has context id
//! 3; emulated machines answer at 2, the machine itself. Nothing is believed of
//! either: all the parent gets to do is carry ciphertext, so a parent that hides
//! or lies is a parent that does not serve.

use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::time::Duration;

const NITRO_PARENT: u32 = 3;
const MACHINE: u32 = 2;
const PORT: u32 = 9000;
const SIGN: u8 = 0xb7;
const PATIENCE: Duration = Duration::from_millis(300);
/// `SO_VM_SOCKETS_CONNECT_TIMEOUT` of `linux/vm_sockets.h`.
const CONNECT_TIMEOUT: libc::c_int = 6;

/// Sends the sign; the context id under which the parent is reached.
pub(crate) fn find_parent() -> u32 {
    for parent in [NITRO_PARENT, MACHINE] {
        match beat(parent) {
            Ok(()) => return parent,
            Err(error) => eprintln!("redoubt-init: no heartbeat to {parent}: {error}"),
        }
    }
    MACHINE
}

fn beat(parent: u32) -> io::Result<()> {
    let mut stream = connect(parent)?;
    stream.write_all(&[SIGN])?;
    // Nitro's tools send the byte back; whoever does not has heard it all the same.
    let _ = stream.read(&mut [0]);
    Ok(())
}

/// A connected vsock stream. It is a file here, since the standard library knows
/// no vsock and reads and writes any descriptor alike.
#[expect(unsafe_code, reason = "the standard library knows no vsock")]
fn connect(parent: u32) -> io::Result<std::fs::File> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let stream = unsafe { std::fs::File::from_raw_fd(fd) };
    set_timeout(fd, libc::AF_VSOCK, CONNECT_TIMEOUT)?;
    set_timeout(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO)?;
    // SAFETY: all-zero is a valid address of this family.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = parent;
    address.svm_port = PORT;
    let size = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    // SAFETY: the address outlives the call and its size is given.
    let result = unsafe { libc::connect(fd, (&raw const address).cast(), size) };
    match result {
        0 => Ok(stream),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(unsafe_code, reason = "a socket option is set by a system call")]
fn set_timeout(fd: libc::c_int, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: PATIENCE.subsec_micros().into(),
    };
    let size = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the time outlives the call and its size is given.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const time).cast(), size) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
