//! The enclave's randomness: the attester's, stretched, mixed with the kernel's.
//!
//! Protects against one bad source: each draw is the XOR of a stream keyed by
//! the attester's bytes and of the library's generator, so it is as good as the
//! better of the two, and a failing attester stops the boot. What was drawn is
//! wiped here at once.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use redoubt_attestation::attester::Attester;
use redoubt_attestation::entropy::{Entropy, EntropyError};
use zeroize::{Zeroize, Zeroizing};

use super::hkdf::{Prk, expand};

/// Bytes made at once.
const READY: usize = 4096;

/// A pool seeded by the attester.
pub struct Pool {
    /// AES-256 in counter mode, as part of GCM: what it seals is XORed with its stream.
    stream: LessSafeKey,
    ready: Mutex<Ready>,
}

/// Bytes that nobody drew yet, behind those that are gone.
struct Ready {
    bytes: Box<Zeroizing<[u8; READY]>>,
    drawn: usize,
    /// Times it was filled: the nonce.
    filled: u64,
}

impl Pool {
    /// Draws the seed from the attester.
    pub fn seed(attester: &dyn Attester) -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0u8; 64]);
        attester
            .random(&mut seed[..])
            .map_err(|error| EntropyError(error.to_string()))?;
        let mut key = Zeroizing::new([0u8; 32]);
        let stream = Prk::extract(b"redoubt/entropy/v1", &seed[..]);
        expand(&stream, &[b"stream"], &mut key[..]).map_err(|_| no_stream())?;
        let key = UnboundKey::new(&AES_256_GCM, &key[..]).map_err(|_| no_stream())?;
        Ok(Self {
            stream: LessSafeKey::new(key),
            ready: Mutex::new(Ready {
                bytes: Box::new(Zeroizing::new([0; READY])),
                drawn: READY,
                filled: 0,
            }),
        })
    }

    /// Draws `N` bytes. Fails only if the library's generator does.
    pub fn draw<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        redoubt_attestation::entropy::draw(self)
    }

    /// Fills `ready` anew: the library's bytes, XORed with the attester's stream.
    fn refill(&self, ready: &mut Ready, library: Library) -> Result<(), EntropyError> {
        ready.filled += 1;
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&ready.filled.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        library(&mut ready.bytes[..])
            .map_err(|_| EntropyError("the library's generator failed".into()))?;
        let mixed = &mut ready.bytes[..];
        let _tag = self
            .stream
            .seal_in_place_separate_tag(nonce, Aad::empty(), mixed)
            .map_err(|_| no_stream())?;
        ready.drawn = 0;
        Ok(())
    }
}

/// The library's generator.
type Library = fn(&mut [u8]) -> Result<(), Unspecified>;

fn no_stream() -> EntropyError {
    EntropyError("the attester's stream could not be made".into())
}

impl Entropy for Pool {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = out;
        while !out.is_empty() {
            if ready.drawn == READY {
                self.refill(&mut ready, rand::fill)?;
            }
            let from = ready.drawn;
            let (now, later) = out.split_at_mut(out.len().min(READY - from));
            let taken = &mut ready.bytes[from..from + now.len()];
            now.copy_from_slice(taken);
            taken.zeroize();
            ready.drawn += now.len();
            out = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use redoubt_attestation::attester::{AttestRequest, AttesterError};
    use redoubt_attestation::document::Pcrs;
    use redoubt_attestation::genesis::Environment;

    use super::*;

    /// An attester whose bytes are all this one.
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0);
            Ok(())
        }
    }

    impl Attester for Fixed {
        fn environment(&self) -> Environment {
            Environment::Emulated
        }
        fn attest(&self, _: &AttestRequest) -> Result<Vec<u8>, AttesterError> {
            Err(AttesterError::Clock)
        }
        fn pcrs(&self) -> Result<Pcrs, AttesterError> {
            Err(AttesterError::Clock)
        }
    }

    fn pool(byte: u8) -> Pool {
        Pool::seed(&Fixed(byte)).unwrap()
    }

    #[test]
    fn nothing_is_drawn_twice_and_nothing_drawn_is_kept() {
        let pool = pool(0);
        let mut seen = BTreeSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(pool.draw::<17>().unwrap()));
        }
        let ready = pool.ready.lock().unwrap();
        let (gone, left) = ready.bytes.split_at(ready.drawn);
        assert!(gone.iter().all(|byte| *byte == 0));
        assert!(left.iter().any(|byte| *byte != 0));
    }

    #[test]
    fn a_draw_may_be_longer_than_what_is_ready() {
        let mut out = vec![0; 3 * READY + 5];
        pool(0).fill(&mut out).unwrap();
        let parts: BTreeSet<&[u8]> = out.chunks_exact(16).collect();
        assert_eq!(parts.len(), out.len() / 16);
    }

    #[test]
    fn an_attester_that_repeats_itself_leaves_the_library_s_bytes() {
        let draw = || pool(0).draw::<32>().unwrap();
        assert_ne!(draw(), draw());
    }

    #[test]
    fn a_library_that_fails_to_be_random_leaves_the_attester_s_stream() {
        let two = |byte: u8| {
            let pool = pool(byte);
            let mut ready = pool.ready.lock().unwrap();
            let mut fill = || {
                pool.refill(&mut ready, |out| {
                    out.fill(0);
                    Ok(())
                })
                .unwrap();
                ready.bytes.to_vec()
            };
            (fill(), fill())
        };
        let (first, second) = two(1);
        assert_ne!(first, second);
        assert_eq!(first, two(1).0);
        assert_ne!(first, two(2).0);
        assert!(first.iter().any(|byte| *byte != 0));
    }

    #[test]
    fn a_library_that_fails_stops_the_draw() {
        let pool = pool(1);
        let mut ready = pool.ready.lock().unwrap();
        assert!(pool.refill(&mut ready, |_| Err(Unspecified)).is_err());
        assert_eq!(ready.drawn, READY, "nothing is ready");
    }
}
