//! The officers' secret: split k of n, and carried share by share to exactly one
//! attested boot.
//!
//! Protects the secret from fewer than k officers, and each share from everyone
//! but the enclave whose document the officer appraised: a share is sealed to
//! that boot's key under what the officer saw. Values are boxed, zeroized,
//! compared in constant time, without Clone, Debug or Serialize:
//!
//! ```compile_fail
//! fn leak(secret: &redoubt_attestation::shares::OfficersSecret) -> String {
//!     format!("{secret:?}")
//! }
//! ```
//! ```compile_fail
//! fn copy(secret: &redoubt_attestation::shares::OfficersSecret) -> redoubt_attestation::shares::OfficersSecret {
//!     secret.clone()
//! }
//! ```
//! ```compile_fail
//! fn write(share: &redoubt_attestation::shares::Share) -> String {
//!     serde_json::to_string(share).unwrap()
//! }
//! ```
//! ```
//! // What the three above would need exists only under a name that says so.
//! fn expose(secret: &redoubt_attestation::shares::OfficersSecret) -> &[u8; 32] {
//!     secret.expose_secret()
//! }
//! ```

mod epoch;
mod handover;
mod seal;
mod shamir;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

pub use epoch::{EpochShare, combine_epoch_secret, seal_epoch_share, split_epoch_secret};
pub use handover::{Envelope, EnvelopeAad, envelope_ledger};
pub use seal::{OpenedShare, SealedShare, UnsealAad, UnsealKey, open_share, seal_share};

use crate::encode::{Digest32, b64u, exactly, from_b64u, sha256};
use crate::entropy::{Entropy, EntropyError};

const COMMITMENT_DOMAIN: &[u8] = b"redoubt/secret-commitment/v1";

/// Why shares are refused.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Threshold or number of shares.
    #[error("{k} of {n}: use 1 to 255 shares and a threshold of 1 to their number")]
    Threshold {
        /// Shares needed.
        k: u8,
        /// Shares made.
        n: u8,
    },
    /// The share file is not in the format.
    #[error("the share is malformed: {0}")]
    Malformed(String),
    /// Shares of different splittings.
    #[error("the shares do not belong together: {0} differs")]
    Mixed(&'static str),
    /// One index twice.
    #[error("share {0} was given twice")]
    Repeated(u8),
    /// Too few.
    #[error("{have} shares; {need} are needed")]
    TooFew {
        /// Shares given.
        have: usize,
        /// Shares needed.
        need: usize,
    },
    /// The shares make another secret than the manifest commits to.
    #[error(
        "the shares make another secret than the genesis manifest commits to; one of them is wrong"
    )]
    OtherSecret,
    /// Not sealed to this boot key, or not under this AAD.
    #[error("the share was not sealed to this boot's key under these data")]
    NotForThisBoot,
    /// The recipient's key is no X-Wing key.
    #[error("the unseal key is no X-Wing public key of 1216 bytes")]
    RecipientKey,
}

/// The 32 bytes from which everything sealed derives.
pub struct OfficersSecret(Box<Zeroizing<[u8; 32]>>);

impl OfficersSecret {
    /// A fresh secret.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut secret = Box::new(Zeroizing::new([0; 32]));
        entropy.fill(&mut secret[..])?;
        Ok(Self(secret))
    }

    /// The secret, for deriving keys.
    pub fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the genesis manifest publishes of it.
    pub fn commitment(&self) -> Digest32 {
        sha256(&[COMMITMENT_DOMAIN, &self.0[..]])
    }

    /// Splits the secret: any `k` of the shares restore it, fewer say nothing.
    /// One share per officer, in their order.
    pub fn split(
        &self,
        k: u8,
        officers: &[String],
        epoch: u32,
        genesis: Option<Digest32>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<Share>, ShareError> {
        let n = u8::try_from(officers.len()).unwrap_or(0);
        if k == 0 || k > n {
            return Err(ShareError::Threshold { k, n });
        }
        let values = shamir::split(&self.0, k, n, entropy)?;
        Ok(officers
            .iter()
            .zip(1..=n)
            .zip(values)
            .map(|((officer, index), value)| Share {
                officer: officer.clone(),
                k,
                n,
                index,
                epoch,
                genesis,
                value,
            })
            .collect())
    }

    /// Restores the secret from k shares and checks it against the manifest's
    /// commitment, so that one forged share cannot open an empty appliance.
    pub fn combine(shares: &[Share], commitment: &Digest32) -> Result<Self, ShareError> {
        let secret = combine(shares)?;
        if bool::from(secret.commitment().0.ct_eq(&commitment.0)) {
            Ok(secret)
        } else {
            Err(ShareError::OtherSecret)
        }
    }
}

/// Restores a secret from shares of one splitting. Wrong shares make a wrong
/// secret: compare its commitment, or use [`OfficersSecret::combine`].
pub fn combine(shares: &[Share]) -> Result<OfficersSecret, ShareError> {
    let first = shares
        .first()
        .ok_or(ShareError::TooFew { have: 0, need: 1 })?;
    let (have, need) = (shares.len(), usize::from(first.k));
    if have < need {
        return Err(ShareError::TooFew { have, need });
    }
    for (at, share) in shares.iter().enumerate() {
        share.belongs_with(first)?;
        if shares[..at].iter().any(|other| other.index == share.index) {
            return Err(ShareError::Repeated(share.index));
        }
    }
    let points: Vec<_> = shares[..need]
        .iter()
        .map(|share| (share.index, &*share.value))
        .collect();
    Ok(OfficersSecret(shamir::combine(&points)))
}

/// One officer's share.
pub struct Share {
    /// Whose.
    pub officer: String,
    /// Shares needed.
    pub k: u8,
    /// Shares made.
    pub n: u8,
    /// Which point, from 1.
    pub index: u8,
    /// Of which epoch.
    pub epoch: u32,
    /// Of which manifest, if known when it was made.
    pub genesis: Option<Digest32>,
    value: Box<Zeroizing<[u8; 32]>>,
}

#[derive(Serialize, Deserialize)]
enum ShareType {
    #[serde(rename = "redoubt/share/v1")]
    V1,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareWire {
    #[serde(rename = "type")]
    kind: ShareType,
    officer: String,
    k: u8,
    n: u8,
    index: u8,
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    genesis: Option<Digest32>,
    share: String,
}

impl Drop for ShareWire {
    fn drop(&mut self) {
        self.share.zeroize();
    }
}

impl Share {
    /// Reads a share file, or the plaintext of a sealed share.
    pub fn parse(json: &[u8]) -> Result<Self, ShareError> {
        let malformed = |problem: &dyn ToString| ShareError::Malformed(problem.to_string());
        let wire: ShareWire = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        let bytes = Zeroizing::new(from_b64u(&wire.share).map_err(|error| malformed(&error))?);
        let value = exactly(&bytes).map_err(|error| malformed(&error))?;
        if wire.k == 0 || wire.k > wire.n || wire.index == 0 || wire.index > wire.n {
            return Err(malformed(&"k and index must lie between 1 and n"));
        }
        Ok(Self {
            officer: wire.officer.clone(),
            k: wire.k,
            n: wire.n,
            index: wire.index,
            epoch: wire.epoch,
            genesis: wire.genesis,
            value: Box::new(Zeroizing::new(value)),
        })
    }

    /// The share file's text, for a file that only its officer may read.
    pub fn expose_json(&self) -> Zeroizing<Vec<u8>> {
        let wire = ShareWire {
            kind: ShareType::V1,
            officer: self.officer.clone(),
            k: self.k,
            n: self.n,
            index: self.index,
            epoch: self.epoch,
            genesis: self.genesis,
            share: b64u(&self.value[..]),
        };
        Zeroizing::new(serde_json::to_vec(&wire).expect("strings and integers always serialize"))
    }

    fn belongs_with(&self, other: &Self) -> Result<(), ShareError> {
        let same = [
            ("k", self.k == other.k),
            ("n", self.n == other.n),
            ("epoch", self.epoch == other.epoch),
            ("genesis", self.genesis == other.genesis),
        ];
        match same.iter().find(|(_, equal)| !equal) {
            Some((name, _)) => Err(ShareError::Mixed(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
