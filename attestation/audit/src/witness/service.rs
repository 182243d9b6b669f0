//! From a path and a body to an answer.
//!
//! Protects the peer's state: nothing changes it but an attested boot of the
//! pinned appliance, for that appliance's own ledger, in the role that the
//! manifest gives this peer.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use http::StatusCode;
use redoubt_attestation::binding::Purpose;
use redoubt_attestation::genesis::{Config, PeerEntry, SignedFile};
use redoubt_attestation::peers::{
    ADD_CHECKPOINT, DEPOSIT, EpochRequest, EpochStatement, RELEASE, RETIRE, TERMS, TermRequest,
};
use redoubt_attestation::sign::native;
use redoubt_shared::LedgerId;

use super::answer::{Answer, Refused};
use super::cosigner::Cosigner;
use super::custody::{Custody, deposit_digest};
use super::files;
use super::identity::Identity;
use super::pinned::{Believed, Evidence, Pin};
use super::vault::Deposit;
use crate::fetch::now_ms;

const LOCK: &str = "lock";

/// A witness and custodian without its network.
pub struct Service {
    pub(super) identity: Identity,
    pin: Pin,
    cosigner: Cosigner,
    custody: Custody,
    /// Held for life: two processes on one folder would be two witnesses with one key.
    _lock: File,
}

impl Service {
    /// Opens a folder that `init` made; `policy` pins the manifest the first time.
    pub fn open(dir: &Path, policy: Option<&[u8]>) -> Result<Self> {
        let identity = Identity::load(dir)?;
        files::write(&dir.join(LOCK), b"")?;
        let lock = File::open(dir.join(LOCK))?;
        lock.try_lock().with_context(|| {
            let dir = dir.display();
            format!("{dir}: another process serves this folder; stop it first")
        })?;
        Ok(Self {
            pin: Pin::open(dir, policy, &identity.entry)?,
            cosigner: Cosigner::open(dir)?,
            custody: Custody::open(dir)?,
            identity,
            _lock: lock,
        })
    }

    /// This peer's entry.
    pub fn entry(&self) -> &PeerEntry {
        &self.identity.entry
    }

    /// Answers one request. Blocks on the disk.
    pub(super) fn answer(&self, path: &str, body: &[u8]) -> Answer {
        let answer = match path {
            ADD_CHECKPOINT => self.add_checkpoint(body),
            TERMS => self.introduce(body),
            DEPOSIT => self.custodian(body, Purpose::Serve, Self::deposit),
            RELEASE => self.custodian(body, Purpose::Kms, Self::release),
            RETIRE => self.custodian(body, Purpose::Serve, Self::retire),
            _ => Err(Refused::new(StatusCode::NOT_FOUND, "no such call").into()),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn add_checkpoint(&self, body: &[u8]) -> Result<Answer, Answer> {
        let pinned = self.pin.current();
        let manifest = &pinned.genesis.manifest;
        let own = &self.identity.entry;
        let policy = manifest
            .witness_policy
            .filter(|_| manifest.witnesses.contains(own))
            .ok_or_else(not_a_witness)?;
        let key = &self.identity.signer;
        self.cosigner
            .add_checkpoint(body, policy.lease_ms, &own.name, key)
    }

    fn introduce(&self, body: &[u8]) -> Result<Answer, Answer> {
        let request: TermRequest = parse(body)?;
        let evidence = Evidence {
            document: &request.document,
            preimage: &request.preimage,
            genesis: &request.genesis,
        };
        let believed = self.pin.believe(&evidence, Purpose::Serve, now_ms())?;
        let manifest = &believed.pinned.genesis.manifest;
        if !manifest.witnesses.contains(&self.identity.entry) {
            return Err(not_a_witness().into());
        }
        if let Some(file) = &request.config {
            self.close_restored(&believed, file)?;
        }
        self.cosigner.introduce(&believed)
    }

    /// The ledger that a restore goes on from gets no cosignature any more, and the
    /// new one none before the last lease of the old is over.
    fn close_restored(&self, believed: &Believed, file: &SignedFile) -> Result<(), Answer> {
        let config = Config::verify(&file.to_json(), &believed.pinned.genesis)
            .map_err(|e| Refused::forbidden(format!("configuration: {e}")))?;
        if config.digest != believed.binding.config {
            let text = "configuration: the document names another one";
            return Err(Refused::forbidden(text).into());
        }
        match &config.config.restore {
            Some(restore) => {
                let key = &believed.binding.boot_keys.checkpoint_ed25519;
                self.cosigner.close(restore.ledger, key)
            }
            None => Ok(()),
        }
    }

    fn custodian(
        &self,
        body: &[u8],
        purpose: Purpose,
        act: fn(&Self, &Believed, &EpochRequest, EpochStatement) -> Result<Answer, Answer>,
    ) -> Result<Answer, Answer> {
        let request: EpochRequest = parse(body)?;
        let evidence = Evidence {
            document: &request.document,
            preimage: &request.preimage,
            genesis: &request.genesis,
        };
        let believed = self.pin.believe(&evidence, purpose, now_ms())?;
        let key = &believed.binding.boot_keys.receipt_es256;
        native::verify_es256(key, &request.statement, &request.signature)
            .map_err(|e| Refused::forbidden(format!("statement: {e}")))?;
        let statement: EpochStatement = parse(&request.statement)?;
        act(self, &believed, &request, statement)
    }

    fn deposit(
        &self,
        believed: &Believed,
        request: &EpochRequest,
        statement: EpochStatement,
    ) -> Result<Answer, Answer> {
        let EpochStatement::Deposit {
            appliance,
            epoch,
            threshold,
            index,
            share,
        } = statement
        else {
            return Err(wrong_statement().into());
        };
        own_ledger(appliance, believed)?;
        let manifest = &believed.pinned.genesis.manifest;
        let mut custodians = manifest.custodians.iter();
        let place = custodians.position(|peer| *peer == self.identity.entry);
        let Some(place) = place else {
            return Err(Refused::forbidden(
                "the manifest in force does not name this peer as a custodian",
            )
            .into());
        };
        if place + 1 != usize::from(index) || manifest.custodian_threshold != Some(threshold) {
            return Err(Refused::bad(
                "index and threshold must be this custodian's place and the threshold of the manifest",
            )
            .into());
        }
        let term = self.term(believed)?;
        let deposit = Deposit {
            epoch,
            threshold,
            index,
            statement: deposit_digest(&request.statement),
        };
        self.custody.deposit(appliance, term, deposit, &share)
    }

    /// Also after this peer left the manifest: an appliance that rotates out of
    /// it still needs the share it left.
    fn release(
        &self,
        believed: &Believed,
        _: &EpochRequest,
        statement: EpochStatement,
    ) -> Result<Answer, Answer> {
        let EpochStatement::Release { appliance, epoch } = statement else {
            return Err(wrong_statement().into());
        };
        own_ledger(appliance, believed)?;
        let recipient = &believed.binding.boot_keys.unseal_xwing;
        self.custody
            .release(appliance, epoch, recipient, &believed.document)
    }

    /// Also after this peer left the manifest: then above all.
    fn retire(
        &self,
        believed: &Believed,
        _: &EpochRequest,
        statement: EpochStatement,
    ) -> Result<Answer, Answer> {
        let EpochStatement::Retire { appliance, below } = statement else {
            return Err(wrong_statement().into());
        };
        own_ledger(appliance, believed)?;
        let term = self.term(believed)?;
        let Identity { entry, signer, .. } = &self.identity;
        self.custody
            .retire(appliance, term, below, &entry.name, signer)
    }

    /// The term of the boot that speaks, unless this peer as a witness knows a
    /// newer one. Before its first term is open, an appliance speaks as term 0.
    fn term(&self, believed: &Believed) -> Result<u64, Refused> {
        let term = believed.binding.term.unwrap_or(0);
        let newest = self.cosigner.term(believed.appliance);
        if term < newest {
            return Err(Refused::forbidden(format!("superseded by term {newest}")));
        }
        Ok(term)
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::bad(format!("JSON: {error}")))
}

fn own_ledger(appliance: LedgerId, believed: &Believed) -> Result<(), Refused> {
    if appliance == believed.appliance {
        Ok(())
    } else {
        Err(Refused::forbidden(
            "the statement is about another appliance than the document",
        ))
    }
}

fn not_a_witness() -> Refused {
    Refused::forbidden("the manifest in force does not name this peer as a witness")
}

fn wrong_statement() -> Refused {
    Refused::bad("the statement is of another type than the call")
}
