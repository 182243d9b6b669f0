//! Error rates that can be published: how well people are told apart, with
//! intervals, curves and a page to look at.
//!
//! Protects against figures nobody can check: every rate here is counted from
//! scores, a rate that too few comparisons stand behind is not stated, and what
//! could not be compared counts as not recognised.
//!
//! Words are those of ISO/IEC 19795-1: a *genuine* comparison is of one person's
//! samples, an *impostor* one of two persons'; FMR and FNMR are the shares of them
//! decided wrongly. FAR and TAR are used as evaluations of faces use them: FMR, and
//! 1 - FNMR.

pub mod challenges;
pub mod digits;
pub mod faces;
pub mod fusion;
pub mod liveness;
pub mod report;
pub mod risk;
pub mod stats;
mod templates;
pub mod voices;
