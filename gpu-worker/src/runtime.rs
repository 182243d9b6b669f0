//! Loads the inference library.
//!
//! Protects against a library swapped between check and load: the bytes that
//! were hashed are the bytes that are loaded, from an anonymous sealed file.

use std::ffi::c_int;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use ort::environment::Environment;

use crate::manifest::{Manifest, ManifestError};

/// Why there is no inference library.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The library is not the pinned one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// No memory file could be made of it.
    #[error("inference library: {0}")]
    Io(#[from] std::io::Error),
    /// The loader refused it.
    #[error("inference library: {0}; it needs a glibc of the same age or newer")]
    Load(String),
}

/// Loads ONNX Runtime as pinned. The environment must outlive every network.
/// Call it before other threads exist.
pub fn load(manifest: &Manifest) -> Result<Environment, RuntimeError> {
    silence();
    let sealed = sealed_file(&manifest.runtime()?)?;
    let builder =
        ort::init_from(path_of(&sealed)).map_err(|error| RuntimeError::Load(error.to_string()))?;
    builder
        .with_name("redoubt-worker")
        .with_telemetry(false)
        .build()
        .map_err(|error| RuntimeError::Load(error.to_string()))
}

/// The published library starts a thread that reports its use to its maker over
/// the network. Asking for no telemetry later, through the API, comes too late.
fn silence() {
    #[expect(unsafe_code, reason = "the environment is the only switch there is")]
    // SAFETY: the worker calls this on its only thread; see `load`.
    unsafe {
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}

fn memory_file(flags: libc::c_uint) -> std::io::Result<c_int> {
    #[expect(
        unsafe_code,
        reason = "memfd_create has no safe wrapper in the standard library"
    )]
    // SAFETY: the name is a static C string and the returned descriptor is checked below.
    let fd = unsafe { libc::memfd_create(c"onnxruntime".as_ptr(), flags) };
    check(fd)?;
    Ok(fd)
}

/// An anonymous file that nobody can write to any more.
pub(crate) fn sealed_file(bytes: &[u8]) -> std::io::Result<std::fs::File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know MFD_EXEC and need none: there, such files
    // can always be mapped as programs.
    let fd = match memory_file(flags | libc::MFD_EXEC) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => memory_file(flags)?,
        made => made?,
    };
    #[expect(unsafe_code, reason = "taking ownership of the new descriptor")]
    // SAFETY: `fd` was just returned by the kernel and has no other owner.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    #[expect(
        unsafe_code,
        reason = "fcntl has no safe wrapper in the standard library"
    )]
    // SAFETY: `file` is an open descriptor; F_ADD_SEALS takes an int.
    let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    check(sealed)?;
    Ok(file)
}

/// Where the loader finds an open file: a path it was never given before. It would
/// take two libraries of one path for one, and descriptors are numbered anew.
pub(crate) fn path_of(file: &std::fs::File) -> String {
    static LOADED: AtomicUsize = AtomicUsize::new(1);
    let slashes = "/".repeat(LOADED.fetch_add(1, Ordering::Relaxed));
    format!("{slashes}proc/self/fd/{}", file.as_raw_fd())
}

fn check(result: c_int) -> std::io::Result<()> {
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_file_cannot_be_changed_after_its_digest_was_checked() {
        let mut file = sealed_file(b"library").unwrap();
        let error = file.write_all(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert!(file.set_len(1).is_err());
    }
}
