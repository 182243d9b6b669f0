//! One custodian: leave a share of an epoch secret, fetch it, have old ones deleted.

use redoubt_attestation::encode::sha256;
use redoubt_attestation::genesis::{PeerEntry, SignedFile};
use redoubt_attestation::peers::{
    self, DepositReply, EpochRequest, EpochStatement, ReleaseReply, SignedDeletion,
};
use redoubt_attestation::shares::{EpochShare, UnsealKey};
use redoubt_attestation::sign::HybridSigner;
use redoubt_shared::LedgerId;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::PeerError;
use super::link::Link;

/// Who speaks to a custodian: a document of the purpose that the call wants,
/// and the boot's ES256 receipt key to sign statements with.
pub struct EpochEvidence<'a> {
    /// Attestation document: `kms` to fetch, `serve` to leave and to delete.
    pub document: Vec<u8>,
    /// What its `user_data` hashes.
    pub preimage: Vec<u8>,
    /// Manifests since the one that peers may still pin, oldest first.
    pub genesis: Vec<SignedFile>,
    /// Holds `boot_keys.receipt_es256`.
    pub signer: &'a HybridSigner,
}

/// A share that came back.
pub struct Released {
    /// The share, with its index.
    pub share: EpochShare,
    /// Shares that restore the secret.
    pub threshold: u8,
}

/// A custodian of the genesis manifest.
pub struct Custodian {
    link: Link,
    entry: PeerEntry,
}

impl Custodian {
    pub(super) fn new(link: Link, entry: PeerEntry) -> Self {
        Self { link, entry }
    }

    /// Its name in the manifest.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Its entry in the manifest.
    pub fn entry(&self) -> &PeerEntry {
        &self.entry
    }

    /// Leaves a share. It is durable when this returns, and may be replaced
    /// until its epoch was released or became the oldest kept.
    pub async fn deposit(
        &self,
        evidence: &EpochEvidence<'_>,
        appliance: LedgerId,
        epoch: u32,
        threshold: u8,
        share: &EpochShare,
    ) -> Result<(), PeerError> {
        let statement = EpochStatement::Deposit {
            appliance,
            epoch,
            threshold,
            index: share.index,
            share: Zeroizing::new(*share.expose_value()),
        };
        let reply: DepositReply = self.say(peers::DEPOSIT, evidence, &statement).await?;
        if reply.epoch != epoch {
            return Err(self.link.malformed("it kept another epoch"));
        }
        Ok(())
    }

    /// Fetches the share of an epoch, sealed to this boot's key.
    pub async fn release(
        &self,
        evidence: &EpochEvidence<'_>,
        appliance: LedgerId,
        epoch: u32,
        key: &UnsealKey,
    ) -> Result<Released, PeerError> {
        let statement = EpochStatement::Release { appliance, epoch };
        let reply: ReleaseReply = self.say(peers::RELEASE, evidence, &statement).await?;
        let document = sha256(&[&evidence.document]);
        let share = key
            .open_epoch_share(reply.index, &document, &reply.enc, &reply.ciphertext)
            .map_err(|e| self.link.malformed(e))?;
        Ok(Released {
            share,
            threshold: reply.threshold,
        })
    }

    /// Has every share of epochs before `below` deleted. The statement that comes
    /// back was verified under this custodian's key and says exactly that.
    pub async fn retire(
        &self,
        evidence: &EpochEvidence<'_>,
        appliance: LedgerId,
        below: u32,
    ) -> Result<SignedDeletion, PeerError> {
        let statement = EpochStatement::Retire { appliance, below };
        let signed: SignedDeletion = self.say(peers::RETIRE, evidence, &statement).await?;
        let deletion = signed
            .verify(&self.entry)
            .map_err(|e| self.link.malformed(e))?;
        if deletion.appliance != appliance || deletion.below != below {
            return Err(self.link.malformed("its statement speaks of other shares"));
        }
        Ok(signed)
    }

    async fn say<T: DeserializeOwned>(
        &self,
        path: &'static str,
        evidence: &EpochEvidence<'_>,
        statement: &EpochStatement,
    ) -> Result<T, PeerError> {
        let statement = statement.to_json();
        let signed = evidence.signer.sign_es256(&statement);
        let signature = signed.map_err(|e| self.link.malformed(e))?;
        let request = EpochRequest {
            document: evidence.document.clone(),
            preimage: evidence.preimage.clone(),
            statement,
            signature,
            genesis: evidence.genesis.clone(),
        };
        self.link.call(path, &request).await
    }
}
