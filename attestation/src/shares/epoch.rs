//! The epoch secret: split over custodians, released share by share to one
//! attested boot.
//!
//! Protects erased data: root keys derive from the officers' secret and this
//! one, custodians delete it at rotation, and then old shares of the officers
//! open nothing. Values are boxed and zeroized, without Clone, Debug or Serialize.

use zeroize::Zeroizing;

use super::seal::seal;
use super::shamir::{self, Value};
use super::{ShareError, UnsealKey};
use crate::encode::{Digest32, exactly};
use crate::entropy::Entropy;

const INFO: &[u8] = b"redoubt/epoch-share/v1";

/// One custodian's point of an epoch secret.
pub struct EpochShare {
    /// Which point, from 1.
    pub index: u8,
    value: Value,
}

impl EpochShare {
    /// From what a custodian kept; `None` for index 0, which is the secret itself.
    pub fn new(index: u8, value: &[u8; 32]) -> Option<Self> {
        (index > 0).then(|| Self {
            index,
            value: Box::new(Zeroizing::new(*value)),
        })
    }

    /// The value, for its custodian and nobody else.
    pub fn expose_value(&self) -> &[u8; 32] {
        &self.value
    }
}

/// Splits an epoch secret: any `t` of `n` shares restore it, fewer say nothing.
pub fn split_epoch_secret(
    secret: &[u8; 32],
    t: u8,
    n: u8,
    entropy: &dyn Entropy,
) -> Result<Vec<EpochShare>, ShareError> {
    if t == 0 || t > n {
        return Err(ShareError::Threshold { k: t, n });
    }
    let values = shamir::split(secret, t, n, entropy)?;
    Ok((1..=n)
        .zip(values)
        .map(|(index, value)| EpochShare { index, value })
        .collect())
}

/// Restores an epoch secret from at least `t` shares. A wrong share makes a
/// wrong secret: whoever opens something with it finds out.
pub fn combine_epoch_secret(
    shares: &[EpochShare],
    t: u8,
) -> Result<Box<Zeroizing<[u8; 32]>>, ShareError> {
    let (have, need) = (shares.len(), usize::from(t.max(1)));
    if have < need {
        return Err(ShareError::TooFew { have, need });
    }
    for (at, share) in shares.iter().enumerate() {
        if shares[..at].iter().any(|other| other.index == share.index) {
            return Err(ShareError::Repeated(share.index));
        }
    }
    let points: Vec<_> = shares[..need]
        .iter()
        .map(|share| (share.index, &*share.value))
        .collect();
    Ok(shamir::combine(&points))
}

/// Seals a share to the X-Wing key of an appraised document: encapsulated key
/// and ciphertext. `document` is the document's SHA-256.
pub fn seal_epoch_share(
    share: &[u8; 32],
    recipient: &[u8],
    document: &Digest32,
    entropy: &dyn Entropy,
) -> Result<(Vec<u8>, Vec<u8>), ShareError> {
    seal(share, recipient, INFO, &document.0, entropy)
}

impl UnsealKey {
    /// Opens a custodian's answer to the document with this SHA-256.
    pub fn open_epoch_share(
        &self,
        index: u8,
        document: &Digest32,
        enc: &[u8],
        ciphertext: &[u8],
    ) -> Result<EpochShare, ShareError> {
        let plaintext = self.open(INFO, &document.0, enc, ciphertext)?;
        let malformed = |problem: String| ShareError::Malformed(problem);
        let value = Zeroizing::new(exactly(&plaintext).map_err(|e| malformed(e.to_string()))?);
        EpochShare::new(index, &value).ok_or_else(|| malformed("index 0 is no custodian's".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn any_t_shares_restore_an_epoch_secret_and_fewer_do_not() {
        let secret = [7; 32];
        let mut shares = split_epoch_secret(&secret, 2, 3, &SystemEntropy).unwrap();
        for skip in 0..3 {
            let some: Vec<_> = (0..3)
                .filter(|at| *at != skip)
                .map(|at| EpochShare::new(shares[at].index, shares[at].expose_value()).unwrap())
                .collect();
            assert_eq!(**combine_epoch_secret(&some, 2).unwrap(), secret);
        }
        shares.truncate(1);
        assert!(matches!(
            combine_epoch_secret(&shares, 2),
            Err(ShareError::TooFew { have: 1, need: 2 })
        ));
        assert_ne!(**combine_epoch_secret(&shares, 1).unwrap(), secret);
        assert!(split_epoch_secret(&secret, 3, 2, &SystemEntropy).is_err());
        assert!(EpochShare::new(0, &secret).is_none());
    }

    #[test]
    fn a_repeated_share_is_refused() {
        let twice = [1, 1].map(|index| EpochShare::new(index, &[1; 32]).unwrap());
        assert!(matches!(
            combine_epoch_secret(&twice, 2),
            Err(ShareError::Repeated(1))
        ));
    }

    #[test]
    fn a_sealed_epoch_share_opens_at_its_boot_for_its_document_only() {
        let key = UnsealKey::generate(&SystemEntropy).unwrap();
        let document = Digest32([3; 32]);
        let (enc, ciphertext) =
            seal_epoch_share(&[5; 32], key.public(), &document, &SystemEntropy).unwrap();
        let opened = key
            .open_epoch_share(2, &document, &enc, &ciphertext)
            .unwrap();
        assert_eq!((opened.index, opened.expose_value()), (2, &[5; 32]));
        let other = UnsealKey::generate(&SystemEntropy).unwrap();
        assert!(
            other
                .open_epoch_share(2, &document, &enc, &ciphertext)
                .is_err()
        );
        assert!(
            key.open_epoch_share(2, &Digest32([4; 32]), &enc, &ciphertext)
                .is_err()
        );
        // Another purpose's info opens nothing either.
        assert!(key.open_share(&document.0, &enc, &ciphertext).is_err());
    }
}
