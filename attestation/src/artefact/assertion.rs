//! The customer's own signature inside an approval: a WebAuthn assertion
//! (Level 3 §7.2), judged again without the enclave.
//!
//! Protects against an enclave that claims an approval nobody gave. Every algorithm
//! that options offer is judged, each by two implementations.

use serde::{Deserialize, Serialize};

use super::cose_key;
use crate::encode::{Digest32, b64u, b64u_bytes, sha256};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
/// rpIdHash, flags, signature counter.
const AUTHENTICATOR_DATA_MIN: usize = 37;

/// Why the assertion does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// `public_key_cose` is no key that is judged.
    #[error("public_key_cose: {0}")]
    CoseKey(&'static str),
    /// Authenticator data is too short.
    #[error("authenticator_data is too short")]
    AuthenticatorData,
    /// Another relying party.
    #[error("it was made for another relying party")]
    RelyingParty,
    /// Nobody touched the authenticator.
    #[error("the user was not present")]
    NotPresent,
    /// Nobody was verified.
    #[error("the user was not verified")]
    NotVerified,
    /// The claim says otherwise than the authenticator.
    #[error("the claim says {0} otherwise than the authenticator signed")]
    Contradiction(&'static str),
    /// Client data cannot be read.
    #[error("client_data_json cannot be read: {0}")]
    ClientData(String),
    /// Not `webauthn.get`.
    #[error("client data is of type {0:?}, not \"webauthn.get\"")]
    ClientDataType(String),
    /// Another challenge.
    #[error("it answers another challenge")]
    Challenge,
    /// Another origin than the claim names.
    #[error("it was made at origin {0:?}, not at the one the claim names")]
    Origin(String),
    /// Made inside another site's frame.
    #[error("it was made inside a frame of another origin")]
    CrossOrigin,
    /// The signature.
    #[error("the signature does not verify under the credential's key")]
    BadSignature,
}

impl AssertionError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CoseKey(_) => "assertion_key",
            Self::AuthenticatorData => "assertion_authenticator_data",
            Self::RelyingParty => "assertion_relying_party",
            Self::NotPresent => "assertion_user_not_present",
            Self::NotVerified => "assertion_user_not_verified",
            Self::Contradiction(_) => "assertion_contradiction",
            Self::ClientData(_) => "assertion_client_data",
            Self::ClientDataType(_) => "assertion_type",
            Self::Challenge => "assertion_challenge",
            Self::Origin(_) => "assertion_origin",
            Self::CrossOrigin => "assertion_cross_origin",
            Self::BadSignature => "assertion_bad_signature",
        }
    }
}

/// The assertion as an approval's claims carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// Which credential.
    pub credential_id: String,
    /// Its public key as registered, COSE_Key.
    #[serde(with = "b64u_bytes")]
    pub public_key_cose: Vec<u8>,
    /// What the authenticator signed, first part.
    #[serde(with = "b64u_bytes")]
    pub authenticator_data: Vec<u8>,
    /// What the authenticator signed, hashed.
    #[serde(with = "b64u_bytes")]
    pub client_data_json: Vec<u8>,
    /// As the authenticator made it (WebAuthn Level 3 §6.5.5; ECDSA in DER).
    #[serde(with = "b64u_bytes")]
    pub signature: Vec<u8>,
    /// The authenticator's counter.
    pub sign_count: u32,
    /// Whether the user was verified (PIN, biometrics).
    pub user_verified: bool,
    /// Where the ceremony ran.
    pub origin: String,
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

impl Assertion {
    /// Checks the assertion against relying party and challenge; one check per step.
    pub fn verify(&self, rp_id: &str, challenge: &Digest32) -> Result<(), AssertionError> {
        let key = cose_key::parse(&self.public_key_cose)?;
        self.check_authenticator_data(rp_id)?;
        self.check_client_data(challenge)?;
        let digest = sha256(&[&self.client_data_json]);
        let signed = [&self.authenticator_data[..], &digest.0].concat();
        key.verify(&signed, &self.signature)
            .map_err(|_| AssertionError::BadSignature)
    }

    /// Whether assertions of this key (COSE_Key, as registered) can be judged at all:
    /// an approval asks no other passkey.
    pub fn judges(public_key_cose: &[u8]) -> bool {
        cose_key::parse(public_key_cose).is_ok()
    }

    fn check_authenticator_data(&self, rp_id: &str) -> Result<(), AssertionError> {
        let data = &self.authenticator_data;
        if data.len() < AUTHENTICATOR_DATA_MIN {
            return Err(AssertionError::AuthenticatorData);
        }
        if data[..32] != sha256(&[rp_id.as_bytes()]).0 {
            return Err(AssertionError::RelyingParty);
        }
        let flags = data[32];
        if flags & USER_PRESENT == 0 {
            return Err(AssertionError::NotPresent);
        }
        if (flags & USER_VERIFIED != 0) != self.user_verified {
            return Err(AssertionError::Contradiction("user_verified"));
        }
        // Dynamic linking needs two factors: possession and PIN or biometrics.
        if !self.user_verified {
            return Err(AssertionError::NotVerified);
        }
        if data[33..37] != self.sign_count.to_be_bytes() {
            return Err(AssertionError::Contradiction("sign_count"));
        }
        Ok(())
    }

    fn check_client_data(&self, challenge: &Digest32) -> Result<(), AssertionError> {
        let ClientData {
            kind,
            challenge: answered,
            origin,
            cross_origin,
        } = serde_json::from_slice(&self.client_data_json)
            .map_err(|error| AssertionError::ClientData(error.to_string()))?;
        if kind != "webauthn.get" {
            return Err(AssertionError::ClientDataType(kind));
        }
        if answered != b64u(&challenge.0) {
            return Err(AssertionError::Challenge);
        }
        if origin != self.origin {
            return Err(AssertionError::Origin(origin));
        }
        if cross_origin {
            return Err(AssertionError::CrossOrigin);
        }
        Ok(())
    }
}
