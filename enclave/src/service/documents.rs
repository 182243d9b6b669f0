//! Attestation documents: what this boot is, bound to who asks.
//!
//! Protects against relayed evidence: the nonce mixes the asking session's own
//! TLS exporter, and each document has one purpose. The gateway limits how many are made.

use redoubt_attestation::attester::{AttestRequest, AttesterError};
use redoubt_attestation::binding::{
    Binding, BindingType, BoundLedger, Head, NonceInput, Purpose, user_data,
};
use redoubt_attestation::encode::{Digest32, sha256};

use super::boot::{Appliance, Counters};
use super::problems::{commit, internal};
use crate::api::{self, AttestationReply, AttestationRequest, Problem, TreeHead};

/// What only a serving enclave can bind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ServingFacts {
    pub(super) ca_spki_sha256: Option<Digest32>,
    pub(super) head: Option<Head>,
    pub(super) term: Option<u64>,
}

impl Appliance {
    /// A document for a purpose, with the preimage of its `user_data`.
    pub(super) fn document(
        &self,
        purpose: Purpose,
        facts: ServingFacts,
        nonce: NonceInput<'_>,
    ) -> Result<(Vec<u8>, Vec<u8>), AttesterError> {
        let config = &self.config.config;
        let appliance = BoundLedger {
            tenant: None,
            ledger: config.appliance_ledger,
        };
        let tenants = config.tenants.iter().map(|tenant| BoundLedger {
            tenant: Some(tenant.id.clone()),
            ledger: tenant.ledger,
        });
        let binding = Binding {
            kind: BindingType::V1,
            purpose,
            genesis: self.genesis.digest,
            genesis_counter: self.genesis.manifest.counter,
            ledgers: std::iter::once(appliance).chain(tenants).collect(),
            config: self.config.digest,
            policy: self.config.policy_digest,
            models: self.manifest.digest(),
            boot_keys: self.keys.public(),
            ca_spki_sha256: facts.ca_spki_sha256,
            head: facts.head,
            term: facts.term,
        };
        let preimage = binding.to_preimage();
        let document = self.attester.attest(&AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        })?;
        Counters::add(&self.counters.documents);
        Ok((document, preimage))
    }

    /// Answers `/.well-known/attestation`.
    pub(super) async fn answer_attestation(
        self: &std::sync::Arc<Self>,
        request: AttestationRequest,
    ) -> Result<AttestationReply, Problem> {
        if request.purpose == api::Purpose::Handover {
            self.awaiting()?;
        }
        let facts = self.serving_facts().await?;
        let appliance = std::sync::Arc::clone(self);
        let purpose = match request.purpose {
            api::Purpose::Serve => Purpose::Serve,
            api::Purpose::Unseal => Purpose::Unseal,
            api::Purpose::Handover => Purpose::Handover,
        };
        let made = tokio::task::spawn_blocking(move || {
            let nonce = NonceInput::Session {
                client_nonce: &request.nonce,
                exporter: &request.exporter,
            };
            appliance.document(purpose, facts, nonce)
        });
        let (document, preimage) = made
            .await
            .map_err(|_| internal("the attester task failed"))?
            .map_err(|_| internal("the attester made no document"))?;
        if purpose == Purpose::Unseal {
            self.remember_unseal(sha256(&[&document]))?;
        }
        self.attestation_reply(document, preimage, facts.head)
    }

    /// Only before unsealing, and only so many.
    fn remember_unseal(&self, digest: Digest32) -> Result<(), Problem> {
        const MOST: usize = 10_000;
        let awaited = match self.serving() {
            Ok(serving) => serving.epochs.awaits_shares(),
            Err(_) => self.current_phase() == redoubt_shared::supervise::Phase::AwaitingUnseal,
        };
        if !awaited {
            return Err(Problem::not_serving());
        }
        let mut issued = self
            .unseal_documents
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if issued.len() >= MOST {
            issued.clear();
        }
        issued.insert(digest);
        Ok(())
    }

    async fn serving_facts(&self) -> Result<ServingFacts, Problem> {
        let Ok(serving) = self.serving() else {
            return Ok(ServingFacts::default());
        };
        let head = serving
            .ledgers
            .look(|core| (core.appliance_book.size(), core.appliance_book.root()))
            .await
            .map_err(|error| commit(error, 0))?;
        Ok(ServingFacts {
            ca_spki_sha256: Some(serving.ca.spki_sha256()),
            head: Some(Head {
                size: head.0,
                root: Digest32(head.1),
            }),
            term: Some(serving.term),
        })
    }

    fn attestation_reply(
        &self,
        document: Vec<u8>,
        preimage: Vec<u8>,
        head: Option<Head>,
    ) -> Result<AttestationReply, Problem> {
        let json = |file: &redoubt_attestation::genesis::SignedFile| {
            serde_json::to_value(file).map_err(|_| internal("a signed file does not serialise"))
        };
        Ok(AttestationReply {
            document: document.into(),
            preimage: preimage.into(),
            mode: "session",
            phase: self.current_phase(),
            genesis: json(&self.genesis.envelope)?,
            config: json(&self.config.envelope)?,
            ca_certificate: self
                .serving()
                .ok()
                .map(|serving| serving.ca.certificate_pem()),
            head: head.map(|head| TreeHead {
                size: head.size,
                root: head.root.to_string(),
            }),
        })
    }
}
