//! Sealing keys: officers' secret → root → epoch key → one key per sealed object.
//!
//! Protects against nonce reuse after a crash, a rollback or a fork: every
//! object key mixes 32 bytes drawn at this boot, so two boots never share one,
//! and within a boot the nonce is a counter that is never reset (NIST SP 800-38D
//! section 8.2.1).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::entropy::expand;

/// Sealing or opening failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes were not sealed by us for this place.
    #[error("sealed bytes were altered, moved, or sealed under another key")]
    NotOurs,
    /// The library refused.
    #[error("the library refused to derive or seal")]
    Library,
}

/// HKDF(officers' secret ‖ epoch secret). Without custodians the epoch secret is empty.
pub struct Root(hkdf::Prk);

impl Root {
    /// From the officers' 32-byte secret and the epoch secret.
    pub fn new(officers_secret: &[u8; 32], epoch_secret: &[u8]) -> Self {
        let mut input = Zeroizing::new(officers_secret.to_vec());
        input.extend_from_slice(epoch_secret);
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, b"redoubt/root/v1").extract(&input))
    }

    /// The key of an epoch of the appliance whose officers' secret has this
    /// commitment. A new manifest of the same appliance keeps it.
    pub fn epoch(&self, commitment: &[u8; 32], epoch: u32) -> Result<EpochKey, SealError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        expand(
            &self.0,
            &[b"redoubt/epoch/v1", commitment, &epoch.to_be_bytes()],
            &mut bytes[..],
        )
        .map_err(|_| SealError::Library)?;
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"redoubt/epoch-key/v1").extract(&bytes[..]);
        Ok(EpochKey { prk, epoch })
    }
}

/// Everything sealed in one epoch hangs on this.
pub struct EpochKey {
    prk: hkdf::Prk,
    epoch: u32,
}

impl EpochKey {
    /// Which epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// HKDF(epoch key, label ‖ scope ‖ 32 random bytes).
    pub fn object(
        &self,
        label: &str,
        scope: &[u8; 16],
        random: &[u8; 32],
    ) -> Result<ObjectKey, SealError> {
        derive(&self.prk, &[label.as_bytes(), scope, random])
    }
}

fn derive(prk: &hkdf::Prk, info: &[&[u8]]) -> Result<ObjectKey, SealError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    expand(prk, info, &mut bytes[..]).map_err(|_| SealError::Library)?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes[..]).map_err(|_| SealError::Library)?;
    Ok(ObjectKey(LessSafeKey::new(key)))
}

/// An AES-256-GCM key for one sealed object or one boot's entries of one ledger.
pub struct ObjectKey(LessSafeKey);

impl ObjectKey {
    /// The key of one event of one subject: HKDF(subject key, 32 random bytes).
    pub fn for_subject(subject_key: &[u8; 32], random: &[u8; 32]) -> Result<Self, SealError> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"redoubt/subject/v1").extract(subject_key);
        derive(&prk, &[b"redoubt/subject-event/v1", random])
    }

    /// Seals in place and appends the tag. The caller never repeats a counter.
    pub fn seal(&self, counter: u64, aad: &[u8], bytes: &mut Vec<u8>) -> Result<(), SealError> {
        self.0
            .seal_in_place_append_tag(nonce(counter), Aad::from(aad), bytes)
            .map_err(|_| SealError::Library)
    }

    /// Opens what [`ObjectKey::seal`] made.
    pub fn open(
        &self,
        counter: u64,
        aad: &[u8],
        bytes: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut bytes = Zeroizing::new(bytes);
        let length = self
            .0
            .open_in_place(nonce(counter), Aad::from(aad), &mut bytes)
            .map_err(|_| SealError::NotOurs)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0u8; NONCE_LEN];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(
        secret: u8,
        genesis: u8,
        epoch: u32,
        label: &str,
        scope: u8,
        random: u8,
    ) -> ObjectKey {
        let root = Root::new(&[secret; 32], &[]);
        let epoch = root.epoch(&[genesis; 32], epoch).unwrap();
        epoch.object(label, &[scope; 16], &[random; 32]).unwrap()
    }

    #[test]
    fn each_input_separates_keys() {
        let base = || object(1, 1, 1, "a", 1, 1);
        let mut sealed = b"body".to_vec();
        base().seal(7, b"aad", &mut sealed).unwrap();
        assert_eq!(
            base().open(7, b"aad", sealed.clone()).unwrap().as_slice(),
            b"body"
        );
        let others = [
            object(2, 1, 1, "a", 1, 1),
            object(1, 2, 1, "a", 1, 1),
            object(1, 1, 2, "a", 1, 1),
            object(1, 1, 1, "b", 1, 1),
            object(1, 1, 1, "a", 2, 1),
            object(1, 1, 1, "a", 1, 2),
        ];
        for other in others {
            assert_eq!(
                other.open(7, b"aad", sealed.clone()),
                Err(SealError::NotOurs)
            );
        }
        assert_eq!(
            base().open(8, b"aad", sealed.clone()),
            Err(SealError::NotOurs)
        );
        assert_eq!(base().open(7, b"aae", sealed), Err(SealError::NotOurs));
    }

    #[test]
    fn a_second_implementation_opens_what_the_first_sealed() {
        use aes_gcm::aead::{Aead, KeyInit, Payload};
        let key = [3u8; 32];
        let sealer = ObjectKey(LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, &key).unwrap(),
        ));
        let mut sealed = b"template".to_vec();
        sealer.seal(5, b"place", &mut sealed).unwrap();
        let mut nonce = [0u8; 12];
        nonce[11] = 5;
        let other = aes_gcm::Aes256Gcm::new(&key.into());
        let opened = other
            .decrypt(
                &nonce.into(),
                Payload {
                    msg: &sealed,
                    aad: b"place",
                },
            )
            .unwrap();
        assert_eq!(opened, b"template");
    }
}
