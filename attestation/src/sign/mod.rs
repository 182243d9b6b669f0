//! Signatures: verified twice over, made once.
//!
//! Protects an auditor against one faulty library: [`native`] (aws-lc-rs, on
//! request paths) and [`independent`] (RustCrypto) share no code, and what lasts
//! is accepted only if both accept it ([`both`]). Protects a customer's artefact
//! against the end of one algorithm: [`HybridSigner`] always makes two signatures.

pub mod both;
mod credential;
mod hybrid;
pub mod independent;
pub mod jws;
pub mod native;

pub use credential::CredentialKey;
pub use hybrid::{Ed25519Signer, Es256Signer, HybridSeeds, HybridSigner, SignerError};

/// The signature, or the key it is checked with, is not good. Which of the two
/// cannot be told apart, and nobody should act differently on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct BadSignature;

#[cfg(test)]
mod tests;
