//! What a custodian remembers of one appliance's epoch secrets.
//!
//! Protects erased data and kept data alike: a retired epoch never comes back, a
//! share in use is never replaced, an older boot changes nothing once a newer
//! one spoke. Pure: shares themselves are files of their own, which the record
//! names; the caller writes, then answers, then erases what is named no more.

use std::collections::BTreeMap;

use redoubt_attestation::encode::{Digest32, as_text};
use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};

/// How many replaced deposits of an epoch are remembered, to refuse their replay.
const REPLACED_MAX: usize = 64;
/// Epochs kept at once: the current one and a few attempts at the next.
const EPOCHS_MAX: usize = 16;

/// Why a custodian refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultRefusal {
    /// A newer term spoke.
    #[error("superseded by term {term}")]
    Superseded {
        /// The newest term.
        term: u64,
    },
    /// The epoch was retired.
    #[error("epochs before {below} were retired and never come back")]
    Retired {
        /// First epoch that is not.
        below: u32,
    },
    /// The epoch's share is in use.
    #[error("the share of epoch {epoch} is in use and is not replaced")]
    InUse {
        /// The epoch.
        epoch: u32,
    },
    /// This deposit was replaced by a later one.
    #[error("this deposit for epoch {epoch} was replaced by a later one")]
    Replayed {
        /// The epoch.
        epoch: u32,
    },
    /// No share of this epoch.
    #[error("no share of epoch {epoch} is kept here")]
    Unknown {
        /// The epoch.
        epoch: u32,
    },
    /// Too many epochs or attempts.
    #[error("too many deposits are kept; retire old epochs first")]
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum RecordType {
    #[serde(rename = "redoubt/custodian-vault/v1")]
    V1,
}

/// One kept share; the value is in `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Shares that restore the secret.
    pub threshold: u8,
    /// Which point.
    pub index: u8,
    /// File of the value.
    pub file: String,
    /// SHA-256 of the statement that left it.
    pub statement: Digest32,
    /// Whether it was ever given out.
    pub released: bool,
    replaced: Vec<Digest32>,
}

/// What is on disk about one appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    #[serde(rename = "type")]
    kind: RecordType,
    /// The appliance's ledger.
    #[serde(with = "as_text")]
    pub appliance: LedgerId,
    /// The newest term that spoke.
    pub term: u64,
    /// Epochs before this one are retired.
    pub below: u32,
    epochs: BTreeMap<u32, Kept>,
}

/// A share to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deposit {
    /// Which epoch.
    pub epoch: u32,
    /// Shares that restore the secret.
    pub threshold: u8,
    /// Which point.
    pub index: u8,
    /// SHA-256 of the statement.
    pub statement: Digest32,
}

impl Vault {
    /// Nothing kept yet.
    pub fn empty(appliance: LedgerId) -> Self {
        Self {
            kind: RecordType::V1,
            appliance,
            term: 0,
            below: 0,
            epochs: BTreeMap::new(),
        }
    }

    /// Names of the files in use.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.epochs.values().map(|kept| kept.file.as_str())
    }

    /// After a deposit by a boot of `term`.
    pub fn deposit(&self, term: u64, deposit: Deposit) -> Result<Self, VaultRefusal> {
        let Deposit {
            epoch,
            threshold,
            index,
            statement,
        } = deposit;
        let mut next = self.heard(term)?;
        if epoch < self.below {
            return Err(VaultRefusal::Retired { below: self.below });
        }
        let mut replaced = Vec::new();
        if let Some(kept) = self.epochs.get(&epoch) {
            if kept.statement == statement {
                return Ok(next);
            }
            if kept.replaced.contains(&statement) {
                return Err(VaultRefusal::Replayed { epoch });
            }
            if kept.released || (epoch == self.below && self.below > 0) {
                return Err(VaultRefusal::InUse { epoch });
            }
            replaced.clone_from(&kept.replaced);
            replaced.push(kept.statement);
        }
        let more = !self.epochs.contains_key(&epoch);
        if replaced.len() > REPLACED_MAX || (more && self.epochs.len() >= EPOCHS_MAX) {
            return Err(VaultRefusal::Full);
        }
        let kept = Kept {
            threshold,
            index,
            file: format!("{epoch}-{}.share", &statement.to_string()[..32]),
            statement,
            released: false,
            replaced,
        };
        next.epochs.insert(epoch, kept);
        Ok(next)
    }

    /// The share of an epoch, and the record that says it was given out.
    pub fn release(&self, epoch: u32) -> Result<(Self, Kept), VaultRefusal> {
        if epoch < self.below {
            return Err(VaultRefusal::Retired { below: self.below });
        }
        let mut next = self.clone();
        let kept = next
            .epochs
            .get_mut(&epoch)
            .ok_or(VaultRefusal::Unknown { epoch })?;
        kept.released = true;
        let kept = kept.clone();
        Ok((next, kept))
    }

    /// After everything before `below` was retired by a boot of `term`.
    pub fn retire(&self, term: u64, below: u32) -> Result<Self, VaultRefusal> {
        let mut next = self.heard(term)?;
        next.below = self.below.max(below);
        let first = next.below;
        next.epochs.retain(|epoch, _| *epoch >= first);
        Ok(next)
    }

    fn heard(&self, term: u64) -> Result<Self, VaultRefusal> {
        if term < self.term {
            return Err(VaultRefusal::Superseded { term: self.term });
        }
        Ok(Self {
            term,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::empty(LedgerId::from_bytes([1; 16]))
    }

    fn share(epoch: u32, n: u8) -> Deposit {
        Deposit {
            epoch,
            threshold: 2,
            index: 1,
            statement: Digest32([n; 32]),
        }
    }

    #[test]
    fn a_deposit_may_be_replaced_until_it_is_released() {
        let vault = vault().deposit(1, share(0, 1)).unwrap();
        let vault = vault.deposit(1, share(0, 2)).unwrap();
        let (vault, kept) = vault.release(0).unwrap();
        assert_eq!(kept.statement, Digest32([2; 32]));
        assert_eq!(
            vault.deposit(1, share(0, 3)),
            Err(VaultRefusal::InUse { epoch: 0 })
        );
        // The same deposit again is a retry.
        assert_eq!(vault.deposit(1, share(0, 2)).unwrap(), vault);
    }

    #[test]
    fn a_replaced_deposit_is_not_replayed() {
        let vault = vault().deposit(1, share(0, 1)).unwrap();
        let vault = vault.deposit(1, share(0, 2)).unwrap();
        assert_eq!(
            vault.deposit(1, share(0, 1)),
            Err(VaultRefusal::Replayed { epoch: 0 })
        );
        assert_eq!(vault.files().count(), 1);
    }

    #[test]
    fn retired_epochs_never_come_back() {
        let vault = vault().deposit(1, share(1, 1)).unwrap();
        let vault = vault.deposit(1, share(2, 2)).unwrap();
        let vault = vault.retire(1, 2).unwrap();
        assert_eq!(vault.files().count(), 1);
        let gone = VaultRefusal::Retired { below: 2 };
        assert_eq!(vault.deposit(1, share(1, 3)), Err(gone));
        assert_eq!(vault.release(1).unwrap_err(), gone);
        assert!(vault.release(2).is_ok());
        // The oldest epoch kept is in use, released or not.
        assert_eq!(
            vault.deposit(1, share(2, 4)),
            Err(VaultRefusal::InUse { epoch: 2 })
        );
        // Nor does an earlier retirement, replayed, bring anything back.
        assert_eq!(vault.retire(1, 1).unwrap(), vault);
    }

    #[test]
    fn an_older_term_changes_nothing() {
        let vault = vault().deposit(4, share(0, 1)).unwrap();
        let older = Err(VaultRefusal::Superseded { term: 4 });
        assert_eq!(vault.deposit(3, share(0, 2)), older);
        assert_eq!(vault.retire(3, 9), older);
        assert!(vault.deposit(5, share(0, 2)).is_ok());
    }

    #[test]
    fn a_share_that_was_never_left_is_unknown() {
        assert_eq!(
            vault().release(7).unwrap_err(),
            VaultRefusal::Unknown { epoch: 7 }
        );
    }

    #[test]
    fn deposits_are_bounded() {
        let mut full = vault();
        for n in 0..=REPLACED_MAX as u8 {
            full = full.deposit(1, share(0, n)).unwrap();
        }
        assert_eq!(full.deposit(1, share(0, 200)), Err(VaultRefusal::Full));
        let mut wide = vault();
        for epoch in 0..EPOCHS_MAX as u32 {
            wide = wide.deposit(1, share(epoch, 1)).unwrap();
        }
        assert_eq!(wide.deposit(1, share(99, 1)), Err(VaultRefusal::Full));
    }
}
