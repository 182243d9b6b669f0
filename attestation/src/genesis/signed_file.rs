//! A file with officers' signatures: JWS JSON General Serialization, ES256.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Officer;
use crate::encode::{Digest32, b64u, from_b64u, sha256};
use crate::sign::jws::{JwsError, JwsSignature, Protected};
use crate::sign::{Es256Signer, SignerError, native};

/// Largest signed file read, in bytes.
const FILE_MAX: usize = 1024 * 1024;

/// Why the envelope or its signatures are refused.
#[derive(Debug, thiserror::Error)]
pub enum SignedFileError {
    /// Too many bytes.
    #[error("the signed file has {0} bytes; at most {FILE_MAX} are read")]
    TooLarge(usize),
    /// Not {"payload","signatures"}.
    #[error("the signed file is no JWS in general serialization: {0}")]
    Envelope(#[source] serde_json::Error),
    /// A signature's members.
    #[error("signature {index}: {source}")]
    Signature {
        /// Position in `signatures`.
        index: usize,
        /// What is wrong.
        source: JwsError,
    },
    /// The payload is not base64url.
    #[error("payload: {0}")]
    Payload(crate::encode::EncodingError),
    /// Another algorithm than ES256.
    #[error("signature {index}: alg {alg:?}; officers sign with ES256")]
    Algorithm {
        /// Position in `signatures`.
        index: usize,
        /// What stands there.
        alg: String,
    },
    /// No officer of the genesis manifest has this id.
    #[error("signature {index}: no officer {kid:?} in the genesis manifest")]
    UnknownOfficer {
        /// Position in `signatures`.
        index: usize,
        /// What stands there.
        kid: String,
    },
    /// One officer signed twice.
    #[error("officer {0:?} signed more than once; each counts once, remove the others")]
    Repeated(String),
    /// A signature does not verify.
    #[error("the signature of officer {0:?} does not verify over this payload")]
    BadSignature(String),
    /// Fewer distinct officers than the threshold.
    #[error("{present} officers signed; the genesis manifest asks for {needed}")]
    TooFew {
        /// Distinct officers.
        present: usize,
        /// Threshold.
        needed: usize,
    },
}

/// Payload bytes and who signed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedFile {
    /// Base64url of the payload.
    payload: String,
    /// One per officer.
    signatures: Vec<JwsSignature>,
}

impl SignedFile {
    /// Reads an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedFileError> {
        if bytes.len() > FILE_MAX {
            return Err(SignedFileError::TooLarge(bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(SignedFileError::Envelope)
    }

    /// An envelope without signatures yet.
    pub fn unsigned(payload: &[u8]) -> Self {
        Self {
            payload: b64u(payload),
            signatures: Vec::new(),
        }
    }

    /// Adds an officer's signature.
    pub fn sign(&mut self, officer: &str, key: &Es256Signer) -> Result<(), SignerError> {
        let payload = from_b64u(&self.payload).map_err(|_| SignerError::Signing("JWS"))?;
        let signature = Protected::new("ES256", officer, None)
            .sign(&payload, |input| Ok(key.sign(input)?.to_vec()))?;
        self.add(signature);
        Ok(())
    }

    /// Adds an officer's signature that was made elsewhere, such as by a token.
    pub fn add(&mut self, signature: JwsSignature) {
        self.signatures.push(signature);
    }

    /// Who signed, as far as the envelope says.
    pub fn signers(&self) -> impl Iterator<Item = String> {
        let headers = self.signatures.iter().filter_map(|one| one.header().ok());
        headers.map(|header| header.kid)
    }

    /// The envelope as JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of strings always serializes")
    }

    /// The payload's bytes, whoever signed them.
    pub fn payload(&self) -> Result<Vec<u8>, SignedFileError> {
        from_b64u(&self.payload).map_err(SignedFileError::Payload)
    }

    /// The payload's digest: SHA-256 over its bytes as received.
    pub fn digest(&self) -> Result<Digest32, SignedFileError> {
        Ok(sha256(&[&self.payload()?]))
    }

    /// Accepts iff every signature present is a distinct officer's good one and
    /// there are at least `threshold`. A signature too many is refused too: what
    /// nobody can check does not belong beside what everybody must.
    pub fn verify(
        &self,
        officers: &[Officer],
        threshold: usize,
    ) -> Result<Vec<u8>, SignedFileError> {
        self.count(officers, threshold, false)
    }

    /// As [`Self::verify`], but passes over signatures by others than `officers`:
    /// for manifests that two sets of officers sign.
    pub(super) fn verify_among(
        &self,
        officers: &[Officer],
        threshold: usize,
    ) -> Result<Vec<u8>, SignedFileError> {
        self.count(officers, threshold, true)
    }

    fn count(
        &self,
        officers: &[Officer],
        threshold: usize,
        others: bool,
    ) -> Result<Vec<u8>, SignedFileError> {
        let payload = self.payload()?;
        let mut seen = BTreeSet::new();
        for (index, signature) in self.signatures.iter().enumerate() {
            let wrong = |source| SignedFileError::Signature { index, source };
            let Protected { alg, kid, typ: _ } = signature.header().map_err(wrong)?;
            if alg != "ES256" {
                return Err(SignedFileError::Algorithm { index, alg });
            }
            let Some(officer) = officers.iter().find(|officer| officer.id == kid) else {
                if others {
                    continue;
                }
                return Err(SignedFileError::UnknownOfficer { index, kid });
            };
            if !seen.insert(officer.id.as_str()) {
                return Err(SignedFileError::Repeated(kid));
            }
            let bytes = signature.signature_bytes().map_err(wrong)?;
            native::verify_es256(&officer.key, &signature.signing_input(&payload), &bytes)
                .map_err(|_| SignedFileError::BadSignature(kid))?;
        }
        if seen.len() < threshold {
            return Err(SignedFileError::TooFew {
                present: seen.len(),
                needed: threshold,
            });
        }
        Ok(payload)
    }
}
