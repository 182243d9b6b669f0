//! Behaviour of the ceremonies, on vectors made here by a software
//! authenticator, and on recordings made elsewhere.

mod assertions;
mod attestation_chains;
mod attestation_formats;
mod authenticator;
mod cbor_writer;
mod certificates;
mod client_data;
mod conformance_rows;
mod decoding;
mod expectations;
mod keys;
mod metadata;
mod mutations;
mod origins;
mod platform_formats;
mod rate;
mod records;
mod registrations;
mod safetynet_vectors;
mod second_opinion;
mod soft_keys;
mod tpm_vectors;
