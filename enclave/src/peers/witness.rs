//! One witness: introduce a term, have heads cosigned.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use redoubt_attestation::binding::Head;
use redoubt_attestation::genesis::{LEASE_MS, PeerEntry};
use redoubt_attestation::ledger::Hash;
use redoubt_attestation::ledger::checkpoint::{Checkpoint, NoteAlgorithms, read_unverified};
use redoubt_attestation::ledger::cosignature::verify_line;
use redoubt_attestation::ledger::witness_wire::{
    ANSWER_MAX, AddCheckpoint, SIZE_CONTENT_TYPE, parse_lines, parse_size,
};
use redoubt_attestation::peers::{self, TermReply, TermRequest};

use super::link::{Ask, Link, Reply};
use super::{PeerError, TermEvidence};

/// What a witness knows of this appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduced {
    /// The head it cosigned last, by its word.
    pub head: Option<Head>,
    /// How long until it cosigns for this term.
    pub wait: Duration,
}

/// A witness of the genesis manifest.
pub struct Witness {
    link: Link,
    entry: PeerEntry,
}

impl Witness {
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

    /// Introduces the boot key of this term. From then on the witness cosigns
    /// for no older term. Asking again with the same evidence is harmless.
    pub async fn introduce(&self, evidence: &TermEvidence) -> Result<Introduced, PeerError> {
        let request = TermRequest {
            document: evidence.document.clone(),
            preimage: evidence.preimage.clone(),
            genesis: evidence.genesis.clone(),
            config: evidence.config.clone(),
        };
        let TermReply { head, wait_ms } = self.link.call(peers::TERMS, &request).await?;
        let wait = Duration::from_millis(wait_ms.min(*LEASE_MS.end()));
        Ok(Introduced { head, wait })
    }

    /// Has a head cosigned: `note` is a checkpoint signed by the introduced boot
    /// key, `proof` its consistency with the head of size `old_size` that the
    /// witness cosigned last. Returns the cosignature lines that verified under
    /// this witness's key, at least one, each with its newline. If the witness
    /// knows this very head already, since its answer got lost, it is asked for
    /// a cosignature again; a conflict is another size.
    pub async fn cosign(
        &self,
        old_size: u64,
        proof: &[Hash],
        note: &str,
    ) -> Result<Vec<String>, PeerError> {
        let checkpoint = read_unverified(note).map_err(|e| self.link.malformed(e))?;
        match self
            .add_checkpoint(old_size, proof, note, &checkpoint)
            .await
        {
            Err(PeerError::Conflict { size }) if size == checkpoint.size && size != old_size => {
                self.add_checkpoint(size, &[], note, &checkpoint).await
            }
            answer => answer,
        }
    }

    async fn add_checkpoint(
        &self,
        old_size: u64,
        proof: &[Hash],
        note: &str,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<String>, PeerError> {
        let request = AddCheckpoint {
            old_size,
            proof: proof.to_vec(),
            note: note.to_owned(),
        };
        let text = request.to_text();
        let ask = Ask {
            path: peers::ADD_CHECKPOINT,
            content_type: "text/plain; charset=utf-8",
            body: text.as_bytes(),
            answer_max: ANSWER_MAX,
        };
        let reply = self.link.ask(&ask).await?;
        match reply.status {
            StatusCode::OK => self.verified(&reply, checkpoint),
            StatusCode::CONFLICT if is_size(&reply) => match parse_size(&reply.body) {
                Ok(size) => Err(PeerError::Conflict { size }),
                Err(error) => Err(self.link.malformed(error)),
            },
            _ => Err(self.link.refusal(&reply)),
        }
    }

    fn verified(&self, reply: &Reply, checkpoint: &Checkpoint) -> Result<Vec<String>, PeerError> {
        let mut verified = Vec::new();
        for line in parse_lines(&reply.body).map_err(|e| self.link.malformed(e))? {
            let by_it = verify_line(&line, checkpoint, &self.entry, NoteAlgorithms::NATIVE)
                .map_err(|e| self.link.malformed(e))?;
            if by_it.is_some() {
                verified.push(line);
            }
        }
        if verified.is_empty() {
            return Err(self.link.malformed("no cosignature by its key"));
        }
        Ok(verified)
    }
}

fn is_size(reply: &Reply) -> bool {
    reply
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == SIZE_CONTENT_TYPE)
}
