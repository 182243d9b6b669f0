//! Which descriptors exist, and which of them may be written to once sealed.

use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use super::{SandboxError, check};

/// Where a sealed process may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors {
    /// The stream, the log, and the event counters that wake threads.
    pub writable: Vec<RawFd>,
    /// The Nitro security module, if that is the attester.
    pub nsm: Option<RawFd>,
    /// Whether an NVIDIA device is open.
    pub gpu: bool,
}

impl Descriptors {
    /// Takes stock: `streams` may be written to, and so may every event counter.
    pub fn take_stock(streams: &[RawFd]) -> Result<Self, SandboxError> {
        let mut found = Self {
            writable: streams.to_vec(),
            nsm: None,
            gpu: false,
        };
        for fd in open_descriptors()? {
            let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
            match link.as_deref() {
                Ok(path) if path == Path::new("anon_inode:[eventfd]") => found.writable.push(fd),
                Ok(path) if path == Path::new("/dev/nsm") => found.nsm = Some(fd),
                Ok(path) if path == Path::new("/dev/nvidiactl") => found.gpu = true,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Closes everything above standard error except `keep`.
pub(super) fn close_others(keep: Option<RawFd>) -> Result<(), SandboxError> {
    for fd in open_descriptors()? {
        if fd > 2 && Some(fd) != keep {
            #[expect(unsafe_code, reason = "closing a descriptor by number")]
            // SAFETY: called before this program opened anything it still uses:
            // what is open here was inherited and belongs to nobody.
            unsafe {
                libc::close(fd);
            }
        }
    }
    if let Some(fd) = keep {
        #[expect(
            unsafe_code,
            reason = "fcntl has no safe wrapper in the standard library"
        )]
        // SAFETY: F_GETFD takes no argument; a bad number yields EBADF.
        let known = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        check("looking at --stream-fd", known.into())?;
    }
    Ok(())
}

fn open_descriptors() -> Result<Vec<RawFd>, SandboxError> {
    let failed = |source| SandboxError::System {
        what: "listing descriptors",
        source,
    };
    let folder = std::fs::File::open("/proc/self/fd").map_err(failed)?;
    let listing = std::fs::read_dir("/proc/self/fd").map_err(failed)?;
    let numbers = listing.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<RawFd>().ok()
    });
    let open: Vec<RawFd> = numbers.collect();
    let ours = folder.as_raw_fd();
    // The listing's own descriptor is closed again by now; so is `folder` soon.
    Ok(open.into_iter().filter(|fd| *fd != ours).collect())
}
