//! The enclave's randomness: the attester's, stretched, mixed with the kernel's.
//!
//! Protects against one bad source: each draw is the XOR of a stream keyed by
//! the attester's bytes and of the library's generator, so it is as good as the
//! better of the two, and a failing attester stops the boot.

use std::sync::Mutex;

use crate::core::TenantKeySeeds;
use aws_lc_rs::{hkdf, rand};
use redoubt_attestation::attester::Attester;
use redoubt_attestation::entropy::{Entropy, EntropyError};
use zeroize::{Zeroize, Zeroizing};

/// A pool seeded by the attester.
pub struct Pool {
    stream: hkdf::Prk,
    counter: Mutex<u64>,
}

impl Pool {
    /// Draws the seed from the attester.
    pub fn seed(attester: &dyn Attester) -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0u8; 64]);
        attester
            .random(&mut seed[..])
            .map_err(|error| EntropyError(error.to_string()))?;
        let stream = hkdf::Salt::new(hkdf::HKDF_SHA256, b"redoubt/entropy/v1").extract(&seed[..]);
        Ok(Self {
            stream,
            counter: Mutex::new(0),
        })
    }

    /// Draws `N` bytes. Fails only if the library's generator does.
    pub fn draw<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        redoubt_attestation::entropy::draw(self)
    }

    fn next(&self) -> u64 {
        let mut counter = self
            .counter
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *counter += 1;
        *counter
    }
}

impl Entropy for Pool {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        rand::fill(out).map_err(|_| EntropyError("the library's generator failed".into()))?;
        for chunk in out.chunks_mut(1024) {
            let mut block = vec![0u8; chunk.len()];
            expand(&self.stream, &[&self.next().to_be_bytes()], &mut block)
                .map_err(|_| EntropyError("the attester's stream ended".into()))?;
            chunk
                .iter_mut()
                .zip(&block)
                .for_each(|(out, key)| *out ^= key);
            block.zeroize();
        }
        Ok(())
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Extract (RFC 5869) of a tenant's seeds, for keys that outlive epochs as they do.
pub(crate) fn of_tenant(seeds: &TenantKeySeeds, domain: &[u8]) -> hkdf::Prk {
    let mut input = Zeroizing::new(seeds.es256.to_vec());
    input.extend_from_slice(&seeds.mldsa65);
    hkdf::Salt::new(hkdf::HKDF_SHA256, domain).extract(&input)
}

/// HKDF-Expand (RFC 5869) into `out`.
pub(crate) fn expand(
    prk: &hkdf::Prk,
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<(), aws_lc_rs::error::Unspecified> {
    prk.expand(info, Length(out.len()))?.fill(out)
}
