//! The order by which officers let a running enclave give its secret to exactly
//! one other: what they sign, and every reason why the giver does not obey.
//!
//! Protects the secret against an enclave of an allowed image that nobody named,
//! and against orders of yesterday: the order names giver, term, recipient and
//! end, and is good once. The recipient's evidence is inside, so that each officer
//! and the giver judge the same bytes.

mod halt;
mod refusal;
#[cfg(test)]
mod tests;

use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};

pub use halt::{HaltOrder, HaltOrderType};
pub use refusal::OrderRefusal;

use crate::appraise::{Appraisal, appraise};
use crate::binding::{Binding, BootKeys, EXPORTER_BYTES, NonceInput, Purpose};
use crate::encode::{Digest32, as_text, b64u_array, b64u_bytes, sha256};
use crate::genesis::{SignedFile, SignedFileError, VerifiedGenesis};

/// How old the recipient's evidence may be, and how long an order can be good, in
/// milliseconds: a day, in which k officers can be reached.
pub const ORDER_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// Marks the only format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandoverOrderType {
    /// `redoubt/handover-order/v1`
    #[serde(rename = "redoubt/handover-order/v1")]
    V1,
}

/// The recipient's document of purpose `handover`, as an officer's tool got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientEvidence {
    /// Attestation document.
    #[serde(with = "b64u_bytes")]
    pub document: Vec<u8>,
    /// What its `user_data` hashes.
    #[serde(with = "b64u_bytes")]
    pub preimage: Vec<u8>,
    /// What the nonce is made from: the bytes of the one who asked.
    #[serde(with = "b64u_bytes")]
    pub client_nonce: Vec<u8>,
    /// What the nonce is made from: the exporter of that session.
    #[serde(with = "b64u_array")]
    pub exporter: [u8; EXPORTER_BYTES],
}

impl RecipientEvidence {
    /// What it must show: to officers before they sign, and to the giver.
    pub fn appraisal<'a>(&'a self, genesis: &'a VerifiedGenesis, now_ms: u64) -> Appraisal<'a> {
        Appraisal {
            genesis,
            minimum_counter: genesis.manifest.counter,
            purpose: Purpose::Handover,
            nonce: NonceInput::Session {
                client_nonce: &self.client_nonce,
                exporter: &self.exporter,
            },
            session_spki: None,
            // Another image may bring other models.
            models: None,
            now_ms,
            max_age_ms: Some(ORDER_MAX_MS),
            allow_debug: false,
        }
    }
}

/// The payload that officers sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoverOrder {
    /// Always [`HandoverOrderType::V1`].
    #[serde(rename = "type")]
    pub kind: HandoverOrderType,
    /// 32 random bytes that name this order.
    pub order: Digest32,
    /// The appliance's own ledger.
    #[serde(with = "as_text")]
    pub appliance: LedgerId,
    /// Digest of the manifest in force at the giver, under which the recipient booted.
    pub genesis: Digest32,
    /// Its counter.
    pub counter: u64,
    /// Digest of the configuration the recipient booted with.
    pub config: Digest32,
    /// Boot key of the enclave that gives: [`boot_key`].
    pub giver: Digest32,
    /// Its term.
    pub term: u64,
    /// Boot key of the enclave that receives: [`boot_key`].
    pub recipient: Digest32,
    /// Until when it is good, Unix milliseconds.
    pub not_after_ms: u64,
    /// What the recipient is.
    pub evidence: RecipientEvidence,
}

/// SHA-256 of the X-Wing key of a boot: what an order names an enclave by.
pub fn boot_key(keys: &BootKeys) -> Digest32 {
    sha256(&[&keys.unseal_xwing])
}

/// What the giver knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Giver<'a> {
    /// The manifest in force, whose officers may order.
    pub genesis: &'a VerifiedGenesis,
    /// The appliance's own ledger.
    pub appliance: LedgerId,
    /// Its boot key.
    pub boot: Digest32,
    /// Its term.
    pub term: u64,
    /// Trusted time, Unix milliseconds.
    pub now_ms: u64,
}

/// An order to obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What the officers signed.
    pub order: HandoverOrder,
    /// SHA-256 of the payload's bytes.
    pub digest: Digest32,
    /// What the recipient bound into its document.
    pub recipient: Binding,
}

impl HandoverOrder {
    /// Decides whether the giver obeys. `bytes` is the signed file (JWS, RFC 7515
    /// §7.2.1), `spent` says whether the ledger records an order of this name.
    pub fn check(
        bytes: &[u8],
        giver: &Giver<'_>,
        spent: impl FnOnce(&Digest32) -> bool,
    ) -> Result<Accepted, OrderRefusal> {
        let (envelope, payload) = signed(bytes, giver.genesis)?;
        let order: Self = serde_json::from_slice(&payload).map_err(OrderRefusal::Json)?;
        if order.appliance != giver.appliance {
            return Err(OrderRefusal::OtherLedger(order.appliance));
        }
        if spent(&order.order) {
            return Err(OrderRefusal::Spent);
        }
        if (order.giver, order.term) != (giver.boot, giver.term) {
            return Err(OrderRefusal::OtherGiver { term: order.term });
        }
        let recipient = order.judge(giver.genesis, giver.now_ms)?;
        Ok(Accepted {
            digest: envelope.digest()?,
            recipient,
            order,
        })
    }

    /// What does not depend on who gives: manifest, time, and the recipient's
    /// evidence. Officers judge by it before they sign.
    pub fn judge(&self, genesis: &VerifiedGenesis, now_ms: u64) -> Result<Binding, OrderRefusal> {
        in_force(
            (self.genesis, self.counter),
            self.not_after_ms,
            genesis,
            now_ms,
        )?;
        let evidence = &self.evidence;
        let asked = evidence.appraisal(genesis, now_ms);
        let appraised = appraise(&evidence.document, &evidence.preimage, &asked)?;
        let recipient = appraised.enclave().ok_or(OrderRefusal::OtherRecipient)?;
        if boot_key(&recipient.boot_keys) != self.recipient || self.recipient == self.giver {
            return Err(OrderRefusal::OtherRecipient);
        }
        if recipient.appliance_ledger() != Some(self.appliance) {
            return Err(OrderRefusal::OtherLedger(self.appliance));
        }
        if recipient.config != self.config {
            return Err(OrderRefusal::OtherConfig);
        }
        Ok(recipient.clone())
    }
}

/// Whether an order names the manifest in force and is good now, for a day at most.
fn in_force(
    named: (Digest32, u64),
    not_after_ms: u64,
    genesis: &VerifiedGenesis,
    now_ms: u64,
) -> Result<(), OrderRefusal> {
    let (digest, counter) = named;
    let present = genesis.manifest.counter;
    if (digest, counter) != (genesis.digest, present) {
        return Err(OrderRefusal::OtherManifest { counter, present });
    }
    match not_after_ms.checked_sub(now_ms) {
        None => Err(OrderRefusal::Expired {
            over_ms: now_ms - not_after_ms,
        }),
        Some(left) if left > ORDER_MAX_MS => Err(OrderRefusal::TooLong),
        Some(_) => Ok(()),
    }
}

/// The payload, if enough officers of the manifest in force signed it.
fn signed(bytes: &[u8], genesis: &VerifiedGenesis) -> Result<(SignedFile, Vec<u8>), OrderRefusal> {
    let envelope = SignedFile::parse(bytes)?;
    let manifest = &genesis.manifest;
    match envelope.verify(&manifest.officers, manifest.threshold.into()) {
        Ok(payload) => Ok((envelope, payload)),
        // Officers of a manifest before are nobody now: say so, not that they cannot sign.
        Err(error @ SignedFileError::UnknownOfficer { .. }) => {
            let order: HandoverOrder =
                serde_json::from_slice(&envelope.payload()?).map_err(OrderRefusal::Json)?;
            Err(match order.genesis == genesis.digest {
                true => error.into(),
                false => OrderRefusal::OtherManifest {
                    counter: order.counter,
                    present: manifest.counter,
                },
            })
        }
        Err(error) => Err(error.into()),
    }
}
