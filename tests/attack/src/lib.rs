//! What a hostile host can do, done: each attack with its outcome and the exact error.
//!
//! Protects against a promise that was only argued for. The enclave is the real
//! program, found by `REDOUBT_BIN_DIR`; the host around it is this crate, which
//! speaks the store protocol and forgets, repeats, reorders, alters, rolls back,
//! forks or says nothing. It knows of the enclave what `enclave/SPEC.md` tells.

pub mod cases;
pub mod disk;
pub mod history;
pub mod judge;
pub mod lab;
pub mod nonces;
pub mod outcome;
pub mod record;
pub mod running;
pub mod store;
pub mod witnesses;

pub use disk::Disk;
pub use lab::Lab;
pub use outcome::{Case, Outcome, Verdict};
pub use store::{Act, Store};
