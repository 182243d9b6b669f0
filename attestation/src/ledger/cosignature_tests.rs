//! Tests of cosignatures.
