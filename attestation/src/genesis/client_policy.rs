//! What a client pins: one genesis, a lowest counter, and whether debug is tolerated.

use serde::{Deserialize, Serialize};

use super::{Genesis, GenesisError, SignedFile, VerifiedGenesis, require};
use crate::encode::Digest32;

const FILE: &str = "client policy";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ClientPolicyType {
    #[serde(rename = "redoubt/client-policy/v1")]
    V1,
}

/// The policy file written next to the genesis manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPolicy {
    #[serde(rename = "type")]
    kind: ClientPolicyType,
    /// Digest of the pinned manifest.
    pub genesis: Digest32,
    /// The manifest itself, so that the file is complete.
    pub genesis_jws: SignedFile,
    /// Manifests with a lower counter are refused.
    pub minimum_counter: u64,
    /// Whether an enclave in debug mode is accepted. Production says no.
    pub allow_debug: bool,
}

impl ClientPolicy {
    /// The policy that pins one manifest.
    pub fn pin(genesis: &VerifiedGenesis) -> Self {
        Self {
            kind: ClientPolicyType::V1,
            genesis: genesis.digest,
            genesis_jws: genesis.envelope.clone(),
            minimum_counter: genesis.manifest.counter,
            allow_debug: false,
        }
    }

    /// Reads the file and verifies that the manifest inside is the pinned one.
    pub fn verify(bytes: &[u8]) -> Result<(Self, VerifiedGenesis), GenesisError> {
        let policy: Self = serde_json::from_slice(bytes)
            .map_err(|source| GenesisError::Json { file: FILE, source })?;
        let genesis = Genesis::verify(&policy.genesis_jws.to_json())?;
        require(
            genesis.digest == policy.genesis,
            FILE,
            "genesis",
            format!(
                "the manifest inside has digest {}; fetch the policy file again from your officers",
                genesis.digest
            ),
        )?;
        require(
            genesis.manifest.counter >= policy.minimum_counter,
            FILE,
            "minimum_counter",
            format!(
                "the pinned manifest has counter {}: it was superseded",
                genesis.manifest.counter
            ),
        )?;
        Ok((policy, genesis))
    }

    /// The file's text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("structs of strings and integers always serialize")
    }
}
