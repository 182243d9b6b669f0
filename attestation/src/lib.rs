//! Evidence: parse, verify, appraise; receipts, checkpoints, proofs.
//!
//! Protects every side against a hostile carrier: whatever arrives here has
//! passed through hands that may change, replay, relay or truncate it. Each
//! module takes received bytes and either returns a value that is known to be
//! genuine or names the one reason why not.
//!
//! A library without I/O: time, randomness and bytes are arguments. The one
//! exception is [`attester::NsmAttester`], which asks its device.

pub mod amount;
pub mod appraise;
pub mod artefact;
pub mod attester;
pub mod binding;
mod cbor;
mod chain;
pub mod conformance;
pub mod contradiction;
pub mod cose;
mod der;
pub mod document;
pub mod encode;
pub mod entropy;
pub mod genesis;
pub mod handover;
pub mod jcs;
mod json;
pub mod jwk;
pub mod ledger;
pub mod nvidia;
pub mod peers;
#[cfg(test)]
mod second_verifier;
pub mod shares;
pub mod sign;
#[cfg(test)]
mod testkit;
