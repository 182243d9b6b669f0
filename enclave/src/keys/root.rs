//! Sealing keys: officers' secret → root → epoch key → one key per sealed object.
//!
//! Protects against nonce reuse after a crash, a rollback or a fork: every
//! object key mixes 32 bytes drawn at this boot, so two boots never share one,
//! and within a boot the nonce is a counter that is never reset (NIST SP 800-38D
//! section 8.2.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::hkdf::{Prk, expand};

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
pub struct Root(Prk);

impl Root {
    /// From the officers' 32-byte secret and the epoch secret.
    pub fn new(officers_secret: &[u8; 32], epoch_secret: &[u8]) -> Self {
        let length = officers_secret.len() + epoch_secret.len();
        let mut input = Zeroizing::new(Vec::with_capacity(length));
        input.extend_from_slice(officers_secret);
        input.extend_from_slice(epoch_secret);
        Self(Prk::extract(b"redoubt/root/v1", &input))
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
        let prk = Prk::extract(b"redoubt/epoch-key/v1", &bytes[..]);
        EpochKey::new(&prk, epoch)
    }
}

/// Everything sealed in one epoch hangs on this. Three keys with three lives:
/// entries can be read in later epochs too, what was wrapped or kept in a
/// snapshot cannot.
pub struct EpochKey {
    epoch: u32,
    entries: EntryKey,
    wrap: Prk,
    snapshot: Prk,
}

impl EpochKey {
    fn new(prk: &Prk, epoch: u32) -> Result<Self, SealError> {
        let mut entries = Box::new(Zeroizing::new([0u8; 32]));
        let mut other = Zeroizing::new([0u8; 32]);
        let mut extract = |label: &[u8]| {
            expand(prk, &[label], &mut other[..]).map_err(|_| SealError::Library)?;
            Ok(Prk::extract(label, &other[..]))
        };
        let wrap = extract(b"redoubt/epoch-wrap/v1")?;
        let snapshot = extract(b"redoubt/epoch-snapshot/v1")?;
        expand(prk, &[b"redoubt/epoch-entries/v1"], &mut entries[..])
            .map_err(|_| SealError::Library)?;
        Ok(Self {
            epoch,
            entries: EntryKey::of_bytes(epoch, entries),
            wrap,
            snapshot,
        })
    }

    /// Which epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The key of this epoch's entries.
    pub fn entries(&self) -> &EntryKey {
        &self.entries
    }

    /// The key of an event that must go dark with its epoch: HKDF(wrap key, 32 random bytes).
    pub fn wrapped(&self, random: &[u8; 32]) -> Result<ObjectKey, SealError> {
        derive(&self.wrap, &[b"redoubt/wrapped-event/v1", random])
    }

    /// The key of a snapshot: HKDF(snapshot key, ledger id ‖ 32 random bytes).
    pub fn snapshot(&self, ledger: &[u8; 16], random: &[u8; 32]) -> Result<ObjectKey, SealError> {
        derive(&self.snapshot, &[b"redoubt/snapshot/v1", ledger, random])
    }
}

/// Opens and seals the entries of one epoch, but nothing that was wrapped.
pub struct EntryKey {
    epoch: u32,
    bytes: Box<Zeroizing<[u8; 32]>>,
    prk: Prk,
}

impl EntryKey {
    fn of_bytes(epoch: u32, bytes: Box<Zeroizing<[u8; 32]>>) -> Self {
        let prk = Prk::extract(b"redoubt/entries/v1", &bytes[..]);
        Self { epoch, bytes, prk }
    }

    /// A key of an earlier epoch, as a snapshot kept it.
    pub fn from_bytes(epoch: u32, bytes: [u8; 32]) -> Self {
        Self::of_bytes(epoch, Box::new(Zeroizing::new(bytes)))
    }

    /// For the snapshot of a later epoch.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Which epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// HKDF(entry key, label ‖ scope ‖ 32 random bytes).
    pub fn object(
        &self,
        label: &str,
        scope: &[u8; 16],
        random: &[u8; 32],
    ) -> Result<ObjectKey, SealError> {
        derive(&self.prk, &[label.as_bytes(), scope, random])
    }
}

/// The epoch at hand and the entry keys of those before it.
pub struct Keyring {
    current: Arc<EpochKey>,
    earlier: BTreeMap<u32, EntryKey>,
}

impl Keyring {
    /// An epoch with what its snapshot kept of earlier ones.
    pub fn new(current: EpochKey, earlier: impl IntoIterator<Item = EntryKey>) -> Self {
        Self {
            current: Arc::new(current),
            earlier: earlier.into_iter().map(|key| (key.epoch, key)).collect(),
        }
    }

    /// The epoch at hand.
    pub fn current(&self) -> &Arc<EpochKey> {
        &self.current
    }

    /// Every entry key, the current epoch's last.
    pub fn all(&self) -> impl Iterator<Item = &EntryKey> {
        let current = std::iter::once(self.current.entries());
        self.earlier.values().chain(current)
    }

    /// The key of an epoch's entries.
    pub fn entries(&self, epoch: u32) -> Option<&EntryKey> {
        match epoch == self.current.epoch {
            true => Some(self.current.entries()),
            false => self.earlier.get(&epoch),
        }
    }

    /// Learns an earlier epoch's key.
    pub fn learn(&mut self, key: EntryKey) {
        self.earlier.insert(key.epoch, key);
    }

    /// Goes on in a later epoch; of the one before, only its entry key is kept.
    pub fn advance(&mut self, next: Arc<EpochKey>) {
        let last = std::mem::replace(&mut self.current, next);
        let kept = EntryKey::from_bytes(last.epoch, **last.entries.bytes);
        self.earlier.insert(last.epoch, kept);
    }
}

fn derive(prk: &Prk, info: &[&[u8]]) -> Result<ObjectKey, SealError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    expand(prk, info, &mut bytes[..]).map_err(|_| SealError::Library)?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes[..]).map_err(|_| SealError::Library)?;
    Ok(ObjectKey(LessSafeKey::new(key)))
}

/// What the keys of one subject's events are made from: HKDF-Extract of the subject key.
pub struct SubjectPrk(Prk);

impl SubjectPrk {
    /// Of the subject with this key.
    pub fn new(subject_key: &[u8; 32]) -> Self {
        Self(Prk::extract(b"redoubt/subject/v1", subject_key))
    }

    /// The key of one event: HKDF(subject key, 32 random bytes).
    pub fn event(&self, random: &[u8; 32]) -> Result<ObjectKey, SealError> {
        derive(&self.0, &[b"redoubt/subject-event/v1", random])
    }
}

/// An AES-256-GCM key for one sealed object or one boot's entries of one ledger.
pub struct ObjectKey(LessSafeKey);

impl ObjectKey {
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
        epoch
            .entries()
            .object(label, &[scope; 16], &[random; 32])
            .unwrap()
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
