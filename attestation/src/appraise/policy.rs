//! What officers ask of evidence beyond the manifest: its age, and which images
//! count no longer. Signed k of n, with a counter that only grows.
//!
//! Protects clients against yesterday's rules: an image in which somebody found a
//! hole is withdrawn without a new genesis, a carrier that shows the policy of
//! before is caught by its counter, and one that shows none other for ever by the
//! policy's own end. A policy narrows what the manifest allows and never widens it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Appraisal, Appraised, Refusal, appraise};
use crate::encode::{Digest32, from_hex};
use crate::genesis::{SignedFile, SignedFileError, VerifiedGenesis};

/// Longest age a policy may allow, in milliseconds: leaf certificates live no longer.
pub const AGE_MAX_MS: u64 = 3 * 60 * 60 * 1000;

/// Marks the only format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppraisalPolicyType {
    /// `redoubt/appraisal-policy/v1`
    #[serde(rename = "redoubt/appraisal-policy/v1")]
    V1,
}

/// The payload that officers sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppraisalPolicy {
    /// Always [`AppraisalPolicyType::V1`].
    #[serde(rename = "type")]
    pub kind: AppraisalPolicyType,
    /// Digest of the manifest whose officers sign.
    pub genesis: Digest32,
    /// From 1; grows with every policy.
    pub counter: u64,
    /// Until when this policy may be used, Unix milliseconds.
    pub not_after_ms: u64,
    /// How old a document may be, 1 to [`AGE_MAX_MS`].
    pub max_age_ms: u64,
    /// PCR0 of images of the manifest that are accepted no longer, hexadecimal.
    pub withdrawn: BTreeSet<String>,
    /// SHA-256 of the files of reference values (NVIDIA's RIM) that a GPU's
    /// measurements may be compared with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nvidia_rims: BTreeSet<Digest32>,
}

/// The last policy a client accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyMark {
    /// Its counter.
    pub counter: u64,
    /// SHA-256 of its payload.
    pub digest: Digest32,
}

/// A policy that enough officers signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAppraisalPolicy {
    policy: AppraisalPolicy,
    digest: Digest32,
}

/// Why a policy is not used. Whoever brought the file is at fault.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Envelope, signatures or their number.
    #[error("appraisal policy: {0}")]
    Signed(#[from] SignedFileError),
    /// The payload.
    #[error("appraisal policy: {0}")]
    Json(#[source] serde_json::Error),
    /// A member has a value it may not have.
    #[error("appraisal policy: {0}")]
    Member(&'static str),
    /// Signed for another manifest.
    #[error("the appraisal policy is for genesis {0}, not for the pinned one")]
    OtherGenesis(Digest32),
    /// A later policy was seen before.
    #[error("the appraisal policy has counter {found}; {seen} was seen before: it is an old one")]
    RolledBack {
        /// In the file.
        found: u64,
        /// Seen before.
        seen: u64,
    },
    /// Two policies of one counter.
    #[error("two appraisal policies have counter {0}: officers signed both, ask them")]
    Forked(u64),
}

impl PolicyError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Signed(_) => "policy_not_signed",
            Self::Json(_) | Self::Member(_) => "policy_malformed",
            Self::OtherGenesis(_) => "policy_other_genesis",
            Self::RolledBack { .. } => "policy_rolled_back",
            Self::Forked(_) => "policy_forked",
        }
    }
}

impl AppraisalPolicy {
    /// Reads a signed file (JWS, RFC 7515 §7.2.1) and checks it against the
    /// officers of the pinned manifest, as many as it asks for.
    pub fn verify(
        bytes: &[u8],
        genesis: &VerifiedGenesis,
    ) -> Result<VerifiedAppraisalPolicy, PolicyError> {
        let envelope = SignedFile::parse(bytes)?;
        let manifest = &genesis.manifest;
        let payload = envelope.verify(&manifest.officers, manifest.threshold.into())?;
        let policy: Self = serde_json::from_slice(&payload).map_err(PolicyError::Json)?;
        policy.validate(genesis)?;
        Ok(VerifiedAppraisalPolicy {
            digest: envelope.digest()?,
            policy,
        })
    }

    /// Checks every member, signed or not yet.
    pub fn validate(&self, genesis: &VerifiedGenesis) -> Result<(), PolicyError> {
        if self.genesis != genesis.digest {
            return Err(PolicyError::OtherGenesis(self.genesis));
        }
        if self.counter == 0 {
            return Err(PolicyError::Member("counter: start at 1"));
        }
        if !(1..=AGE_MAX_MS).contains(&self.max_age_ms) {
            return Err(PolicyError::Member("max_age_ms: use 1 to 10800000"));
        }
        let pcr = |text: &String| from_hex(text).is_ok_and(|bytes| bytes.len() == 48);
        if !self.withdrawn.iter().all(pcr) {
            return Err(PolicyError::Member(
                "withdrawn: list PCR0 values, 96 lowercase hexadecimal digits each",
            ));
        }
        Ok(())
    }
}

impl VerifiedAppraisalPolicy {
    /// What the officers signed.
    pub const fn policy(&self) -> &AppraisalPolicy {
        &self.policy
    }

    /// What to remember of it.
    pub const fn mark(&self) -> PolicyMark {
        PolicyMark {
            counter: self.policy.counter,
            digest: self.digest,
        }
    }

    /// Refuses a policy older than the last one accepted, and another of the same counter.
    pub fn after(self, last: Option<PolicyMark>) -> Result<Self, PolicyError> {
        let found = self.policy.counter;
        match last {
            Some(PolicyMark { counter, .. }) if found < counter => Err(PolicyError::RolledBack {
                found,
                seen: counter,
            }),
            Some(mark) if found == mark.counter && mark.digest != self.digest => {
                Err(PolicyError::Forked(found))
            }
            _ => Ok(self),
        }
    }

    /// Refuses it once it has ended, by our time in Unix milliseconds.
    pub fn check_expiry(&self, now_ms: u64) -> Result<(), Refusal> {
        match now_ms.saturating_sub(self.policy.not_after_ms) {
            0 => Ok(()),
            over_ms => Err(Refusal::PolicyExpired { over_ms }),
        }
    }

    /// Appraises a document as [`appraise`] does, and under this policy.
    ///
    /// `appraisal.now_ms` must be trusted time: a security module's signed time, a
    /// witness's, or for a client its own clock. Its `max_age_ms` counts where it
    /// is the shorter one.
    pub fn appraise(
        &self,
        bytes: &[u8],
        preimage: &[u8],
        appraisal: &Appraisal<'_>,
    ) -> Result<Appraised, Refusal> {
        let AppraisalPolicy {
            kind: AppraisalPolicyType::V1,
            genesis: _,
            counter: _,
            not_after_ms: _,
            max_age_ms,
            withdrawn,
            nvidia_rims: _,
        } = &self.policy;
        self.check_expiry(appraisal.now_ms)?;
        let shorter = appraisal.max_age_ms.unwrap_or(u64::MAX).min(*max_age_ms);
        let narrowed = Appraisal {
            max_age_ms: Some(shorter),
            ..*appraisal
        };
        let appraised = appraise(bytes, preimage, &narrowed)?;
        let pcr0 = appraised.document.pcrs.get(0).map(hex::encode);
        match pcr0.filter(|pcr0| withdrawn.contains(pcr0)) {
            Some(pcr0) => Err(Refusal::Withdrawn { pcr0 }),
            None => Ok(appraised),
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
