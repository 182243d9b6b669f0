//! The enclave's client against the real witness and custodian, with a host between.

mod bench;
mod custodians;
mod successors;
mod witnesses;
