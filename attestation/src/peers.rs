//! What an enclave says to witnesses and custodians, and what they answer.
//!
//! Protects a peer against the host, which carries every request: each stands on
//! an attestation document, and what changes a custodian's state is a statement
//! signed by the boot key of that document, so nothing can be edited or invented.
//! Protects the enclave's later readers: a deletion is a signed statement.

use redoubt_shared::LedgerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::binding::Head;
use crate::encode::{as_text, b64u, b64u_array, b64u_bytes, exactly, from_b64u};
use crate::genesis::{PeerEntry, SignedFile};
use crate::sign::{Ed25519Signer, SignerError, native};

/// Path of the C2SP call.
pub const ADD_CHECKPOINT: &str = "/add-checkpoint";
/// Path that introduces a term's boot key.
pub const TERMS: &str = "/redoubt/v1/terms";
/// Path that leaves a share.
pub const DEPOSIT: &str = "/redoubt/v1/epochs/deposit";
/// Path that asks for a share.
pub const RELEASE: &str = "/redoubt/v1/epochs/release";
/// Path that has shares deleted.
pub const RETIRE: &str = "/redoubt/v1/epochs/retire";
/// Header of a 503: milliseconds until it is worth asking again, where
/// `Retry-After` has only seconds.
pub const WAIT_HEADER: &str = "redoubt-wait-ms";
/// Largest request a peer reads, in bytes.
pub const REQUEST_MAX: usize = 1024 * 1024;
/// Largest JSON answer a peer gives, in bytes.
pub const ANSWER_MAX: usize = 64 * 1024;

/// Who speaks: a document, its preimage, and, where the peer may still pin an
/// older one, the manifests since then, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermRequest {
    /// Attestation document of purpose `serve`, kept in the ledger.
    #[serde(with = "b64u_bytes")]
    pub document: Vec<u8>,
    /// What its `user_data` hashes.
    #[serde(with = "b64u_bytes")]
    pub preimage: Vec<u8>,
    /// One manifest, or an array of them.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub genesis: Vec<SignedFile>,
    /// The configuration the preimage names, if it orders a restore: the witness
    /// closes the ledger that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<SignedFile>,
}

/// The answer to [`TermRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermReply {
    /// The head cosigned last.
    pub head: Option<Head>,
    /// How long until a cosignature may be had: what is left of the lease of
    /// the term before.
    pub wait_ms: u64,
}

/// A signed statement of an attested boot, for a custodian.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRequest {
    /// Attestation document: `kms` for a release, `serve` otherwise.
    #[serde(with = "b64u_bytes")]
    pub document: Vec<u8>,
    /// What its `user_data` hashes.
    #[serde(with = "b64u_bytes")]
    pub preimage: Vec<u8>,
    /// JSON of [`EpochStatement`].
    #[serde(with = "secret_bytes")]
    pub statement: Zeroizing<Vec<u8>>,
    /// ES256, r || s, by `boot_keys.receipt_es256` over the statement's bytes.
    #[serde(with = "b64u_array")]
    pub signature: [u8; 64],
    /// As in [`TermRequest`].
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub genesis: Vec<SignedFile>,
}

/// What an attested boot tells a custodian. Holds a secret: no Debug.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub enum EpochStatement {
    /// Keep this share.
    #[serde(rename = "redoubt/epoch-deposit/v1")]
    Deposit {
        /// The appliance's ledger.
        #[serde(with = "as_text")]
        appliance: LedgerId,
        /// Which epoch.
        epoch: u32,
        /// Shares that restore the secret.
        threshold: u8,
        /// Which point, from 1.
        index: u8,
        /// The share.
        #[serde(with = "secret_array")]
        share: Zeroizing<[u8; 32]>,
    },
    /// Give me the share you keep.
    #[serde(rename = "redoubt/epoch-release/v1")]
    Release {
        /// The appliance's ledger.
        #[serde(with = "as_text")]
        appliance: LedgerId,
        /// Which epoch.
        epoch: u32,
    },
    /// Delete the shares of all epochs before this one, for good.
    #[serde(rename = "redoubt/epoch-retire/v1")]
    Retire {
        /// The appliance's ledger.
        #[serde(with = "as_text")]
        appliance: LedgerId,
        /// First epoch that stays.
        below: u32,
    },
}

impl EpochStatement {
    /// The bytes to sign.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // One allocation, large enough: no half-written copy stays behind.
        let mut json = Zeroizing::new(Vec::with_capacity(1024));
        serde_json::to_writer(&mut *json, self)
            .expect("structs of strings and integers always serialize");
        json
    }

    /// Reads a statement as signed.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// The answer to a deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositReply {
    /// The epoch now kept.
    pub epoch: u32,
}

/// The answer to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseReply {
    /// Which point.
    pub index: u8,
    /// Shares that restore the secret.
    pub threshold: u8,
    /// Encapsulated key.
    #[serde(with = "b64u_bytes")]
    pub enc: Vec<u8>,
    /// Sealed share.
    #[serde(with = "b64u_bytes")]
    pub ciphertext: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum DeletionType {
    #[serde(rename = "redoubt/epoch-deletion/v1")]
    V1,
}

/// What a custodian says about what it deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    #[serde(rename = "type")]
    kind: DeletionType,
    /// The custodian's name.
    pub custodian: String,
    /// The appliance's ledger.
    #[serde(with = "as_text")]
    pub appliance: LedgerId,
    /// It keeps no share of any epoch before this one and accepts none again.
    pub below: u32,
    /// When, by its clock, Unix milliseconds.
    pub time_ms: u64,
}

/// A deletion as the custodian signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedDeletion {
    /// JSON of [`Deletion`].
    #[serde(with = "b64u_bytes")]
    pub statement: Vec<u8>,
    /// Ed25519 by the custodian's key over the statement's bytes.
    #[serde(with = "b64u_array")]
    pub signature: [u8; 64],
}

/// Why a deletion statement is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("deletion statement of custodian {custodian}: {problem}")]
pub struct DeletionError {
    custodian: String,
    problem: String,
}

impl Deletion {
    /// A statement about now.
    pub fn new(custodian: &str, appliance: LedgerId, below: u32, time_ms: u64) -> Self {
        Self {
            kind: DeletionType::V1,
            custodian: custodian.to_owned(),
            appliance,
            below,
            time_ms,
        }
    }

    /// Signs it.
    pub fn sign(&self, key: &Ed25519Signer) -> Result<SignedDeletion, SignerError> {
        let statement =
            serde_json::to_vec(self).expect("structs of strings and integers always serialize");
        let signature = key.sign(&statement)?;
        Ok(SignedDeletion {
            statement,
            signature,
        })
    }
}

impl SignedDeletion {
    /// Verifies it under the key the genesis names for this custodian.
    pub fn verify(&self, custodian: &PeerEntry) -> Result<Deletion, DeletionError> {
        let wrong = |problem: String| DeletionError {
            custodian: custodian.name.clone(),
            problem,
        };
        native::verify_ed25519(&custodian.key, &self.statement, &self.signature)
            .map_err(|error| wrong(error.to_string()))?;
        let deletion: Deletion =
            serde_json::from_slice(&self.statement).map_err(|error| wrong(error.to_string()))?;
        if deletion.custodian != custodian.name {
            return Err(wrong("it speaks of another custodian".into()));
        }
        Ok(deletion)
    }
}

/// One manifest as itself, several as an array.
mod one_or_many {
    use super::{Deserialize, Deserializer, Serialize, Serializer, SignedFile};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(SignedFile),
        Many(Vec<SignedFile>),
    }

    pub(super) fn serialize<S: Serializer>(
        files: &Vec<SignedFile>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match &files[..] {
            [one] => one.serialize(serializer),
            _ => files.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SignedFile>, D::Error> {
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}

/// Base64url of bytes that leave nothing behind.
mod secret_bytes {
    use super::{Deserialize, Deserializer, Serializer, Zeroizing, b64u, de, from_b64u};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Zeroizing<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(b64u(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        from_b64u(&text)
            .map(Zeroizing::new)
            .map_err(de::Error::custom)
    }
}

/// Base64url of a 32-byte secret.
mod secret_array {
    use super::{Deserializer, Serializer, Zeroizing, b64u, de, exactly, secret_bytes};

    pub(super) fn serialize<S: Serializer>(
        secret: &Zeroizing<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(b64u(&secret[..])))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<[u8; 32]>, D::Error> {
        let bytes = secret_bytes::deserialize(deserializer)?;
        exactly(&bytes)
            .map(Zeroizing::new)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Digest32;
    use crate::entropy::SystemEntropy;
    use proptest::prelude::*;

    fn appliance() -> LedgerId {
        LedgerId::from_bytes([1; 16])
    }

    #[test]
    fn statements_are_the_documented_json() {
        let deposit = EpochStatement::Deposit {
            appliance: appliance(),
            epoch: 3,
            threshold: 2,
            index: 1,
            share: Zeroizing::new([0; 32]),
        };
        let text = concat!(
            r#"{"type":"redoubt/epoch-deposit/v1","appliance":"01010101010101010101010101010101","#,
            r#""epoch":3,"threshold":2,"index":1,"share":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#
        );
        assert_eq!(deposit.to_json().as_slice(), text.as_bytes());
        assert!(EpochStatement::parse(text.as_bytes()).unwrap() == deposit);
        for (from, to) in [
            ("deposit", "release"),
            ("deposit/v1", "deposit/v2"),
            ("\"epoch\":3", "\"epoch\":-3"),
            ("\"epoch\":3", "\"epoch\":3,\"x\":1"),
            ("AAA\"}", "\"}"),
            ("AAA\"}", "AAB\"}"),
        ] {
            let bent = text.replacen(from, to, 1);
            assert_ne!(bent, text);
            assert!(EpochStatement::parse(bent.as_bytes()).is_err(), "{to}");
        }
        let retire = br#"{"type":"redoubt/epoch-retire/v1","appliance":"01010101010101010101010101010101","below":4}"#;
        assert!(matches!(
            EpochStatement::parse(retire).unwrap(),
            EpochStatement::Retire { below: 4, .. }
        ));
    }

    #[test]
    fn a_request_carries_no_manifest_one_or_several() {
        let mut request = TermRequest {
            config: None,
            document: vec![1],
            preimage: vec![2],
            genesis: vec![],
        };
        for count in 0..3 {
            let text = serde_json::to_value(&request).unwrap();
            let shape = text.get("genesis");
            match count {
                0 => assert!(shape.is_none()),
                1 => assert!(shape.unwrap().is_object()),
                _ => assert!(shape.unwrap().is_array()),
            }
            let again: TermRequest = serde_json::from_value(text).unwrap();
            assert_eq!(again, request);
            request.genesis.push(SignedFile::unsigned(b"{}"));
        }
    }

    #[test]
    fn a_deletion_verifies_under_its_custodian_only() {
        let key = Ed25519Signer::generate(&SystemEntropy).unwrap();
        let mut custodian = PeerEntry {
            name: "c1".into(),
            key: key.jwk().clone(),
            tls_spki_sha256: Digest32([0; 32]),
        };
        let deletion = Deletion::new("c1", appliance(), 4, 1_700_000_000_000);
        let signed = deletion.sign(&key).unwrap();
        assert_eq!(signed.verify(&custodian).unwrap(), deletion);
        let mut bent = signed.clone();
        bent.statement[40] ^= 1;
        assert!(bent.verify(&custodian).is_err());
        custodian.name = "c2".into();
        let error = signed.verify(&custodian).unwrap_err().to_string();
        assert!(error.contains("another custodian"), "{error}");
        custodian.name = "c1".into();
        custodian.key = Ed25519Signer::generate(&SystemEntropy)
            .unwrap()
            .jwk()
            .clone();
        assert!(signed.verify(&custodian).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = EpochStatement::parse(&bytes);
            let _ = serde_json::from_slice::<TermRequest>(&bytes);
            let _ = serde_json::from_slice::<EpochRequest>(&bytes);
            let _ = serde_json::from_slice::<SignedDeletion>(&bytes);
        }
    }
}
