//! The host: carries and stores, decides nothing, sees nothing.
//!
//! Everything here is untrusted by the enclave. What this room owes its
//! operator is availability and honesty: bytes moved under quotas, batches
//! durable before they are acknowledged, failures named exactly.

pub mod admin;
pub mod capture;
pub mod cli;
pub mod daemon;
pub mod files;
pub mod ingress;
pub mod metrics;
pub mod peers;
pub mod places;
pub mod relay;
pub mod standby;
pub mod store;
pub mod supervise;
pub mod worker;
