//! Checkpoints that clients bring back.
//!
//! Protects against a rollback that everyone here would overlook: a bank's old
//! receipt is signed by a boot of this appliance, so if it shows what the
//! ledger of now does not hold, the ledger of now was rewound or forked, and
//! the enclave stops. Nobody without a boot's key can make such a note, so a
//! forged one stops nothing.

use std::sync::{Arc, Mutex};

use redoubt_attestation::binding::Binding;
use redoubt_attestation::ledger::checkpoint::{self, Checkpoint, NoteAlgorithms, NoteKey};
use redoubt_attestation::ledger::entry::Hash;
use redoubt_shared::LedgerId;

use super::boot::Appliance;
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{Caller, Problem};

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

impl Appliance {
    /// Checks a note that a tenant's client brought along. `Ok`: the ledger of
    /// now continues it. A contradiction halts the enclave.
    pub(super) async fn checkpoint(&self, caller: &Caller, note: String) -> Result<(), Problem> {
        let serving = self.serving()?;
        let ledger = serving.tenant(&caller.tenant)?.config.ledger;
        let keys = self.note_keys(&serving).await?;
        let head = signed_head(&note, &keys, ledger)?;
        let tenant = caller.tenant.clone();
        let root = serving.ledgers.root_at(Some(tenant), head.size);
        let root = root.await.map_err(|error| commit(error, 0))?;
        if continues(root, &head) {
            return Ok(());
        }
        self.halt(
            &"a client's checkpoint, signed by a boot of this appliance, is not of this history: \
              the ledger was rewound or forked",
        );
        Err(Problem::not_serving().because("halted"))
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
    let opened = checkpoint::open(note, keys, NoteAlgorithms::NATIVE);
    let head = opened
        .map_err(|_| Problem::checkpoint_refused())?
        .checkpoint;
    if head.ledger == ledger {
        Ok(head)
    } else {
        Err(Problem::checkpoint_refused().detail("The checkpoint is of another ledger."))
    }
}

/// Whether a ledger with this root at the head's size continues it. Without a
/// root the ledger is shorter.
fn continues(root: Option<Hash>, head: &Checkpoint) -> bool {
    root == Some(head.root)
}

#[cfg(test)]
mod tests {
    use redoubt_attestation::binding::{BindingType, Purpose};
    use redoubt_attestation::encode::Digest32;
    use redoubt_attestation::entropy::{Entropy, EntropyError};
    use redoubt_attestation::ledger::merkle::Tree;
    use redoubt_attestation::sign::{Ed25519Signer, HybridSigner};

    use super::*;
    use crate::keys::BootKeySet;

    const LEDGER: LedgerId = LedgerId::from_bytes([7; 16]);

    /// Every draw differs from the one before; nothing here is secret.
    struct Counting(std::cell::Cell<u8>);

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            self.0.set(self.0.get() + 1);
            out.fill(self.0.get());
            Ok(())
        }
    }

    struct Boot {
        ed25519: Ed25519Signer,
        hybrid: HybridSigner,
    }

    impl Boot {
        fn new(seed: u8) -> Self {
            let entropy = Counting(std::cell::Cell::new(seed));
            Self {
                ed25519: Ed25519Signer::generate(&entropy).unwrap(),
                hybrid: HybridSigner::generate(&entropy).unwrap(),
            }
        }

        fn key(&self) -> NoteKey {
            NoteKey {
                ed25519: *self.ed25519.jwk().as_bytes(),
                mldsa65: self.hybrid.jwks().1.as_bytes().to_vec(),
            }
        }

        fn sign(&self, head: &Checkpoint) -> String {
            let body = head.body();
            let signature = self.ed25519.sign(body.as_bytes()).unwrap();
            let long = self.hybrid.sign_ml_dsa_65(body.as_bytes()).unwrap();
            head.note(&[
                head.ed25519_line(self.ed25519.jwk().as_bytes(), &signature),
                head.mldsa65_line(self.hybrid.jwks().1.as_bytes(), &long),
            ])
        }
    }

    fn preimage(boot: &BootKeySet, term: u64) -> Vec<u8> {
        let binding = Binding {
            kind: BindingType::V1,
            purpose: Purpose::Serve,
            genesis: Digest32([1; 32]),
            genesis_counter: 1,
            ledgers: vec![],
            config: Digest32([2; 32]),
            policy: Digest32([3; 32]),
            models: Digest32([4; 32]),
            boot_keys: boot.public(),
            ca_spki_sha256: None,
            head: None,
            term: Some(term),
        };
        binding.to_preimage()
    }

    fn tree(leaves: &[u8]) -> Tree {
        let mut tree = Tree::new();
        leaves.iter().for_each(|leaf| tree.push([*leaf; 32]));
        tree
    }

    fn head(tree: &Tree, ledger: LedgerId) -> Checkpoint {
        Checkpoint {
            ledger,
            size: tree.size(),
            root: tree.root(),
        }
    }

    #[test]
    fn a_note_of_any_boot_of_ours_counts_while_the_ledger_continues_it() {
        let (first, second) = (Boot::new(1), Boot::new(100));
        let keys = [first.key(), second.key()];
        let now = tree(&[1, 2, 3, 4, 5]);
        for (boot, leaves) in [
            (&first, &[1, 2][..]),
            (&second, &[1, 2, 3, 4, 5]),
            (&second, &[]),
        ] {
            let note = boot.sign(&head(&tree(leaves), LEDGER));
            let shown = signed_head(&note, &keys, LEDGER).unwrap();
            assert!(continues(now.root_at(shown.size), &shown));
        }
    }

    #[test]
    fn a_signed_head_beyond_or_beside_the_ledger_is_a_contradiction() {
        let boot = Boot::new(1);
        let now = tree(&[1, 2, 3]);
        for other in [&[1, 2, 3, 4][..], &[1, 9], &[1, 2, 9]] {
            let note = boot.sign(&head(&tree(other), LEDGER));
            let shown = signed_head(&note, &[boot.key()], LEDGER).unwrap();
            assert!(!continues(now.root_at(shown.size), &shown), "{other:?}");
        }
    }

    #[test]
    fn nobody_without_a_boots_key_gets_as_far_as_a_comparison() {
        let (ours, stranger) = (Boot::new(1), Boot::new(100));
        let beyond = head(&tree(&[1, 2, 3, 4]), LEDGER);
        let good = ours.sign(&beyond);
        let keys = [ours.key()];
        let refused = |note: &str| match signed_head(note, &keys, LEDGER) {
            Err(problem) => assert_eq!(problem.code(), "checkpoint_refused"),
            Ok(_) => panic!("taken: {note}"),
        };
        assert!(signed_head(&good, &keys, LEDGER).is_ok());
        refused(&stranger.sign(&beyond));
        refused("");
        refused(&good.replace("\n4\n", "\n5\n"));
        refused(&beyond.note(&[]));
        // The stranger's signature under the name and key id of ours.
        let forged = stranger.ed25519.sign(beyond.body().as_bytes()).unwrap();
        let line = beyond.ed25519_line(ours.ed25519.jwk().as_bytes(), &forged);
        refused(&beyond.note(&[line]));
        // Genuine, but of another ledger of this appliance.
        refused(&ours.sign(&head(&tree(&[1]), LedgerId::from_bytes([8; 16]))));
        // Every single byte of a genuine note counts.
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(text) = String::from_utf8(bytes)
                && let Ok(shown) = signed_head(&text, &keys, LEDGER)
            {
                // Only the lines' own padding bits may be left: the head is the same.
                assert_eq!(shown, beyond, "{at}");
            }
        }
    }

    #[test]
    fn keys_are_learned_once_and_in_the_order_of_terms() {
        let keys = NoteKeys::default();
        assert!(keys.known().is_empty());
        assert!(keys.learn(0, &[b"{}".to_vec()]).is_none());
        assert!(keys.known().is_empty(), "a bad preimage teaches nothing");
        let boots = [1, 100].map(|seed| {
            let entropy = Counting(std::cell::Cell::new(seed));
            BootKeySet::generate(&entropy).unwrap()
        });
        let [first, second] = [1, 2].map(|term| preimage(&boots[term - 1], term as u64));
        keys.learn(0, std::slice::from_ref(&first)).unwrap();
        // Two requests that looked at the same time learn the same term.
        keys.learn(0, &[first]).unwrap();
        let known = keys.learn(1, &[second]).unwrap();
        let expected = boots
            .each_ref()
            .map(|boot| *boot.checkpoint.jwk().as_bytes());
        let learned: Vec<_> = known.iter().map(|key| key.ed25519).collect();
        assert_eq!(learned, expected);
    }
}
