//! The one question init has for the Nitro security module: random bytes.
//!
//! Protects against taking anything else for randomness: an answer that is not
//! exactly `{"GetRandom": {"random": bytes}}` in shortest CBOR is an error.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The device of the kernel's NSM driver.
pub(crate) const DEVICE: &str = "/dev/nsm";

/// CBOR of the text `GetRandom`.
const QUESTION: &[u8] = b"\x69GetRandom";
/// What stands before the byte string in an answer.
const ANSWER: &[u8] = b"\xa1\x69GetRandom\xa1\x66random";
/// The most the driver takes for an answer.
const ANSWER_MAX: usize = 12 * 1024;

/// `struct nsm_iovec` of `linux/nsm.h`.
#[repr(C)]
struct Buffer {
    address: u64,
    length: u64,
}

/// `struct nsm_raw` of `linux/nsm.h`.
#[repr(C)]
struct Exchange {
    question: Buffer,
    answer: Buffer,
}

/// `_IOWR(0x0A, 0, struct nsm_raw)`.
const NSM_IOCTL_RAW: libc::c_ulong = 0xc020_0a00;

/// Asks once; the answer's random bytes.
pub(crate) fn random(device: &File) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; ANSWER_MAX];
    let length = exchange(device, QUESTION, &mut answer)?;
    let answer = answer.get(..length).unwrap_or_default();
    match random_in(answer) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => Err(io::Error::other("GetRandom was not answered with bytes")),
    }
}

#[expect(unsafe_code, reason = "the device speaks through an ioctl")]
fn exchange(device: &File, question: &[u8], answer: &mut [u8]) -> io::Result<usize> {
    let mut exchange = Exchange {
        question: Buffer {
            address: question.as_ptr() as u64,
            length: question.len() as u64,
        },
        answer: Buffer {
            address: answer.as_mut_ptr() as u64,
            length: answer.len() as u64,
        },
    };
    // SAFETY: both buffers outlive the call, their lengths are theirs, and the
    // driver writes into the second one only.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), NSM_IOCTL_RAW, &mut exchange) };
    match result {
        0 => Ok(exchange.answer.length as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The byte string of a well-formed answer; `None` for anything else.
fn random_in(answer: &[u8]) -> Option<&[u8]> {
    let rest = answer.strip_prefix(ANSWER)?;
    let (length, bytes) = match *rest {
        [head @ 0x40..=0x57, ..] => (usize::from(head - 0x40), &rest[1..]),
        [0x58, length @ 24..=0xff, ..] => (usize::from(length), &rest[2..]),
        [0x59, high @ 1..=0xff, low, ..] => {
            (usize::from(u16::from_be_bytes([high, low])), &rest[3..])
        }
        _ => return None,
    };
    (length > 0 && bytes.len() == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(head: &[u8], bytes: &[u8]) -> Vec<u8> {
        [ANSWER, head, bytes].concat()
    }

    #[test]
    fn answers_of_every_length_are_read() {
        for (head, length) in [(&[0x41][..], 1), (&[0x58, 64], 64), (&[0x59, 1, 0], 256)] {
            let bytes = vec![7; length];
            assert_eq!(random_in(&answer(head, &bytes)), Some(&bytes[..]));
        }
    }

    #[test]
    fn anything_but_a_full_byte_string_is_refused() {
        let wrong = [
            answer(&[0x40], b""),
            answer(&[0x42], b"x"),
            answer(&[0x41], b"xy"),
            answer(&[0x58, 1], b"x"),
            answer(&[0x59, 0, 1], b"x"),
            answer(&[0x61], b"x"),
            answer(&[], b""),
            b"\xa1\x65Error\x6dInternalError".to_vec(),
            Vec::new(),
        ];
        for answer in wrong {
            assert_eq!(random_in(&answer), None, "{answer:02x?}");
        }
    }

    #[test]
    fn what_is_no_security_module_gives_no_randomness() {
        let null = File::open("/dev/null").unwrap();
        assert!(random(&null).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic_or_invent(bytes: Vec<u8>, prefixed: bool) {
            let answer = if prefixed { answer(&[], &bytes) } else { bytes };
            if let Some(random) = random_in(&answer) {
                prop_assert!(answer.ends_with(random) && !random.is_empty());
            }
        }
    }
}
