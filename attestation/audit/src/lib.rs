//! The auditor's tools: fetch evidence from a stranger, and judge evidence in a
//! room without doors.
//!
//! Protects whoever pins a genesis against every machine in between. [`fetch`]
//! talks to a server that nobody vouches for yet and hands back a connection
//! only once the enclave on its other end is proven; [`sandbox`] closes the
//! network before a received file is opened; [`document`] and [`gpu`] judge one
//! piece of evidence; [`ledger`] checks histories and [`compare`] proves that two of
//! them contradict; [`report`] says what was checked; [`witness`] is the server that
//! cosigns heads and keeps shares.

pub mod compare;
pub mod document;
pub mod fetch;
pub mod gpu;
pub mod inputs;
pub mod ledger;
pub mod report;
pub mod sandbox;
pub mod trust;
pub mod witness;
