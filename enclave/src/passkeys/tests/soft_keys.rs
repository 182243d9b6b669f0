//! Private keys of every algorithm, for the software authenticator.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as lc, KeyPair as _};

use super::cbor_writer::Item;
use crate::passkeys::Algorithm;

/// A private key of any algorithm.
pub(super) enum Key {
    Ec(lc::EcdsaKeyPair, i64, i64),
    Ed25519(lc::Ed25519KeyPair, i64),
    Rsa(lc::RsaKeyPair, i64, &'static dyn lc::RsaEncoding),
    MlDsa(lc::PqdsaKeyPair, i64),
}

impl Key {
    pub(super) fn es256() -> Self {
        Self::generate(Algorithm::Es256)
    }

    pub(super) fn generate(algorithm: Algorithm) -> Self {
        use Algorithm as A;
        let alg = algorithm.cose_id();
        let ec = |signing, crv| Self::Ec(lc::EcdsaKeyPair::generate(signing).unwrap(), alg, crv);
        let rsa = |encoding| {
            Self::Rsa(
                lc::RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
                alg,
                encoding,
            )
        };
        let ml_dsa = |signing| Self::MlDsa(lc::PqdsaKeyPair::generate(signing).unwrap(), alg);
        match algorithm {
            A::Es256 | A::Esp256 => ec(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, 1),
            A::Es384 | A::Esp384 => ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, 2),
            A::Es512 | A::Esp512 => ec(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, 3),
            A::Es256K => ec(&lc::ECDSA_P256K1_SHA256_ASN1_SIGNING, 8),
            A::EdDsa | A::Ed25519 => Self::Ed25519(lc::Ed25519KeyPair::generate().unwrap(), alg),
            A::Rs256 => rsa(&lc::RSA_PKCS1_SHA256),
            A::Rs384 => rsa(&lc::RSA_PKCS1_SHA384),
            A::Rs512 => rsa(&lc::RSA_PKCS1_SHA512),
            A::Ps256 => rsa(&lc::RSA_PSS_SHA256),
            A::Ps384 => rsa(&lc::RSA_PSS_SHA384),
            A::Ps512 => rsa(&lc::RSA_PSS_SHA512),
            A::MlDsa44 => ml_dsa(&lc::ML_DSA_44_SIGNING),
            A::MlDsa65 => ml_dsa(&lc::ML_DSA_65_SIGNING),
            A::MlDsa87 => ml_dsa(&lc::ML_DSA_87_SIGNING),
            A::Rs1 | A::Ed448 => panic!("aws-lc-rs cannot sign with {}", algorithm.name()),
        }
    }

    /// The public key as an uncompressed point, where it is one.
    pub(super) fn point(&self) -> Vec<u8> {
        match self {
            Self::Ec(pair, ..) => pair.public_key().as_ref().to_vec(),
            _ => panic!("not an elliptic curve key"),
        }
    }

    /// The COSE key, as entries in canonical order.
    pub(super) fn cose_entries(&self) -> Vec<(Item, Item)> {
        let entry = |label, value| (Item::Int(label), value);
        let (kty, alg) = match self {
            Self::Ec(_, alg, _) => (2, alg),
            Self::Ed25519(_, alg) => (1, alg),
            Self::Rsa(_, alg, _) => (3, alg),
            Self::MlDsa(_, alg) => (7, alg),
        };
        let mut entries = vec![entry(1, Item::Int(kty)), entry(3, Item::Int(*alg))];
        match self {
            Self::Ec(_, _, crv) => {
                let point = self.point();
                let (x, y) = point[1..].split_at(point.len() / 2);
                entries.push(entry(-1, Item::Int(*crv)));
                entries.push(entry(-2, Item::bytes(x)));
                entries.push(entry(-3, Item::bytes(y)));
            }
            Self::Ed25519(pair, _) => {
                entries.push(entry(-1, Item::Int(6)));
                entries.push(entry(-2, Item::bytes(pair.public_key().as_ref())));
            }
            Self::Rsa(pair, ..) => {
                let key = pair.public_key();
                let positive = |n: aws_lc_rs::io::Positive<'_>| {
                    Item::bytes(n.big_endian_without_leading_zero())
                };
                entries.push(entry(-1, positive(key.modulus())));
                entries.push(entry(-2, positive(key.exponent())));
            }
            Self::MlDsa(pair, _) => {
                entries.push(entry(-1, Item::bytes(pair.public_key().as_ref())));
            }
        }
        entries
    }

    pub(super) fn cose(&self) -> Vec<u8> {
        Item::Map(self.cose_entries()).encode()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair, ..) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair, _) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair, _, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::MlDsa(pair, _) => {
                let mut signature = vec![0; 5000];
                let length = pair.sign(message, &mut signature).unwrap();
                signature.truncate(length);
                signature
            }
        }
    }
}
