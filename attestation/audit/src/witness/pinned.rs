//! The manifest this peer goes by, and what it believes of a document.
//!
//! Protects against evidence of another appliance, and against manifests that
//! went out of force: a successor is taken over only if the officers before it
//! signed it, durably, and there is no way back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use redoubt_attestation::appraise::{Appraisal, appraise};
use redoubt_attestation::binding::{Binding, NonceInput, Purpose};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, PeerEntry, SignedFile, VerifiedGenesis};
use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};

use super::answer::Refused;
use super::files;

const FILE: &str = "genesis.json";

#[derive(Serialize, Deserialize)]
enum PinnedType {
    #[serde(rename = "redoubt/pinned-genesis/v1")]
    V1,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedFile {
    #[serde(rename = "type")]
    kind: PinnedType,
    genesis: SignedFile,
    /// Digests of the manifests before it.
    past: Vec<Digest32>,
    allow_debug: bool,
}

/// The manifest in force.
#[derive(Clone)]
pub(super) struct Pinned {
    pub(super) genesis: VerifiedGenesis,
    past: Vec<Digest32>,
    allow_debug: bool,
}

/// The manifest in force, on disk and in memory.
pub(super) struct Pin {
    path: PathBuf,
    current: Mutex<Arc<Pinned>>,
}

/// Evidence as received.
pub(super) struct Evidence<'a> {
    pub(super) document: &'a [u8],
    pub(super) preimage: &'a [u8],
    pub(super) genesis: &'a [SignedFile],
}

/// What good evidence says.
pub(super) struct Believed {
    pub(super) pinned: Arc<Pinned>,
    pub(super) binding: Box<Binding>,
    pub(super) document: Digest32,
    /// The appliance's own ledger.
    pub(super) appliance: LedgerId,
}

impl Pin {
    /// What an earlier run pinned, or what the policy pins now.
    pub(super) fn open(dir: &Path, policy: Option<&[u8]>, own: &PeerEntry) -> Result<Self> {
        let path = dir.join(FILE);
        let stored = files::read(&path)
            .with_context(|| path.display().to_string())?
            .map(|bytes| read(&bytes).with_context(|| path.display().to_string()))
            .transpose()?;
        let named = policy
            .map(ClientPolicy::verify)
            .transpose()
            .context("--policy")?;
        let pinned = match (stored, named) {
            (Some(stored), None) => stored,
            (Some(stored), Some((_, genesis))) if stored.knows(&genesis.digest) => stored,
            (Some(stored), Some((_, genesis))) => stored
                .follow(&[genesis.envelope])
                .context("--policy pins neither the manifest in force nor its successor")?,
            (None, Some((policy, genesis))) => Pinned {
                genesis,
                past: Vec::new(),
                allow_debug: policy.allow_debug,
            },
            (None, None) => anyhow::bail!("no manifest is pinned yet: give --policy FILE"),
        };
        let manifest = &pinned.genesis.manifest;
        // A peer that a successor left out still releases and deletes what it keeps.
        ensure!(
            manifest.peer(&own.name) == Some(own) || !pinned.past.is_empty(),
            "the genesis manifest of {:?} does not name this peer with these keys; put the entry that --init printed into it",
            manifest.name
        );
        files::replace(&path, &pinned.to_json()?)?;
        Ok(Self {
            path,
            current: Mutex::new(Arc::new(pinned)),
        })
    }

    /// The manifest in force.
    pub(super) fn current(&self) -> Arc<Pinned> {
        let current = self.current.lock();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Appraises evidence under the manifest in force, or under a successor that
    /// comes with it, which is in force from then on.
    pub(super) fn believe(
        &self,
        evidence: &Evidence<'_>,
        purpose: Purpose,
        now_ms: u64,
    ) -> Result<Believed, Refused> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let next = current
            .follow(evidence.genesis)
            .map_err(|error| Refused::forbidden(format!("{error:#}")))?;
        let moved = next.genesis.digest != current.genesis.digest;
        let next = if moved {
            Arc::new(next)
        } else {
            Arc::clone(&current)
        };
        if !moved {
            // Appraisal is slow; others need not wait for it.
            drop(current);
            return next.appraise(evidence, purpose, now_ms);
        }
        let believed = next.appraise(evidence, purpose, now_ms)?;
        let json = next
            .to_json()
            .map_err(|error| Refused::failed(error.to_string()))?;
        files::replace(&self.path, &json).map_err(Refused::disk)?;
        *current = next;
        Ok(believed)
    }
}

impl Pinned {
    fn knows(&self, digest: &Digest32) -> bool {
        self.genesis.digest == *digest || self.past.contains(digest)
    }

    /// Goes along a chain of successors; what is known already is passed over.
    fn follow(&self, chain: &[SignedFile]) -> Result<Self> {
        let mut next = self.clone();
        for file in chain {
            let digest = file.digest()?;
            if !next.knows(&digest) {
                let genesis = next.genesis.successor(&file.to_json())?;
                next.past.push(next.genesis.digest);
                next.genesis = genesis;
            }
        }
        Ok(next)
    }

    /// No limit of age: a witness that was away is told about terms that are
    /// old. What is newest is decided by the term, not by the clock.
    fn appraise(
        self: &Arc<Self>,
        evidence: &Evidence<'_>,
        purpose: Purpose,
        now_ms: u64,
    ) -> Result<Believed, Refused> {
        let appraisal = Appraisal {
            genesis: &self.genesis,
            minimum_counter: self.genesis.manifest.counter,
            purpose,
            nonce: NonceInput::NoSession,
            session_spki: None,
            models: None,
            now_ms,
            max_age_ms: None,
            allow_debug: self.allow_debug,
        };
        let appraised = appraise(evidence.document, evidence.preimage, &appraisal)
            .map_err(|refusal| Refused::forbidden(format!("evidence: {refusal}")))?;
        let binding = appraised
            .enclave()
            .ok_or_else(|| Refused::forbidden("evidence: not of an enclave"))?;
        let appliance = binding.appliance_ledger().ok_or_else(|| {
            Refused::forbidden(
                "evidence: the preimage must name exactly one ledger without a tenant",
            )
        })?;
        Ok(Believed {
            pinned: Arc::clone(self),
            document: appraised.document_sha256,
            appliance,
            binding: Box::new(binding.clone()),
        })
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&PinnedFile {
            kind: PinnedType::V1,
            genesis: self.genesis.envelope.clone(),
            past: self.past.clone(),
            allow_debug: self.allow_debug,
        })?)
    }
}

fn read(bytes: &[u8]) -> Result<Pinned> {
    let PinnedFile {
        kind: PinnedType::V1,
        genesis,
        past,
        allow_debug,
    } = serde_json::from_slice(bytes)?;
    Ok(Pinned {
        genesis: Genesis::verify(&genesis.to_json())?,
        past,
        allow_debug,
    })
}
