//! Judging what the enclave hands out: receipts with their evidence, and the
//! signed artefact of an approval.
//!
//! Protects a court years later: with nothing but a pinned genesis it learns
//! that a genuine enclave of that appliance recorded this claim, and for an
//! approval, that the customer's own key signed a challenge made from exactly
//! this transaction. Every signature must verify in two implementations.
//!
//! Not covered: what the customer's screen showed. That is the word of the page
//! at the origin named in the assertion.

mod approval;
mod assertion;
mod boots;
mod challenge;
mod cose_key;
mod evidence;
mod fresh;
mod grants;
mod transaction;
mod trust;

pub use approval::{
    APPROVAL_TYP, APPROVAL_V2_TYP, Artefact, REJECTION_TYP, VerifiedArtefact, artefact_typ,
    verify_artefact,
};
pub use assertion::{Assertion, AssertionError};
pub use boots::{Boot, KeptDocument};
pub use challenge::ChallengeInput;
pub use evidence::{JudgedReceipt, verify_receipt};
pub use fresh::{Fresh, FreshnessError};
pub use grants::Asked;
pub use transaction::adds_up;
pub use trust::Trust;

use crate::appraise;
use crate::genesis::GenesisError;
use crate::ledger::ReceiptError;
use crate::sign::jws::JwsError;

/// Why a receipt or artefact is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not in the format.
    #[error("the {what} cannot be read: {problem}")]
    Malformed {
        /// Receipt, artefact, claims or evidence.
        what: &'static str,
        /// What is wrong and where.
        problem: String,
    },
    /// A receipt as replies carry it, without documents.
    #[error("the receipt carries no evidence; fetch it again with GET /api/v1/receipts/{{id}}")]
    NoEvidence,
    /// The trust folder.
    #[error(transparent)]
    Trust(#[from] GenesisError),
    /// A document behind it.
    #[error("evidence {index}: {source}")]
    Evidence {
        /// Position in `evidence`.
        index: usize,
        /// Why.
        source: appraise::Refusal,
    },
    /// A boot under a manifest before the pinned one signed the head, or its anchor.
    #[error(
        "the head is signed under a manifest before the pinned one: fetch the receipt again, or \
         judge it by the policy of its time"
    )]
    HeadBefore,
    /// Inclusion, checkpoint or commitment.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The claim contradicts the document it names.
    #[error("the claim says {field} {said}; its attestation document says {bound}")]
    Contradiction {
        /// Which member.
        field: &'static str,
        /// In the claim.
        said: String,
        /// In the document.
        bound: String,
    },
    /// The checkpoint is of a ledger the document does not bind to the claim's tenant.
    #[error("the ledger of this receipt is not the one its document binds to the claim's tenant")]
    OtherLedger,
    /// The head behind it is not anchored, or not as fresh as the claim says.
    #[error(transparent)]
    Freshness(#[from] FreshnessError),
    /// The payload is not the receipted claim.
    #[error("the artefact's payload is not the claim its receipt proves")]
    OtherClaim,
    /// The claim is no approval.
    #[error("the claim is {0:?}, no approval that was given")]
    NotAnApproval(String),
    /// A tenant key is not the one the claim names.
    #[error("tenant_keys: the claim names other keys")]
    TenantKeys,
    /// A signature's header.
    #[error("signature {index}: {source}")]
    Jws {
        /// Position in `signatures`.
        index: usize,
        /// What is wrong.
        source: JwsError,
    },
    /// A signature is missing, repeated or of a key that does not belong.
    #[error("signatures: {0}")]
    Signatures(String),
    /// A signature does not verify.
    #[error("the {0} signature does not verify over this payload")]
    BadSignature(&'static str),
    /// The challenge is not made from the transaction.
    #[error(
        "the challenge is not the digest of the transaction and the rest of its input: {0} differs"
    )]
    Challenge(&'static str),
    /// The transaction contradicts itself.
    #[error("the transaction: {0}")]
    Transaction(&'static str),
    /// The approval came too late.
    #[error("the approval was recorded after its challenge had expired")]
    Expired,
    /// The customer's own signature.
    #[error("the customer's assertion: {0}")]
    Assertion(#[from] AssertionError),
    /// The answers together are not what was asked for.
    #[error("the answers of this approval: {0}")]
    Grants(&'static str),
    /// One of the earlier answers does not hold.
    #[error("answer {index}: {source}")]
    Answer {
        /// Position in `grants`.
        index: usize,
        /// Why.
        source: Box<Refusal>,
    },
}

/// The checks of a receipt, then those an artefact adds, in their order.
pub const CHECKS: [&str; 9] = [
    "documents are genuine and of the pinned genesis",
    "claim is in the ledger under a head that an attested key signed",
    "claim agrees with its attestation document",
    "head is in the appliance's ledger, and witnesses cosigned that as the manifest asks",
    "payload is the receipted claim",
    "tenant and enclave signed it with ES256 and ML-DSA-65",
    "challenge is made from exactly this transaction",
    "customer's own key signed that challenge",
    "as many people, devices and factors as were asked for",
];
/// How many of [`CHECKS`] a receipt alone has.
pub const RECEIPT_CHECKS: usize = 4;

impl Refusal {
    /// Position in [`CHECKS`] of the check that failed; those before it passed.
    /// `None` where the file could not be judged at all.
    pub const fn check(&self) -> Option<usize> {
        match self {
            Self::Malformed { .. } | Self::Trust(_) => None,
            Self::NoEvidence | Self::Evidence { .. } => Some(0),
            Self::HeadBefore | Self::Receipt(_) => Some(1),
            Self::Contradiction { .. } | Self::OtherLedger => Some(2),
            Self::Freshness(_) => Some(3),
            Self::OtherClaim | Self::NotAnApproval(_) => Some(4),
            Self::TenantKeys | Self::Jws { .. } | Self::Signatures(_) | Self::BadSignature(_) => {
                Some(5)
            }
            Self::Challenge(_) | Self::Transaction(_) | Self::Expired => Some(6),
            Self::Assertion(_) => Some(7),
            Self::Grants(_) | Self::Answer { .. } => Some(8),
        }
    }

    /// The stable name of this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::NoEvidence => "no_evidence",
            Self::Trust(_) => "trust",
            Self::Evidence { source, .. } => source.code(),
            Self::HeadBefore => "head_before",
            Self::Receipt(_) => "receipt",
            Self::Contradiction { .. } => "contradiction",
            Self::OtherLedger => "other_ledger",
            Self::Freshness(error) => error.code(),
            Self::OtherClaim => "other_claim",
            Self::NotAnApproval(_) => "not_an_approval",
            Self::TenantKeys => "tenant_keys",
            Self::Jws { .. } => "jws",
            Self::Signatures(_) => "signatures",
            Self::BadSignature(_) => "bad_signature",
            Self::Challenge(_) => "challenge",
            Self::Transaction(_) => "transaction",
            Self::Expired => "expired",
            Self::Assertion(error) => error.code(),
            Self::Grants(_) => "grants",
            Self::Answer { source, .. } => source.code(),
        }
    }

    fn malformed(what: &'static str, problem: impl ToString) -> Self {
        Self::Malformed {
            what,
            problem: problem.to_string(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
