//! Where random bytes come from: a value handed in, never reached for.
//!
//! Protects against keys drawn from a source the host can influence. Inside the
//! enclave the only source is the attester; the operator's and officers' tools
//! use the operating system's generator.

/// The source failed; nothing may be made from what it left behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the source of entropy failed: {0}; no key may be made now")]
pub struct EntropyError(pub String);

/// A source of random bytes fit for keys.
pub trait Entropy {
    /// Fills `out` completely or fails.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system's generator through aws-lc-rs, for tools outside the enclave.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        aws_lc_rs::rand::fill(out)
            .map_err(|_| EntropyError("the operating system gave no random bytes".into()))
    }
}

/// Draws `N` random bytes.
pub fn draw<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyError> {
    let mut out = [0; N];
    entropy.fill(&mut out)?;
    Ok(out)
}
