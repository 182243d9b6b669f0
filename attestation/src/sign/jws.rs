//! JWS JSON General Serialization (RFC 7515 §7.2.1): one payload, several signatures.
//!
//! Protects against a header that changes meaning: protected headers carry
//! exactly `alg`, `kid` and optionally `typ`; unprotected headers do not exist.

use serde::{Deserialize, Serialize};

use super::SignerError;
use crate::encode::{EncodingError, b64u, from_b64u};

/// Why a JWS could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JwsError {
    /// A member is not base64url.
    #[error("{member}: {source}")]
    Encoding {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        source: EncodingError,
    },
    /// The protected header is not {"alg","kid"[,"typ"]}.
    #[error("protected header: {0}; it holds exactly alg, kid and optionally typ")]
    Header(#[source] serde_json::Error),
}

/// One signature with its protected header, both base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwsSignature {
    /// Base64url of the protected header.
    pub protected: String,
    /// Base64url of the signature.
    pub signature: String,
}

/// The protected header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protected {
    /// `ES256` or `ML-DSA-65`.
    pub alg: String,
    /// Which key.
    pub kid: String,
    /// What the payload is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
}

impl Protected {
    /// A header.
    pub fn new(alg: &str, kid: &str, typ: Option<&str>) -> Self {
        Self {
            alg: alg.to_owned(),
            kid: kid.to_owned(),
            typ: typ.map(str::to_owned),
        }
    }

    /// Signs a payload under this header.
    pub fn sign(
        &self,
        payload: &[u8],
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, SignerError>,
    ) -> Result<JwsSignature, SignerError> {
        let json = serde_json::to_vec(self).map_err(|_| SignerError::Signing("JWS"))?;
        let protected = b64u(&json);
        let signature = sign(&signing_input(&protected, payload))?;
        Ok(JwsSignature {
            protected,
            signature: b64u(&signature),
        })
    }
}

impl JwsSignature {
    /// The protected header.
    pub fn header(&self) -> Result<Protected, JwsError> {
        let json = decoded("protected", &self.protected)?;
        serde_json::from_slice(&json).map_err(JwsError::Header)
    }

    /// The bytes signed, for a payload.
    pub fn signing_input(&self, payload: &[u8]) -> Vec<u8> {
        signing_input(&self.protected, payload)
    }

    /// The signature's bytes.
    pub fn signature_bytes(&self) -> Result<Vec<u8>, JwsError> {
        decoded("signature", &self.signature)
    }
}

fn decoded(member: &'static str, text: &str) -> Result<Vec<u8>, JwsError> {
    from_b64u(text).map_err(|source| JwsError::Encoding { member, source })
}

fn signing_input(protected: &str, payload: &[u8]) -> Vec<u8> {
    format!("{protected}.{}", b64u(payload)).into_bytes()
}
