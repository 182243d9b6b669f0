//! Boots of an appliance, known by documents that somebody kept.
//!
//! Protects whoever reads old notes: a key counts only through a genuine
//! document of the pinned appliance, made for a ledger entry or for a session
//! whose nonce and exporter were kept beside it.

use serde::{Deserialize, Serialize};

use super::Trust;
use crate::appraise::{Appraised, Refusal};
use crate::binding::{Binding, EXPORTER_BYTES, NonceInput};
use crate::encode::{Digest32, b64u_bytes};
use crate::ledger::NoteKey;
use crate::ledger::checkpoint::{self, NoteError, VerifiedNote};
use crate::ledger::receipt::Evidence;

/// A document as receipts (`evidence`) and trust folders (`evidence.json`) keep
/// it; other members are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDocument {
    /// COSE bytes.
    #[serde(with = "b64u_bytes")]
    pub document: Vec<u8>,
    /// JSON bytes whose SHA-384 is its `user_data`.
    #[serde(with = "b64u_bytes")]
    pub preimage: Vec<u8>,
    /// The nonce a client asked with; absent in documents of ledger entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_nonce: Option<String>,
    /// The exporter of that client's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter: Option<String>,
}

/// One boot of the pinned appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// SHA-256 of the document.
    pub document: Digest32,
    /// What it binds.
    pub binding: Binding,
}

impl TryFrom<&Evidence> for KeptDocument {
    type Error = crate::encode::EncodingError;
    fn try_from(evidence: &Evidence) -> Result<Self, Self::Error> {
        Ok(Self {
            document: crate::encode::from_b64u(&evidence.document)?,
            preimage: crate::encode::from_b64u(&evidence.preimage)?,
            client_nonce: None,
            exporter: None,
        })
    }
}

impl Trust {
    /// Appraises a kept serve document.
    pub fn boot(&self, kept: &KeptDocument) -> Result<Boot, Refusal> {
        let bytes = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            crate::encode::from_b64u(text).map_err(|_| Refusal::Nonce)
        };
        let (nonce, exporter) = (bytes(&kept.client_nonce)?, bytes(&kept.exporter)?);
        let exporter: Result<[u8; EXPORTER_BYTES], _> = exporter.try_into();
        let input = match (&kept.client_nonce, &exporter) {
            (None, _) => NonceInput::NoSession,
            (Some(_), Ok(exporter)) => NonceInput::Session {
                client_nonce: &nonce,
                exporter,
            },
            (Some(_), Err(_)) => return Err(Refusal::Nonce),
        };
        let appraised: Appraised = self.appraise_as(&kept.document, &kept.preimage, input)?;
        let document = appraised.document_sha256;
        // A serve document is an enclave's; the appraisal has seen to that.
        let binding = appraised.enclave().cloned().ok_or(Refusal::PublicKey)?;
        Ok(Boot { document, binding })
    }
}

impl Boot {
    /// The keys its notes verify under.
    pub fn note_key(&self) -> NoteKey {
        let keys = &self.binding.boot_keys;
        NoteKey {
            ed25519: *keys.checkpoint_ed25519.as_bytes(),
            mldsa65: keys.receipt_mldsa65.as_bytes().to_vec(),
        }
    }

    /// Opens a note of a ledger that this boot's document binds.
    pub fn open(&self, note: &str) -> Result<VerifiedNote, NoteError> {
        let key = [self.note_key()];
        let opened = checkpoint::open(note, &key, super::evidence::NOTE_ALGORITHMS)?;
        let ledger = opened.checkpoint.ledger;
        let mut bound = self.binding.ledgers.iter();
        match bound.any(|bound| bound.ledger == ledger) {
            true => Ok(opened),
            false => Err(NoteError::Unsigned),
        }
    }
}
