//! The officers' secret on its way from a running enclave to the one that takes
//! over: HPKE to its boot key, under the head that the giver's last entry stands on.
//!
//! Protects the secret against every other boot, and the recipient against a
//! history that goes on or ends elsewhere: what it opens says where the ledger
//! ends.

use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::seal::seal;
use super::{OfficersSecret, ShareError, UnsealKey};
use crate::binding::Head;
use crate::encode::{Digest32, as_text, b64u_bytes, sha256};
use crate::entropy::Entropy;

const INFO: &[u8] = b"redoubt/handover/v1";
const LEDGER_DOMAIN: &[u8] = b"redoubt/handover-envelope/v1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum EnvelopeType {
    #[serde(rename = "redoubt/handover-envelope/v2")]
    V2,
}

/// What the giver says beside the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeAad {
    /// SHA-256 of the order's payload.
    pub order: Digest32,
    /// The appliance's own ledger.
    #[serde(with = "as_text")]
    pub appliance: LedgerId,
    /// Its head before the entry that names this envelope.
    pub head: Head,
    /// Digest of the manifest in force.
    pub genesis: Digest32,
    /// The recipient's boot key, as the order names it.
    pub recipient: Digest32,
    /// Until when the order is good, Unix milliseconds: later nobody opens it.
    pub not_after_ms: u64,
}

/// The sealed secret, as the store carries it. Version 1 did not say its end, and is
/// not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    #[serde(rename = "type")]
    kind: EnvelopeType,
    /// JSON of [`EnvelopeAad`], authenticated as these bytes.
    #[serde(with = "b64u_bytes")]
    aad: Vec<u8>,
    #[serde(with = "b64u_bytes")]
    enc: Vec<u8>,
    #[serde(with = "b64u_bytes")]
    ciphertext: Vec<u8>,
}

impl Envelope {
    /// Seals a secret to the X-Wing key of an appraised recipient.
    pub fn seal(
        secret: &OfficersSecret,
        recipient: &[u8],
        aad: &EnvelopeAad,
        entropy: &dyn Entropy,
    ) -> Result<Self, ShareError> {
        let aad = serde_json::to_vec(aad).map_err(|error| malformed(&error))?;
        let (enc, ciphertext) = seal(secret.expose_secret(), recipient, INFO, &aad, entropy)?;
        Ok(Self {
            kind: EnvelopeType::V2,
            aad,
            enc,
            ciphertext,
        })
    }

    /// Its bytes; their SHA-256 is its digest.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings always serializes")
    }

    /// Reads what the store carried.
    pub fn parse(bytes: &[u8]) -> Result<Self, ShareError> {
        serde_json::from_slice(bytes).map_err(|error| malformed(&error))
    }
}

impl UnsealKey {
    /// Opens an envelope to this key. That the secret is the appliance's, and the
    /// head its ledger's, and that its time is not over, is the caller's to check: anybody can seal to a public key.
    pub fn open_envelope(
        &self,
        envelope: &Envelope,
    ) -> Result<(OfficersSecret, EnvelopeAad), ShareError> {
        let Envelope {
            kind: EnvelopeType::V2,
            aad,
            enc,
            ciphertext,
        } = envelope;
        let plaintext = self.open(INFO, aad, enc, ciphertext)?;
        // Filled where it stays: what moves leaves a copy behind.
        let mut secret = Box::new(Zeroizing::new([0; 32]));
        if plaintext.len() != secret.len() {
            return Err(malformed(&"the secret has another length"));
        }
        secret.copy_from_slice(&plaintext);
        let aad = serde_json::from_slice(aad).map_err(|error| malformed(&error))?;
        Ok((OfficersSecret(secret), aad))
    }
}

/// The ledger whose one record carries the envelope of an order (by its name) to a
/// boot key: an order is good once, so nothing else ever stands there.
pub fn envelope_ledger(appliance: LedgerId, recipient: &Digest32, order: &Digest32) -> LedgerId {
    let digest = sha256(&[LEDGER_DOMAIN, appliance.as_bytes(), &recipient.0, &order.0]);
    let mut id = [0; 16];
    id.copy_from_slice(&digest.0[..16]);
    LedgerId::from_bytes(id)
}

fn malformed(error: &dyn std::fmt::Display) -> ShareError {
    ShareError::Malformed(format!("envelope: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn an_envelope_opens_at_its_boot_and_under_its_own_words_only() {
        let secret = OfficersSecret::generate(&SystemEntropy).unwrap();
        let key = UnsealKey::generate(&SystemEntropy).unwrap();
        let aad = EnvelopeAad {
            order: Digest32([1; 32]),
            appliance: LedgerId::from_bytes([2; 16]),
            head: Head {
                size: 7,
                root: Digest32([3; 32]),
            },
            genesis: Digest32([4; 32]),
            recipient: sha256(&[key.public()]),
            not_after_ms: 9,
        };
        let envelope = Envelope::seal(&secret, key.public(), &aad, &SystemEntropy).unwrap();
        let carried = Envelope::parse(&envelope.to_json()).unwrap();
        let (opened, said) = key.open_envelope(&carried).unwrap();
        assert_eq!(opened.expose_secret(), secret.expose_secret());
        assert_eq!(said, aad);
        let other = UnsealKey::generate(&SystemEntropy).unwrap();
        assert!(other.open_envelope(&carried).is_err());
        let mut moved = aad.clone();
        moved.head.size = 8;
        let mut longer = aad.clone();
        longer.not_after_ms = 10;
        for bent in [moved, longer] {
            let bent = Envelope {
                aad: serde_json::to_vec(&bent).unwrap(),
                ..carried.clone()
            };
            assert!(key.open_envelope(&bent).is_err());
        }
        // What was sealed for another purpose opens nothing here, nor this there.
        assert!(
            key.open_share(&carried.aad, &carried.enc, &carried.ciphertext)
                .is_err()
        );
    }

    #[test]
    fn each_recipient_has_a_ledger_of_its_own_for_each_order() {
        let id = |appliance, recipient, order| {
            let appliance = LedgerId::from_bytes([appliance; 16]);
            envelope_ledger(
                appliance,
                &Digest32([recipient; 32]),
                &Digest32([order; 32]),
            )
        };
        assert_eq!(id(1, 1, 1), id(1, 1, 1));
        for other in [id(2, 1, 1), id(1, 2, 1), id(1, 1, 2)] {
            assert_ne!(id(1, 1, 1), other);
        }
    }
}
