//! Why an order is not obeyed, each reason under its own name.

use redoubt_shared::LedgerId;

use crate::appraise::Refusal;
use crate::encode::Digest32;
use crate::genesis::SignedFileError;

/// Why an order to hand over, or to halt, is not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum OrderRefusal {
    /// Envelope, signatures or their number.
    #[error("the order is not signed as the manifest asks: {0}")]
    Signed(#[from] SignedFileError),
    /// The payload.
    #[error("the order cannot be read: {0}")]
    Json(#[source] serde_json::Error),
    /// Another manifest than the one in force.
    #[error(
        "the order is for a manifest with counter {counter}; another one is in force here, counter {present}: make an order under that one"
    )]
    OtherManifest {
        /// In the order.
        counter: u64,
        /// In force.
        present: u64,
    },
    /// Another appliance.
    #[error("the order or its recipient is of another appliance than ledger {0} says")]
    OtherLedger(LedgerId),
    /// Used before.
    #[error("the ledger records this order: it was obeyed once, and an order is good once")]
    Spent,
    /// Another enclave, or another term of it.
    #[error(
        "the order is to another enclave or term ({term}); make one to the enclave that serves now"
    )]
    OtherGiver {
        /// In the order.
        term: u64,
    },
    /// Another enclave, of an order that names one boot only.
    #[error("the order is to the enclave with boot key {0}")]
    OtherBoot(Digest32),
    /// Its time is over.
    #[error("the order ended {over_ms} ms ago; officers must sign another one")]
    Expired {
        /// By how much.
        over_ms: u64,
    },
    /// Good for longer than an order may be.
    #[error("the order is good for more than a day from now; make a shorter one")]
    TooLong,
    /// The recipient's evidence does not hold.
    #[error("the recipient's evidence is refused ({code}): {0}", code = .0.code())]
    Recipient(#[from] Refusal),
    /// The evidence is of another boot than the order names.
    #[error("the order does not name the enclave whose evidence is in it, or names the giver")]
    OtherRecipient,
    /// The recipient runs another configuration than the order names.
    #[error("the recipient booted with another configuration than the order names")]
    OtherConfig,
}

impl OrderRefusal {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Signed(_) => "order_not_signed",
            Self::Json(_) => "order_malformed",
            Self::OtherManifest { .. } => "order_other_manifest",
            Self::OtherLedger(_) => "order_other_ledger",
            Self::Spent => "order_spent",
            Self::OtherGiver { .. } | Self::OtherBoot(_) => "order_other_giver",
            Self::Expired { .. } => "order_expired",
            Self::TooLong => "order_too_long",
            Self::Recipient(_) => "order_recipient_refused",
            Self::OtherRecipient => "order_other_recipient",
            Self::OtherConfig => "order_other_config",
        }
    }
}
