//! What the machine offers a program: three file systems, and an end.

use std::ffi::CStr;
use std::io;

use crate::Failure;

/// A file system that only the kernel fills.
struct Mount {
    kind: &'static CStr,
    at: &'static CStr,
    flags: libc::c_ulong,
}

/// The image has no disk and nothing to write to but what `/dev` names.
const MOUNTS: [Mount; 3] = [
    Mount {
        kind: c"devtmpfs",
        at: c"/dev",
        flags: libc::MS_NOSUID | libc::MS_NOEXEC,
    },
    Mount {
        kind: c"proc",
        at: c"/proc",
        flags: libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV | libc::MS_RDONLY,
    },
    Mount {
        kind: c"sysfs",
        at: c"/sys",
        flags: libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV | libc::MS_RDONLY,
    },
];

/// Mounts everything, or says which did not work.
pub(crate) fn mount_all() -> Result<(), Failure> {
    for mount in &MOUNTS {
        mount.do_it().map_err(|error| {
            let at = mount.at.to_string_lossy();
            Failure::because(&format!("{at} cannot be mounted"), error)
        })?;
    }
    Ok(())
}

impl Mount {
    #[expect(unsafe_code, reason = "mounting is a system call")]
    fn do_it(&self) -> io::Result<()> {
        let kind = self.kind.as_ptr();
        // SAFETY: three C strings that live for the whole program, and no data.
        let result =
            unsafe { libc::mount(kind, self.at.as_ptr(), kind, self.flags, std::ptr::null()) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Ends the machine. It is a restart by name: without ACPI "power off" would only
/// stop the processor, while a restart makes Nitro end the enclave and QEMU
/// (`-no-reboot`) end its process. If even that fails the process exits, and a
/// kernel without its first process panics, which restarts too.
#[expect(unsafe_code, reason = "ending the machine is a system call")]
pub(crate) fn end() -> ! {
    // SAFETY: no pointers; the call needs no state of this program.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_AUTOBOOT);
    }
    std::process::exit(1)
}
