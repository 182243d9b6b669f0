//! The order by which officers end one enclave for good: one that waits for a secret
//! and is not to get any, or one that serves and must not.
//!
//! Protects an appliance without witnesses against a second enclave that a host keeps
//! in reserve. It names one boot, and a boot never comes back: there is nothing to
//! replay.

use redoubt_shared::LedgerId;
use serde::{Deserialize, Serialize};

use super::{OrderRefusal, in_force};
use crate::encode::{Digest32, as_text};
use crate::genesis::{SignedFile, VerifiedGenesis};

/// Marks the only format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HaltOrderType {
    /// `redoubt/halt-order/v1`
    #[serde(rename = "redoubt/halt-order/v1")]
    V1,
}

/// The payload that officers sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaltOrder {
    /// Always [`HaltOrderType::V1`].
    #[serde(rename = "type")]
    pub kind: HaltOrderType,
    /// The appliance's own ledger.
    #[serde(with = "as_text")]
    pub appliance: LedgerId,
    /// Digest of the manifest in force at the enclave.
    pub genesis: Digest32,
    /// Its counter.
    pub counter: u64,
    /// Boot key of the enclave that is to halt: [`super::boot_key`].
    pub boot: Digest32,
    /// Until when it is good, Unix milliseconds, at most a day ahead.
    pub not_after_ms: u64,
}

impl HaltOrder {
    /// Decides whether the enclave with this boot key obeys. `bytes` is the signed
    /// file (JWS, RFC 7515 §7.2.1), `now_ms` trusted time.
    pub fn check(
        bytes: &[u8],
        genesis: &VerifiedGenesis,
        appliance: LedgerId,
        boot: Digest32,
        now_ms: u64,
    ) -> Result<Self, OrderRefusal> {
        let manifest = &genesis.manifest;
        let signed = SignedFile::parse(bytes)?;
        let payload = signed.verify(&manifest.officers, manifest.threshold.into())?;
        let order: Self = serde_json::from_slice(&payload).map_err(OrderRefusal::Json)?;
        order.judge(genesis, now_ms)?;
        if order.appliance != appliance {
            return Err(OrderRefusal::OtherLedger(order.appliance));
        }
        if order.boot != boot {
            return Err(OrderRefusal::OtherBoot(order.boot));
        }
        Ok(order)
    }

    /// What does not depend on who is to halt: manifest and time. Officers judge by
    /// it before they sign.
    pub fn judge(&self, genesis: &VerifiedGenesis, now_ms: u64) -> Result<(), OrderRefusal> {
        let named = (self.genesis, self.counter);
        in_force(named, self.not_after_ms, genesis, now_ms)
    }
}
