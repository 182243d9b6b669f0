//! Fills the kernel's random pool from the security module before anything draws
//! from it.
//!
//! Protects against keys that somebody can guess: a fresh enclave has no disk, no
//! keyboard and a clock that the host sets. Without the module there is no start.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::{Failure, nsm};

const POOL: &str = "/dev/urandom";
/// What is asked for; the pool itself holds 32 bytes.
const WANTED: usize = 64;

/// `struct rand_pool_info` of `linux/random.h`, with a buffer of our size.
#[repr(C)]
struct Credit {
    bits: libc::c_int,
    size: libc::c_int,
    bytes: [u8; WANTED],
}

/// `_IOW('R', 3, int[2])`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;

/// Asks the module, adds its bytes to the pool and credits them.
pub(crate) fn fill_the_pool() -> Result<(), Failure> {
    let device = File::options()
        .read(true)
        .write(true)
        .open(nsm::DEVICE)
        .map_err(|error| {
            Failure::because(
                &format!("{}: no security module, so no entropy", nsm::DEVICE),
                error,
            )
        })?;
    let bytes = collect(|| nsm::random(&device))?;
    credit(&bytes).map_err(|error| Failure::because(&format!("{POOL} takes no entropy"), error))
}

/// Takes answers until there is enough; a source that repeats itself is refused.
fn collect(mut ask: impl FnMut() -> io::Result<Vec<u8>>) -> Result<[u8; WANTED], Failure> {
    let mut next = || ask().map_err(|error| Failure::because("the security module", error));
    let mut last = next()?;
    let mut all = Vec::new();
    while all.len() < WANTED {
        let bytes = next()?;
        if bytes == last || bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(Failure("the security module repeats itself".into()));
        }
        all.extend_from_slice(&bytes);
        last = bytes;
    }
    let mut out = [0; WANTED];
    out.copy_from_slice(&all[..WANTED]);
    Ok(out)
}

#[expect(unsafe_code, reason = "crediting the pool is an ioctl")]
fn credit(bytes: &[u8; WANTED]) -> io::Result<()> {
    let pool = File::options().write(true).open(POOL)?;
    let credit = Credit {
        bits: 8 * WANTED as libc::c_int,
        size: WANTED as libc::c_int,
        bytes: *bytes,
    };
    // SAFETY: the structure outlives the call and says its own buffer's size.
    let result = unsafe { libc::ioctl(pool.as_raw_fd(), RNDADDENTROPY, &credit) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_are_put_together() {
        let mut count = 0;
        let bytes = collect(|| {
            count += 1;
            Ok(vec![count, 0, 1, count])
        });
        assert_eq!(bytes.unwrap()[..4], [2, 0, 1, 2]);
        assert_eq!(count, 17);
    }

    #[test]
    fn a_source_that_repeats_itself_or_fails_is_refused() {
        assert!(collect(|| Ok((0..64).collect())).is_err());
        let mut count = 0;
        let flat = collect(|| {
            count += 1;
            Ok(vec![count; 64])
        });
        assert!(flat.is_err());
        assert!(collect(|| Err(io::Error::other("no"))).is_err());
    }
}
