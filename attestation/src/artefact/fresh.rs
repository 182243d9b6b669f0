//! How fresh the head behind a receipt was.
//!
//! Protects a bank against a copy of the appliance that went on from an old
//! state: where the manifest names witnesses, a lasting receipt counts only if
//! enough of them cosigned a head of the appliance that includes its own.

use crate::genesis::{Genesis, WitnessPolicy};
use crate::ledger::{AnchorError, Checkpoint, VerifiedAnchor};

/// Why the head of a receipt does not count as fresh as its claim says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FreshnessError {
    /// The claim says otherwise than the manifest asks.
    #[error("the claim says {field} {said}; the manifest asks for {asked}")]
    Claimed {
        /// Which member.
        field: &'static str,
        /// In the claim.
        said: String,
        /// By the manifest.
        asked: String,
    },
    /// The anchor does not hold.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// It is of a ledger that the signer's document does not name as the appliance's.
    #[error("the anchor is not of the appliance's ledger that its signer's document names")]
    OtherLedger,
    /// There is none where witnesses are.
    #[error(
        "the receipt has no anchor, though the manifest names witnesses; fetch it again with \
         GET /api/v1/receipts/{{id}}"
    )]
    Missing,
    /// Too few witnesses.
    #[error("{found} witnesses cosigned the appliance's head; the manifest asks for {needed}")]
    TooFew {
        /// That cosigned.
        found: usize,
        /// Asked for.
        needed: usize,
    },
}

impl FreshnessError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "freshness",
            Self::Anchor(_) => "anchor",
            Self::OtherLedger => "anchor_ledger",
            Self::Missing => "not_anchored",
            Self::TooFew { .. } => "not_cosigned",
        }
    }
}

/// How fresh a head was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// `none`, `strict` or `lease`.
    pub mode: &'static str,
    /// For how long a copy could have gone on unseen; nothing limits it without witnesses.
    pub unwitnessed_ms: Option<u64>,
    /// The appliance's head that includes the receipt's, if the receipt shows one.
    pub anchor: Option<Checkpoint>,
    /// Witnesses that cosigned it, with their times in Unix seconds.
    pub cosigned: Vec<(String, u64)>,
}

/// What the manifest asks of a receipt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    mode: &'static str,
    unwitnessed_ms: Option<u64>,
    quorum: usize,
}

/// What the manifest asks, if the claim says the same.
pub(super) fn freshness(
    manifest: &Genesis,
    (said, said_ms): (&str, Option<u64>),
) -> Result<Asked, FreshnessError> {
    let asked = match manifest.witness_policy {
        None => Asked {
            mode: "none",
            unwitnessed_ms: None,
            quorum: 0,
        },
        Some(policy) => Asked {
            mode: policy.mode.name(),
            unwitnessed_ms: Some(policy.unwitnessed_ms()),
            quorum: policy.k.into(),
        },
    };
    let text = |ms: Option<u64>| ms.map_or("absent".to_owned(), |ms| ms.to_string());
    if said != asked.mode {
        return Err(FreshnessError::Claimed {
            field: "freshness",
            said: said.to_owned(),
            asked: asked.mode.to_owned(),
        });
    }
    if said_ms != asked.unwitnessed_ms {
        return Err(FreshnessError::Claimed {
            field: "unwitnessed_ms",
            said: text(said_ms),
            asked: text(asked.unwitnessed_ms),
        });
    }
    Ok(asked)
}

impl Asked {
    /// The same claim under a head of a later manifest, whose witnesses cosigned it.
    pub(super) fn of_head(self, manifest: &Genesis) -> Self {
        let quorum = manifest.witness_policy.map_or(0, |policy| policy.k.into());
        Self { quorum, ..self }
    }

    /// Whether an anchor, already checked, is enough.
    pub(super) fn judge(self, anchor: Option<VerifiedAnchor>) -> Result<Fresh, FreshnessError> {
        let cosigned = match (&anchor, self.quorum) {
            (None, 0) => Vec::new(),
            (None, _) => return Err(FreshnessError::Missing),
            (Some(anchor), needed) if anchor.cosigned.len() < needed => {
                return Err(FreshnessError::TooFew {
                    found: anchor.cosigned.len(),
                    needed,
                });
            }
            (Some(anchor), _) => anchor.cosigned.clone(),
        };
        Ok(Fresh {
            mode: self.mode,
            unwitnessed_ms: self.unwitnessed_ms,
            anchor: anchor.map(|anchor| anchor.checkpoint),
            cosigned,
        })
    }
}

impl WitnessPolicy {
    /// How long a copy of the appliance could go on beside it before a witness
    /// stops it, in milliseconds; receipts say it.
    pub const fn unwitnessed_ms(&self) -> u64 {
        match self.mode {
            crate::genesis::WitnessMode::Strict => 0,
            crate::genesis::WitnessMode::Lease => self.lease_ms,
        }
    }
}
