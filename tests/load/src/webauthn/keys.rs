//! Signing keys of the algorithms that authenticators use most.

use anyhow::{Context, Result};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as lc, KeyPair as _};
use redoubt_enclave::passkeys::Algorithm;

/// What is measured.
pub(super) const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Es384,
    Algorithm::Rs256,
    Algorithm::MlDsa65,
];

/// A key pair with its COSE form and with the bare check it is compared with.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) cose: Vec<u8>,
    verifier: Verifier,
    signer: Signer,
}

enum Signer {
    Ecdsa(lc::EcdsaKeyPair),
    Ed25519(lc::Ed25519KeyPair),
    Rsa(lc::RsaKeyPair),
    MlDsa(lc::PqdsaKeyPair),
}

/// What a program that trusts everything else would still have to call.
enum Verifier {
    Unparsed(&'static dyn lc::VerificationAlgorithm, Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Key {
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self> {
        Self::of(algorithm).ok().context(algorithm.name())
    }

    fn of(algorithm: Algorithm) -> Result<Self, Unspecified> {
        let (signer, verifier, members) = match algorithm {
            Algorithm::Es384 => ecdsa(
                &lc::ECDSA_P384_SHA384_ASN1_SIGNING,
                &lc::ECDSA_P384_SHA384_ASN1,
                2,
            )?,
            Algorithm::EdDsa => {
                let pair = lc::Ed25519KeyPair::generate()?;
                let public = pair.public_key().as_ref().to_vec();
                let members = vec![(1, int(1)), (-1, int(6)), (-2, bytes(&public))];
                let verifier = Verifier::Unparsed(&lc::ED25519, public);
                (Signer::Ed25519(pair), verifier, members)
            }
            Algorithm::Rs256 => {
                let pair = lc::RsaKeyPair::generate(KeySize::Rsa2048)?;
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero().to_vec();
                let e = public.exponent().big_endian_without_leading_zero().to_vec();
                let members = vec![(1, int(3)), (-1, bytes(&n)), (-2, bytes(&e))];
                (Signer::Rsa(pair), Verifier::Rsa { n, e }, members)
            }
            Algorithm::MlDsa65 => {
                let pair = lc::PqdsaKeyPair::generate(&lc::ML_DSA_65_SIGNING)?;
                let public = pair.public_key().as_ref().to_vec();
                let members = vec![(1, int(7)), (-1, bytes(&public))];
                let verifier = Verifier::Unparsed(&lc::ML_DSA_65, public);
                (Signer::MlDsa(pair), verifier, members)
            }
            _ => ecdsa(
                &lc::ECDSA_P256_SHA256_ASN1_SIGNING,
                &lc::ECDSA_P256_SHA256_ASN1,
                1,
            )?,
        };
        Ok(Self {
            algorithm,
            cose: cose(algorithm, members),
            verifier,
            signer,
        })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.signature(message).ok().context("no signature")
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match &self.signer {
            Signer::Ecdsa(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Signer::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&lc::RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
            Signer::MlDsa(pair) => {
                let mut signature = vec![0; 3309];
                let length = pair.sign(message, &mut signature)?;
                signature.truncate(length);
                signature
            }
        })
    }

    /// The signature check alone.
    pub(super) fn bare(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Unparsed(algorithm, key) => lc::UnparsedPublicKey::new(*algorithm, key)
                .verify(message, signature)
                .is_ok(),
            Verifier::Rsa { n, e } => lc::RsaPublicKeyComponents { n, e }
                .verify(&lc::RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }
}

type Made = (Signer, Verifier, Vec<(i64, Vec<u8>)>);

fn ecdsa(
    signing: &'static lc::EcdsaSigningAlgorithm,
    verifying: &'static lc::EcdsaVerificationAlgorithm,
    curve: i64,
) -> Result<Made, Unspecified> {
    let pair = lc::EcdsaKeyPair::generate(signing)?;
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = point[1..].split_at(point.len() / 2);
    let members = vec![
        (1, int(2)),
        (-1, int(curve)),
        (-2, bytes(x)),
        (-3, bytes(y)),
    ];
    let verifier = Verifier::Unparsed(verifying, point.clone());
    Ok((Signer::Ecdsa(pair), verifier, members))
}

/// A COSE key (RFC 9052 section 7) in CTAP2 canonical form: positive labels first.
fn cose(algorithm: Algorithm, mut members: Vec<(i64, Vec<u8>)>) -> Vec<u8> {
    members.insert(1, (3, int(algorithm.cose_id())));
    let mut out = head(5, members.len() as u64);
    for (label, value) in members {
        out.extend(int(label));
        out.extend(value);
    }
    out
}

fn int(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(0, value),
        Err(_) => head(1, value.unsigned_abs() - 1),
    }
}

fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len() as u64), value.to_vec()].concat()
}

/// The head of a CBOR item (RFC 8949 section 3), for values below 65,536.
fn head(major: u8, value: u64) -> Vec<u8> {
    let first = major << 5;
    match value {
        0..24 => vec![first | value as u8],
        24..256 => vec![first | 24, value as u8],
        _ => [vec![first | 25], (value as u16).to_be_bytes().to_vec()].concat(),
    }
}
