//! The reference bank: what a tenant's own back end would do, and no more.
//!
//! Protects against an appliance that only its authors can use: everything here
//! speaks the public interface over mutual TLS and imports nothing of the
//! appliance. The authenticator is the `passkey` crate, which nobody here wrote.
//! A fast signer with keys made beforehand drives load, and a search through
//! captured bytes shows whether anything that must stay inside came out.

pub mod api;
pub mod authenticator;
pub mod blindness;
pub mod client;
pub mod dev;
pub mod digits;
pub mod huge;
pub mod load;
pub mod media;
pub mod moving;
pub mod origins;
pub mod race;
pub mod receipts;
pub mod sealed_run;
pub mod signer;
pub mod speech;
pub mod story;
pub mod tls;
mod wire;

pub use api::{BankError, Problem, Transaction};
pub use authenticator::SoftwareAuthenticator;
pub use client::{Bank, Connection, Reply};
pub use dev::Dev;
pub use signer::PremadeKey;

/// A name that nothing else bears: the prefix and twelve random digits.
pub fn random_name(prefix: &str) -> String {
    let mut bytes = [0u8; 6];
    // A bank that cannot draw a name cannot test anything.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source answers");
    format!("{prefix}-{}", hex::encode(bytes))
}
