//! What an auditor pinned, and which manifest judges what.

use serde::Deserialize;

use super::Refusal;
use super::boots::KeptDocument;
use super::fresh::{Asked, FreshnessError, freshness};
use crate::appraise::{Appraisal, Appraised, appraise};
use crate::binding::{Binding, NonceInput, Purpose};
use crate::encode::Digest32;
use crate::genesis::{ClientPolicy, VerifiedGenesis};

/// What an auditor pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The pinned manifest.
    pub genesis: VerifiedGenesis,
    /// Those before it, the last one first: what was claimed under them, and is in the
    /// ledger of the pinned one, is judged by them.
    pub before: Vec<VerifiedGenesis>,
    /// Manifests with a lower counter are superseded.
    pub minimum_counter: u64,
    /// Whether debug mode is accepted.
    pub allow_debug: bool,
}

impl Trust {
    /// From a client policy file.
    pub fn from_policy(bytes: &[u8]) -> Result<Self, Refusal> {
        let (policy, genesis) = ClientPolicy::verify(bytes)?;
        Ok(Self {
            before: policy.line(&genesis)?,
            genesis,
            minimum_counter: policy.minimum_counter,
            allow_debug: policy.allow_debug,
        })
    }

    /// The manifest before the pinned one that a preimage names.
    fn named_before(&self, preimage: &[u8]) -> Option<&VerifiedGenesis> {
        #[derive(Deserialize)]
        struct Named {
            genesis: Digest32,
        }
        let named: Named = serde_json::from_slice(preimage).ok()?;
        self.before.iter().find(|one| one.digest == named.genesis)
    }

    /// Whether a kept document names a manifest before the pinned one: no note of such a
    /// boot is believed.
    pub fn is_before(&self, kept: &KeptDocument) -> bool {
        self.named_before(&kept.preimage).is_some()
    }

    /// Appraises a kept document, made for no session, at any time, under the manifest
    /// of the line that it names.
    pub(super) fn appraise(
        &self,
        document: &[u8],
        preimage: &[u8],
    ) -> Result<Appraised, crate::appraise::Refusal> {
        let nonce = NonceInput::NoSession;
        match self.named_before(preimage) {
            None => self.appraise_as(document, preimage, nonce),
            Some(then) => {
                let counter = then.manifest.counter;
                appraise(document, preimage, &self.appraisal(then, counter, nonce))
            }
        }
    }

    fn appraisal<'a>(
        &self,
        genesis: &'a VerifiedGenesis,
        minimum_counter: u64,
        nonce: NonceInput<'a>,
    ) -> Appraisal<'a> {
        Appraisal {
            genesis,
            minimum_counter,
            purpose: Purpose::Serve,
            nonce,
            session_spki: None,
            models: None,
            now_ms: 0,
            // Kept documents are old by nature; their place in the ledger dates them.
            max_age_ms: None,
            allow_debug: self.allow_debug,
        }
    }

    /// What the manifest asks of freshness whose claim this document is behind; of the
    /// head, the pinned one asks for its witnesses.
    pub(super) fn asked(
        &self,
        then: &Binding,
        claimed: (&str, Option<u64>),
    ) -> Result<Asked, FreshnessError> {
        let mut line = std::iter::once(&self.genesis).chain(&self.before);
        let then = line.find(|one| one.digest == then.genesis);
        let then = then.unwrap_or(&self.genesis);
        let asked = freshness(&then.manifest, claimed)?;
        Ok(asked.of_head(&self.genesis.manifest))
    }

    /// A head counts only by a boot under the pinned manifest: officers who withdrew an
    /// image believe no head of it any more.
    pub(super) fn check_head(&self, index: usize, bindings: &[Binding]) -> Result<(), Refusal> {
        match bindings.get(index).map(|binding| binding.genesis) {
            Some(found) if found != self.genesis.digest => Err(Refusal::HeadBefore),
            _ => Ok(()),
        }
    }

    /// Appraises a document whose nonce was made from this, at any time.
    pub(super) fn appraise_as(
        &self,
        document: &[u8],
        preimage: &[u8],
        nonce: NonceInput<'_>,
    ) -> Result<Appraised, crate::appraise::Refusal> {
        let appraisal = self.appraisal(&self.genesis, self.minimum_counter, nonce);
        appraise(document, preimage, &appraisal)
    }
}
