//! Evidence: parse, verify, appraise; receipts, checkpoints, proofs. No I/O.

pub mod ledger;
