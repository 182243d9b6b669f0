//! Behaviour of the ceremonies, on vectors made here by a software
//! authenticator, and on recordings made elsewhere.

mod assertions;
mod attestation_chains;
mod attestation_formats;
mod authenticator;
mod cbor_writer;
mod certificates;
mod conformance_rows;
mod decoding;
mod keys;
mod mutations;
mod rate;
mod records;
mod registrations;
mod second_opinion;
mod tpm_vectors;
