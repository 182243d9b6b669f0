//! Verifying an attestation document beside its bare signature checks: the
//! document's own and one per certificate below the root, all ECDSA P-384.

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use redoubt_attestation::attester::{AttestRequest, Attester, EmulatedAttester, emulated_root};
use redoubt_attestation::document::{self, Time, VendorRoot};
use redoubt_attestation::genesis::RootKind;

use crate::cpu;
use crate::rows::Row;

/// The emulated chain is root and leaf: the leaf's signature and the document's.
const SIGNATURES: f64 = 2.0;

pub(crate) fn run() -> Result<Vec<Row>> {
    let (certificate, key) = emulated_root("bench")?;
    let attester = EmulatedAttester::dangerous_new(&certificate, &key, b"bench", 0)?;
    let request = AttestRequest {
        user_data: Some(vec![1; 48]),
        ..AttestRequest::default()
    };
    let bytes = attester.attest(&request)?;
    let root = VendorRoot::from_pem(RootKind::NitroEmulated, &certificate)?;
    document::verify(&bytes, &root, Time::OfDocument)
        .ok()
        .context("our own document is refused")?;
    let ours = cpu::per_call(100, || {
        assert!(document::verify(&bytes, &root, Time::OfDocument).is_ok())
    })?;
    let peer = SIGNATURES * bare_verification()?;
    Ok(vec![Row::new(
        "verifying a document, against its signature checks alone",
        ours,
        peer,
        "us",
        500,
    )])
}

fn bare_verification() -> Result<f64> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)
        .ok()
        .context("no key")?;
    let message = [7u8; 4096];
    let signature = pair
        .sign(&SystemRandom::new(), &message)
        .ok()
        .context("no signature")?;
    let public = pair.public_key().as_ref().to_vec();
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public);
    cpu::per_call(100, || {
        assert!(key.verify(&message, signature.as_ref()).is_ok())
    })
}
