//! Tenants' own policy: signed bundles of Rego, evaluated in processes of their own.
//!
//! Protects the appliance from its tenants' programs and tenants from each other: what
//! a tenant wrote is parsed, compiled and run only in a process that was started for
//! this tenant, gets facts without names, has no key, no state, no descriptor but its
//! two pipes, little memory and little time, and may make no system call but those that
//! computing needs. Whatever it does, its answer is one of three words; everything else,
//! its death too, is a no.
//!
//! | file | what |
//! |---|---|
//! | `bundle` | what is signed |
//! | `evaluators` | the appliance's side: starts, asks, kills |
//! | `wire` | what goes through the pipes |
//! | `room` | the other side: seals itself, answers |
//! | `engine`, `lint` | Rego, only ever called in there |

mod bundle;
mod engine;
mod evaluators;
mod lint;
mod room;
mod sandbox;
mod wire;

pub use bundle::{BundleError, PolicyBundle, PolicyRollback};
pub use evaluators::{Evaluators, Turn};
pub use room::{ARGUMENT, main};
pub use wire::Refused;

#[cfg(test)]
mod tests;
