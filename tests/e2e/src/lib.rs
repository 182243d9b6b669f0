//! The real three processes in a temporary folder, for tests by behaviour.
//!
//! Protects against parts that work alone: nothing is replaced here. The parts
//! are started as an operator would start them; what stands between them (the
//! network, the host's relays) can be listened to and tampered with, because
//! every stream is an address.

pub mod appliance;
pub mod appraisal;
pub mod attested;
pub mod behaviour;
pub mod blobs;
pub mod bundles;
pub mod customer;
pub mod desk;
pub mod embeddings;
pub mod environment;
pub mod folder;
pub mod guarded;
pub mod handover;
pub mod mangler;
pub mod manifests;
pub mod memory;
pub mod metadata;
pub mod peers;
pub mod pki;
pub mod probe;
pub mod process;
pub mod sessions;

pub use appliance::{Appliance, Options};
pub use behaviour::{Needs, Shared, alone, shared};
pub use customer::Customer;
pub use environment::Environment;
