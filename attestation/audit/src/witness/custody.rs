//! The custodian's half: shares are kept, given to attested boots, deleted.
//!
//! Protects against a share that comes back after it was said to be gone: the
//! record forgets it first, durably; what the record does not name is erased, at
//! once and again at every start; only then the deletion is stated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::encode::{Digest32, b64u, exactly, from_b64u, sha256};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::peers::{Deletion, DepositReply, ReleaseReply};
use redoubt_attestation::shares::seal_epoch_share;
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::LedgerId;
use zeroize::Zeroizing;

use super::answer::{Answer, Refused};
use super::files;
use super::vault::{Deposit, Kept, Vault};
use crate::fetch::now_ms;

const FOLDER: &str = "shares";
const RECORD: &str = "vault.json";
/// Appliances one custodian serves.
const VAULTS_MAX: usize = 64;

type Shared = Arc<Mutex<Vault>>;

pub(super) struct Custody {
    dir: PathBuf,
    vaults: Mutex<BTreeMap<LedgerId, Shared>>,
}

impl Custody {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let dir = dir.join(FOLDER);
        files::make_dir(&dir).with_context(|| dir.display().to_string())?;
        let mut vaults = BTreeMap::new();
        for item in std::fs::read_dir(&dir)? {
            let folder = item?.path();
            let path = folder.join(RECORD);
            let Some(bytes) = files::read(&path).with_context(|| path.display().to_string())?
            else {
                continue;
            };
            let vault: Vault =
                serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
            ensure!(
                folder == dir.join(vault.appliance.to_string()),
                "{}: holds the record of another appliance",
                path.display()
            );
            sweep(&folder, &vault).with_context(|| folder.display().to_string())?;
            vaults.insert(vault.appliance, Arc::new(Mutex::new(vault)));
        }
        Ok(Self {
            dir,
            vaults: Mutex::new(vaults),
        })
    }

    /// Keeps a share.
    pub(super) fn deposit(
        &self,
        appliance: LedgerId,
        term: u64,
        deposit: Deposit,
        share: &[u8; 32],
    ) -> Result<Answer, Answer> {
        let shared = self.vault(appliance)?;
        let mut vault = lock(&shared);
        let next = vault.deposit(term, deposit)?;
        let folder = self.folder(appliance);
        if let Some(file) = next.files().find(|file| !vault.files().any(|f| f == *file)) {
            let text = Zeroizing::new(b64u(share));
            files::write(&folder.join(file), text.as_bytes()).map_err(Refused::disk)?;
        }
        self.commit(&mut vault, next)?;
        Ok(Answer::json(&DepositReply {
            epoch: deposit.epoch,
        })?)
    }

    /// Gives a share to the boot of an attested document.
    pub(super) fn release(
        &self,
        appliance: LedgerId,
        epoch: u32,
        recipient: &[u8],
        document: &Digest32,
    ) -> Result<Answer, Answer> {
        let shared = self.vault(appliance)?;
        let mut vault = lock(&shared);
        let (next, kept) = vault.release(epoch)?;
        let share = self.read(appliance, &kept)?;
        let (enc, ciphertext) = seal_epoch_share(&share, recipient, document, &SystemEntropy)
            .map_err(|e| Refused::forbidden(e.to_string()))?;
        self.commit(&mut vault, next)?;
        Ok(Answer::json(&ReleaseReply {
            index: kept.index,
            threshold: kept.threshold,
            enc,
            ciphertext,
        })?)
    }

    /// Deletes the shares of all epochs before `below` and says so.
    pub(super) fn retire(
        &self,
        appliance: LedgerId,
        term: u64,
        below: u32,
        name: &str,
        key: &Ed25519Signer,
    ) -> Result<Answer, Answer> {
        let shared = self.vault(appliance)?;
        let mut vault = lock(&shared);
        let next = vault.retire(term, below)?;
        self.commit(&mut vault, next)?;
        let signed = Deletion::new(name, appliance, below, now_ms())
            .sign(key)
            .map_err(|e| Refused::failed(e.to_string()))?;
        Ok(Answer::json(&signed)?)
    }

    /// The record is durable first, then what it no longer names is erased.
    fn commit(&self, vault: &mut Vault, next: Vault) -> Result<(), Refused> {
        let folder = self.folder(next.appliance);
        if next != *vault {
            let json =
                serde_json::to_vec_pretty(&next).map_err(|e| Refused::failed(e.to_string()))?;
            files::replace(&folder.join(RECORD), &json).map_err(Refused::disk)?;
            *vault = next;
        }
        sweep(&folder, vault).map_err(Refused::disk)
    }

    fn read(&self, appliance: LedgerId, kept: &Kept) -> Result<Zeroizing<[u8; 32]>, Refused> {
        let path = self.folder(appliance).join(&kept.file);
        let bytes = files::read(&path).map_err(Refused::disk)?;
        let share = bytes.and_then(|bytes| {
            let text = std::str::from_utf8(&bytes).ok()?;
            let value = Zeroizing::new(from_b64u(text).ok()?);
            exactly::<32>(&value).map(Zeroizing::new).ok()
        });
        share.ok_or_else(|| Refused::failed("the share's file is missing or damaged"))
    }

    fn vault(&self, appliance: LedgerId) -> Result<Shared, Refused> {
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = vaults.get(&appliance) {
            return Ok(Arc::clone(vault));
        }
        if vaults.len() >= VAULTS_MAX {
            return Err(Refused::forbidden("too many appliances are kept here"));
        }
        files::make_dir(&self.folder(appliance)).map_err(Refused::disk)?;
        let vault = Arc::new(Mutex::new(Vault::empty(appliance)));
        vaults.insert(appliance, Arc::clone(&vault));
        Ok(vault)
    }

    fn folder(&self, appliance: LedgerId) -> PathBuf {
        self.dir.join(appliance.to_string())
    }
}

fn lock(vault: &Shared) -> std::sync::MutexGuard<'_, Vault> {
    vault.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Erases every share that the record does not name: replaced, retired, or
/// written just before a crash.
fn sweep(folder: &Path, vault: &Vault) -> std::io::Result<()> {
    let named: BTreeSet<&str> = vault.files().collect();
    for item in std::fs::read_dir(folder)? {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name
            && name.ends_with(".share")
            && !named.contains(name)
        {
            files::erase(&path)?;
        }
    }
    Ok(())
}

/// The digest by which a deposit is known.
pub(super) fn deposit_digest(statement: &[u8]) -> Digest32 {
    sha256(&[b"redoubt/epoch-deposit-digest/v1", statement])
}
