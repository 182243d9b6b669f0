//! The sealed inference worker.
//!
//! Protects against: a sample that attacks its decoder, a model file that is
//! not the pinned one, and anything that would carry a face or a voice out of here. The
//! process loads weights, then closes the world ([`sandbox`]), then proves over
//! TLS what it is ([`session`]), then turns pictures into embeddings
//! ([`pipeline`]) and recordings too ([`voice`]). It learns a random job id: no tenant, subject, template,
//! score or verdict.
//!
//! What stays in memory after a job: everything allocated by Rust code is wiped
//! when freed ([`wipe`]), in the binary. ONNX Runtime keeps an arena per network
//! for the values between layers; the next job overwrites it, nothing clears it.
//! Stacks and registers are not cleared either.
//!
//! Inference runs on the CPU, and with `--cuda` the embedder on an NVIDIA GPU
//! ([`cuda`]); evidence says which.

pub mod cuda;
pub mod dlib;
pub mod manifest;
pub mod onnx;
pub mod pipeline;
pub mod runtime;
pub mod sandbox;
pub mod session;
pub mod tensorflow;
pub mod torch;
pub mod voice;
pub mod wipe;
