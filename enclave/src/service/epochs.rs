//! The epoch secret: left with custodians, fetched from them, deleted by them.
//!
//! Protects erased data against everyone who kept an old disk and old shares of
//! the officers: without the epoch secret of the time they open nothing, and
//! that one is gone once custodians have deleted it.

use std::sync::Arc;
use std::time::Duration;

use redoubt_attestation::attester::AttesterError;
use redoubt_attestation::binding::{NonceInput, Purpose};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::peers::SignedDeletion;
use redoubt_attestation::shares::{EpochShare, combine_epoch_secret, split_epoch_secret};
use zeroize::Zeroizing;

use super::boot::Appliance;
use super::documents::ServingFacts;
use super::recover::RecoverError;
use crate::peers::{Custodian, EpochEvidence, PeerError};

/// Pause before custodians are asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Without custodians, whoever keeps enough old shares can open an old disk.
pub(super) const OFFICERS: &str = "officers";

/// 32 random bytes that open one epoch together with the officers' secret.
pub(super) type EpochSecret = Box<Zeroizing<[u8; 32]>>;

impl Appliance {
    fn threshold(&self) -> u8 {
        self.genesis.manifest.custodian_threshold.unwrap_or(0)
    }

    /// What stands for the custodians and their threshold in the ledger.
    pub(super) fn custodians_digest(&self) -> [u8; 32] {
        let mut text = format!("redoubt/custodians/v1\n{}\n", self.threshold());
        for custodian in self.peers.custodians() {
            let entry = custodian.entry();
            text.push_str(&format!("{} {}\n", entry.name, entry.key.thumbprint()));
        }
        sha256(&[text.as_bytes()]).0
    }

    /// What custodians believe this boot by.
    fn epoch_evidence(
        &self,
        purpose: Purpose,
        term: Option<u64>,
    ) -> Result<EpochEvidence<'_>, AttesterError> {
        let facts = ServingFacts {
            term,
            ..ServingFacts::default()
        };
        let (document, preimage) = self.document(purpose, facts, NonceInput::NoSession)?;
        Ok(EpochEvidence {
            document,
            preimage,
            genesis: self.successors(),
            signer: &self.keys.receipt,
        })
    }

    /// The secret of an epoch: empty without custodians, else theirs. `first`:
    /// nothing was ever written, so that it may be made now.
    pub(super) async fn epoch_secret(
        &self,
        epoch: u32,
        first: bool,
    ) -> Result<Option<EpochSecret>, RecoverError> {
        let custodians = self.peers.custodians();
        if custodians.is_empty() {
            return Ok(None);
        }
        loop {
            let asked = self.fetch_shares(&custodians, epoch).await?;
            if asked.shares.len() >= usize::from(self.threshold()) {
                let secret = combine_epoch_secret(&asked.shares, self.threshold());
                return Ok(Some(secret.map_err(|_| RecoverError::EpochSecret)?));
            }
            if first && asked.none == custodians.len() {
                let secret = Box::new(Zeroizing::new(self.pool.draw()?));
                match self.deposit(1, epoch, &secret).await {
                    Ok(()) => return Ok(Some(secret)),
                    Err(missing) => tracing::warn!(missing, "a custodian took no share"),
                }
            } else if asked.refused + usize::from(self.threshold()) > custodians.len() {
                return Err(RecoverError::Custodians(asked.why));
            } else {
                tracing::warn!(why = asked.why, epoch, "waiting for custodians");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn fetch_shares(
        &self,
        custodians: &[Arc<Custodian>],
        epoch: u32,
    ) -> Result<Asked, RecoverError> {
        let evidence = self.epoch_evidence(Purpose::Kms, None)?;
        let appliance = self.config.config.appliance_ledger;
        let mut asked = Asked::default();
        for custodian in custodians {
            let key = &self.keys.unseal;
            match custodian.release(&evidence, appliance, epoch, key).await {
                Ok(released) => asked.shares.push(released.share),
                Err(PeerError::Refused { status: 404, .. }) => asked.none += 1,
                Err(error) => {
                    let refused = matches!(
                        error,
                        PeerError::Refused {
                            status: 403 | 410,
                            ..
                        }
                    );
                    asked.refused += usize::from(refused);
                    asked.why = error.to_string();
                }
            }
        }
        if asked.why.is_empty() {
            asked.why = format!("{} custodians keep no share of this epoch", asked.none);
        }
        Ok(asked)
    }

    /// Leaves a share with every custodian; names the first that did not take it.
    pub(super) async fn deposit(
        &self,
        term: u64,
        epoch: u32,
        secret: &EpochSecret,
    ) -> Result<(), String> {
        let custodians = self.peers.custodians();
        let (t, n) = (self.threshold(), custodians.len() as u8);
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let shares = split_epoch_secret(secret, t, n, &*self.pool).map_err(|e| failed(&e))?;
        let evidence = self.epoch_evidence(Purpose::Serve, Some(term));
        let evidence = evidence.map_err(|e| failed(&e))?;
        let appliance = self.config.config.appliance_ledger;
        for (custodian, share) in custodians.iter().zip(&shares) {
            let left = custodian.deposit(&evidence, appliance, epoch, t, share);
            left.await.map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Has every custodian delete what it kept of epochs before `below`.
    pub(super) async fn retire(&self, term: u64, below: u32) -> Retired {
        let mut retired = Retired::default();
        let evidence = self.epoch_evidence(Purpose::Serve, Some(term));
        let appliance = self.config.config.appliance_ledger;
        for custodian in self.peers.custodians() {
            let signed = match &evidence {
                Ok(evidence) => {
                    let said = custodian.retire(evidence, appliance, below).await;
                    said.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match signed {
                Ok(signed) => retired.statements.push(signed),
                Err(why) => {
                    tracing::warn!(why, "a custodian deleted nothing yet");
                    retired.silent.push(custodian.name().to_owned());
                }
            }
        }
        retired
    }

    /// On whom the darkness of an erasure depends, beside its epoch's end.
    pub(super) fn erasure_depends_on(&self) -> Vec<String> {
        let custodians = self.peers.custodians();
        match custodians.is_empty() {
            true => vec![OFFICERS.to_owned()],
            false => custodians.iter().map(|c| c.name().to_owned()).collect(),
        }
    }

    /// On whom darkness depends while `silent` have deleted nothing: nobody, if
    /// they are too few to restore the secret.
    pub(super) fn depends_on(&self, silent: &[String]) -> Vec<String> {
        match silent.len() < usize::from(self.threshold()) {
            true => Vec::new(),
            false => silent.to_vec(),
        }
    }
}

#[derive(Default)]
struct Asked {
    shares: Vec<EpochShare>,
    none: usize,
    refused: usize,
    why: String,
}

/// What custodians said to a deletion.
#[derive(Default)]
pub(super) struct Retired {
    /// Their statements.
    pub(super) statements: Vec<SignedDeletion>,
    /// Those that gave none.
    pub(super) silent: Vec<String>,
}
