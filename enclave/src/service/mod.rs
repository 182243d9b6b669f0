//! The use cases: what happens between a typed request and a typed reply.
//!
//! Protects the order of things: spend first, then work, then record, then
//! answer. Everything that decides is in `core`; everything that lasts is in
//! `ledger`; this room only leads one request through both.

mod approvals;
mod assertions;
mod audit;
mod boot;
mod challenges;
mod clock;
mod customers;
mod decoys;
mod devices;
mod documents;
mod drawn;
mod duplicates;
mod enroll;
mod epochs;
mod erasures;
mod freshness;
mod handover;
mod history;
mod idle;
mod liveness;
mod metadata;
mod passkey_rules;
mod passkeys;
mod policy;
mod problems;
mod receipts;
mod recover;
mod rotate;
mod samples;
mod serving;
mod sessions;
mod spoken;
mod templates;
mod unseal;
mod verify;
mod watch;
mod witnesses;

pub use boot::{Appliance, BootConfig, BootError};
pub use serving::Front;
