//! The ledger as everyone outside the enclave sees it: tree, entries, notes, receipts.
//!
//! Protects against an operator, or an enclave, that shows different histories
//! to different people: every decision is a leaf of a Merkle tree whose head the
//! attested boot key signs, and everything here is checkable without keys or I/O.
//! The byte formats are fixed in `enclave/SPEC.md`.

pub mod anchor;
pub mod checkpoint;
pub mod cosignature;
pub mod entry;
pub mod export;
pub mod frontier;
pub mod merkle;
pub mod receipt;
pub mod witness_wire;

pub use anchor::{Anchor, AnchorError, VerifiedAnchor};
pub use checkpoint::{Checkpoint, NoteError, NoteKey};
pub use cosignature::cosigned_by;
pub use entry::{Hash, Header, Salt, commit};
pub use frontier::Frontier;
pub use merkle::Tree;
pub use receipt::{Receipt, ReceiptError, TrustedBoot, VerifiedReceipt};
