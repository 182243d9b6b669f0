//! Checkpoints that clients bring back.
//!
//! Protects against a rollback that everyone here would overlook: a bank's old
//! receipt is signed by a boot of this appliance, so if it shows what the
//! ledger of now does not hold, the ledger of now was rewound or forked, and
//! the enclave stops. Nobody without a boot's key can make such a note, so a
//! forged one stops nothing.

use std::sync::{Arc, Mutex};

use redoubt_attestation::binding::Binding;
use redoubt_attestation::jwk::{AkpMlDsa65Jwk, OkpEd25519Jwk};
use redoubt_attestation::ledger::checkpoint::{self, Checkpoint, NoteAlgorithms, NoteKey};
use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::merkle::Tree;
use redoubt_attestation::sign::native;
use redoubt_shared::LedgerId;

use super::boot::Appliance;
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{Caller, Problem};

const ALGORITHMS: NoteAlgorithms = NoteAlgorithms {
    ed25519: |key, message, signature| {
        let key = <[u8; 32]>::try_from(key)
            .ok()
            .map(OkpEd25519Jwk::from_bytes);
        key.is_some_and(|key| native::verify_ed25519(&key, message, signature).is_ok())
    },
    mldsa65: |key, message, signature| {
        let key = AkpMlDsa65Jwk::from_bytes(key);
        key.is_some_and(|key| native::verify_ml_dsa_65(&key, message, signature).is_ok())
    },
};

/// The keys under which every boot of this appliance signed its notes, read
/// once from the terms of the ledger.
#[derive(Default)]
pub(super) struct NoteKeys(Mutex<Arc<Vec<NoteKey>>>);

impl NoteKeys {
    fn known(&self) -> Arc<Vec<NoteKey>> {
        Arc::clone(
            &self
                .0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }

    /// Adds the keys of the terms after the first `from`.
    fn learn(&self, from: usize, preimages: &[Vec<u8>]) -> Option<Arc<Vec<NoteKey>>> {
        let more: Option<Vec<NoteKey>> = preimages.iter().map(|bytes| note_key(bytes)).collect();
        let mut known = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if known.len() == from {
            Arc::make_mut(&mut known).extend(more?);
        }
        Some(Arc::clone(&known))
    }
}

fn note_key(preimage: &[u8]) -> Option<NoteKey> {
    let keys = Binding::parse(preimage).ok()?.boot_keys;
    Some(NoteKey {
        ed25519: *keys.checkpoint_ed25519.as_bytes(),
        mldsa65: keys.receipt_mldsa65.as_bytes().to_vec(),
    })
}

/// How a signed head of this ledger relates to the ledger of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// The ledger of now continues it.
    Continued,
    /// The ledger of now is shorter, or another.
    Contradicted,
}

impl Appliance {
    /// Checks a note that a tenant's client brought along. `Ok`: the ledger of
    /// now continues it. A contradiction halts the enclave.
    pub(super) async fn checkpoint(&self, caller: &Caller, note: String) -> Result<(), Problem> {
        let serving = self.serving()?;
        let ledger = serving.tenant(&caller.tenant)?.config.ledger;
        let keys = self.note_keys(&serving).await?;
        let head = signed_head(&note, &keys, ledger)?;
        let tenant = caller.tenant.clone();
        let looked = serving.ledgers.look(move |core| {
            let book = &core.tenants.get(&tenant)?.book;
            Some(relation(book.tree(), &head))
        });
        let relation = looked.await.map_err(|error| commit(error, 0))?;
        match relation.ok_or_else(|| internal("a caller of a tenant without a ledger"))? {
            Relation::Continued => Ok(()),
            Relation::Contradicted => {
                self.halt(
                    &"a client's checkpoint, signed by a boot of this appliance, is not of this \
                      history: the ledger was rewound or forked",
                );
                Err(Problem::not_serving().because("halted"))
            }
        }
    }

    async fn note_keys(&self, serving: &Serving) -> Result<Arc<Vec<NoteKey>>, Problem> {
        let known = serving.note_keys.known();
        let from = known.len();
        let looked = serving.ledgers.look(move |core| {
            let terms = core.appliance.terms.iter().skip(from);
            terms.map(|term| term.preimage.clone()).collect::<Vec<_>>()
        });
        let preimages = looked.await.map_err(|error| commit(error, 0))?;
        if preimages.is_empty() {
            return Ok(known);
        }
        let keys = serving.note_keys.learn(from, &preimages);
        keys.ok_or_else(|| internal("a term's own preimage does not parse"))
    }
}

/// The head that a note of `ledger` shows, if a boot of ours signed it.
fn signed_head(note: &str, keys: &[NoteKey], ledger: LedgerId) -> Result<Checkpoint, Problem> {
    let opened = checkpoint::open(note, keys, ALGORITHMS);
    let head = opened
        .map_err(|_| Problem::checkpoint_refused())?
        .checkpoint;
    if head.ledger == ledger {
        Ok(head)
    } else {
        Err(Problem::checkpoint_refused().detail("The checkpoint is of another ledger."))
    }
}

fn relation(now: &Tree, head: &Checkpoint) -> Relation {
    let root: Option<Hash> = now.root_at(head.size);
    if root == Some(head.root) {
        Relation::Continued
    } else {
        Relation::Contradicted
    }
}
