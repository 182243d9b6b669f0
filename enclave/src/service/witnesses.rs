//! Witnesses of this boot: introduced with evidence of this term, asked by the
//! committer.
//!
//! Protects against a second copy: before anything is served, a quorum must
//! cosign the head that was replayed, with this term's beginning, under this
//! boot's key. From then on no quorum is left for the term before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_attestation::attester::AttesterError;
use redoubt_attestation::binding::{NonceInput, Purpose};
use redoubt_attestation::genesis::{SignedFile, WitnessMode};
use redoubt_attestation::ledger::entry::Hash;

use super::boot::Appliance;
use super::documents::ServingFacts;
use crate::ledger::{CosignError, Cosigner, Cosigning, Freshness, Witnessing};
use crate::peers::{PeerError, TermEvidence, Witness};

/// One witness, with what introduces this term to it.
struct Introducing {
    witness: Arc<Witness>,
    appliance: Weak<Appliance>,
    facts: ServingFacts,
    introduced: Arc<AtomicBool>,
}

impl Appliance {
    /// What the manifest asks of witnesses.
    fn freshness(&self) -> Option<Freshness> {
        let policy = self.genesis.manifest.witness_policy?;
        Some(Freshness {
            strict: policy.mode == WitnessMode::Strict,
            quorum: usize::from(policy.k),
            lease: Duration::from_millis(policy.lease_ms),
        })
    }

    /// Every witness of the manifest, none of them asked yet.
    pub(super) fn witnessing(self: &Arc<Self>, facts: ServingFacts) -> Witnessing {
        let Some(freshness) = self.freshness() else {
            return Witnessing::none();
        };
        let member = |witness: Arc<Witness>| {
            let introducing = Introducing {
                witness,
                appliance: Arc::downgrade(self),
                facts,
                introduced: Arc::default(),
            };
            Arc::new(introducing) as Arc<dyn Cosigner>
        };
        let members = self.peers.witnesses().into_iter().map(member);
        Witnessing::new(freshness, members.collect())
    }

    /// The manifest of this boot, if peers may still pin the one before it.
    pub(super) fn successors(&self) -> Vec<SignedFile> {
        let succeeds = self.genesis.manifest.previous.is_some();
        let manifest = succeeds.then(|| self.genesis.envelope.clone());
        manifest.into_iter().collect()
    }

    /// Fresh evidence of this term.
    fn term_evidence(&self, facts: ServingFacts) -> Result<TermEvidence, AttesterError> {
        let (document, preimage) = self.document(Purpose::Serve, facts, NonceInput::NoSession)?;
        let restores = self.config.config.restore.is_some();
        let config = restores.then(|| self.config.envelope.clone());
        Ok(TermEvidence {
            document,
            preimage,
            genesis: self.successors(),
            config,
        })
    }
}

impl Cosigner for Introducing {
    fn name(&self) -> &str {
        self.witness.name()
    }

    fn cosign(&self, old: u64, proof: Vec<Hash>, note: String) -> Cosigning {
        let (witness, appliance, facts) =
            (self.witness.clone(), self.appliance.clone(), self.facts);
        let introduced = self.introduced.clone();
        Box::pin(async move {
            if !introduced.load(Ordering::Relaxed) {
                let passing = |why: &dyn std::fmt::Display| CosignError::Passing(why.to_string());
                let made = tokio::task::spawn_blocking(move || {
                    Some(appliance.upgrade()?.term_evidence(facts))
                });
                let evidence = made
                    .await
                    .map_err(|error| passing(&error))?
                    .ok_or_else(|| passing(&"the enclave is going away"))?
                    .map_err(|error| passing(&error))?;
                let reply = witness.introduce(&evidence).await.map_err(meaning)?;
                introduced.store(true, Ordering::Relaxed);
                if !reply.wait.is_zero() {
                    return Err(CosignError::Wait(reply.wait));
                }
                let size = reply.head.map_or(0, |head| head.size);
                if size != old {
                    return Err(CosignError::Size(size));
                }
            }
            let cosigned = witness.cosign(old, &proof, &note).await;
            if let Err(PeerError::Refused { status: 404, .. }) = &cosigned {
                // It lost its state, or has a fresh one: it must hear of this term first.
                introduced.store(false, Ordering::Relaxed);
            }
            cosigned.map_err(meaning)
        })
    }
}

/// Which failures pass and which do not: 403 is a later term, 409 without a size
/// another history, 422 a history that does not continue the one it knows.
fn meaning(error: PeerError) -> CosignError {
    match error {
        PeerError::Conflict { size } => CosignError::Size(size),
        PeerError::Wait(wait) => CosignError::Wait(wait),
        PeerError::Refused {
            status: 403 | 409 | 422,
            text,
            ..
        } => CosignError::Refused(text.trim().to_owned()),
        other => CosignError::Passing(other.to_string()),
    }
}
