//! A witness in memory that does what the real one does: one head, growth shown
//! by proof, the newest term only.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::merkle::{empty_root, verify_consistency};

use crate::ledger::{CosignError, Cosigner, Cosigning};

#[derive(Clone)]
pub(super) struct Seen {
    pub(super) term: u64,
    pub(super) head: (u64, Hash),
    pub(super) up: bool,
}

pub(super) struct Notary(pub(super) Mutex<Seen>);

impl Notary {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Seen {
            term: 0,
            head: (0, empty_root()),
            up: true,
        }))
    }

    /// Another with the same memory, not away.
    pub(super) fn copy(&self) -> Self {
        let mut seen = self.0.lock().unwrap().clone();
        seen.up = true;
        Self(Mutex::new(seen))
    }

    fn cosign(&self, term: u64, old: u64, proof: &[Hash], note: &str) -> Result<(), CosignError> {
        let mut seen = self.0.lock().unwrap();
        if !seen.up {
            return Err(CosignError::Passing("away".into()));
        }
        if term < seen.term {
            let text = format!("superseded by term {}", seen.term);
            return Err(CosignError::Refused(text));
        }
        seen.term = term;
        let mut lines = note.lines().skip(1);
        let size: u64 = lines.next().unwrap().parse().unwrap();
        let root = STANDARD.decode(lines.next().unwrap()).unwrap();
        let root: Hash = root.try_into().unwrap();
        let (known, known_root) = seen.head;
        if old != known || (size == known && root != known_root) {
            return Err(CosignError::Size(known));
        }
        if !verify_consistency(known, size, &known_root, &root, proof) {
            return Err(CosignError::Refused(
                "no growth of what was cosigned".into(),
            ));
        }
        seen.head = (size, root);
        Ok(())
    }
}

/// A notary as one term sees it.
pub(super) struct Seat {
    notary: Arc<Notary>,
    term: u64,
}

impl Seat {
    /// The term introduces itself with its first request, and learns then what
    /// was cosigned last.
    pub(super) fn take(notary: &Arc<Notary>, term: u64) -> Arc<dyn Cosigner> {
        let notary = notary.clone();
        Arc::new(Self { notary, term })
    }
}

impl Cosigner for Seat {
    fn name(&self) -> &str {
        "w"
    }

    fn cosign(&self, old: u64, proof: Vec<Hash>, note: String) -> Cosigning {
        let answer = self.notary.cosign(self.term, old, &proof, &note);
        Box::pin(async move { answer.map(|()| vec!["line\n".to_owned()]) })
    }
}
