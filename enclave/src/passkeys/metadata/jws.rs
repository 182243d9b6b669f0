//! The BLOB's envelope: JWS in compact serialization (RFC 7515 section 3.1).
//!
//! Protects against a signature of the sender's own choosing: two algorithms are
//! known, and the signer's key says which one of them it is.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::super::algorithm::Algorithm;
use super::super::base64url;
use super::super::public_key::{Curve, KeyMaterial};
use super::{MetadataError, require};

/// Most certificates that are read.
const MAX_CHAIN: usize = 8;
/// Longest certificate in base64.
const MAX_CERTIFICATE_CHARACTERS: usize = 16 << 10;

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    x5c: Vec<String>,
    #[serde(default, deserialize_with = "is_there")]
    x5u: bool,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    /// Unencoded payloads (RFC 7797) would be signed differently.
    #[serde(default, deserialize_with = "is_there")]
    b64: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The algorithms of the service.
#[derive(Clone, Copy)]
enum Alg {
    Es256,
    Rs256,
}

pub(super) struct Jws<'a> {
    alg: Alg,
    /// DER, the signer's first.
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) payload: Vec<u8>,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, MetadataError> {
        let text = std::str::from_utf8(blob).map_err(|_| MetadataError::Jws)?;
        let (signing_input, signature) = text.rsplit_once('.').ok_or(MetadataError::Jws)?;
        let (header, payload) = signing_input.split_once('.').ok_or(MetadataError::Jws)?;
        let decode = |part: &str| base64url::decode(part).ok_or(MetadataError::Jws);
        let (alg, certificates) = read_header(&decode(header)?)?;
        Ok(Self {
            alg,
            certificates,
            payload: decode(payload)?,
            signing_input,
            signature: decode(signature)?,
        })
    }

    /// Whether the signature is the signer's, by the algorithm of its key.
    pub(super) fn verify(&self, key: &KeyMaterial) -> Result<(), MetadataError> {
        let input = self.signing_input.as_bytes();
        let verifies = match (self.alg, key) {
            (
                Alg::Es256,
                KeyMaterial::Ec {
                    curve: Curve::P256,
                    point,
                },
            ) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(input, &self.signature)
                .is_ok(),
            (Alg::Rs256, KeyMaterial::Rsa { .. }) => {
                key.verify(Algorithm::Rs256, input, &self.signature)
            }
            _ => return Err(MetadataError::AlgorithmMismatch),
        };
        require(verifies, MetadataError::Signature)
    }
}

fn read_header(json: &[u8]) -> Result<(Alg, Vec<Vec<u8>>), MetadataError> {
    let header: Header = serde_json::from_slice(json).map_err(|_| MetadataError::Header)?;
    let typ = header.typ.as_deref().unwrap_or("JWT");
    require(typ.eq_ignore_ascii_case("JWT"), MetadataError::Header)?;
    require(!header.crit && !header.b64, MetadataError::Critical)?;
    let alg = match header.alg.as_str() {
        "ES256" => Alg::Es256,
        "RS256" => Alg::Rs256,
        _ => return Err(MetadataError::Algorithm),
    };
    require(!header.x5u, MetadataError::Url)?;
    require(!header.x5c.is_empty(), MetadataError::NoChain)?;
    require(header.x5c.len() <= MAX_CHAIN, MetadataError::LongChain)?;
    let certificates = header.x5c.iter().map(|text| {
        require(
            text.len() <= MAX_CERTIFICATE_CHARACTERS,
            MetadataError::Certificate,
        )?;
        STANDARD
            .decode(text)
            .map_err(|_| MetadataError::Certificate)
    });
    Ok((alg, certificates.collect::<Result<_, _>>()?))
}
