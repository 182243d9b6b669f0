//! The trusted base: everything that holds a key or decides.
//!
//! Protects against: a hostile host, which can drop, delay, reorder, replay and
//! fork everything that enters or leaves here.

pub mod api;
pub mod biometrics;
pub mod core;
pub mod gateway;
pub mod keys;
pub mod ledger;
mod outbound;
pub mod passkeys;
pub mod peers;
pub mod rego;
pub mod service;
pub mod wiping;
pub mod worker_link;
