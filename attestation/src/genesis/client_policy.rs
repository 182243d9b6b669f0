//! What a client pins: one genesis, a lowest counter, and whether debug is tolerated.

use serde::{Deserialize, Serialize};

use super::{Genesis, GenesisError, SignedFile, VerifiedGenesis, require};
use crate::encode::Digest32;

const FILE: &str = "client policy";
/// Most manifests before the pinned one.
const BEFORE_MAX: usize = 64;

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
    /// The manifests before it, the last one first: each succeeded by the one in front of
    /// it. What was claimed under them is judged by them; nobody serves under them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<SignedFile>,
}

impl ClientPolicy {
    /// The policy that pins one manifest.
    pub fn pin(genesis: &VerifiedGenesis) -> Self {
        Self::pin_after(genesis, &[])
    }

    /// The same with the manifests before it, the last one first.
    pub fn pin_after(genesis: &VerifiedGenesis, before: &[VerifiedGenesis]) -> Self {
        Self {
            kind: ClientPolicyType::V1,
            genesis: genesis.digest,
            genesis_jws: genesis.envelope.clone(),
            minimum_counter: genesis.manifest.counter,
            allow_debug: false,
            before: before.iter().map(|one| one.envelope.clone()).collect(),
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
        policy.line(&genesis)?;
        Ok((policy, genesis))
    }

    /// The manifests before `genesis`, which this policy pins, the last one first; fails
    /// unless each is succeeded by the one after it ([`VerifiedGenesis::successor`]).
    pub fn line(&self, genesis: &VerifiedGenesis) -> Result<Vec<VerifiedGenesis>, GenesisError> {
        let few = self.before.len() <= BEFORE_MAX;
        require(few, FILE, "before", format!("holds more than {BEFORE_MAX}"))?;
        let mut next = genesis.envelope.to_json();
        let mut line = Vec::new();
        for envelope in &self.before {
            let bytes = envelope.to_json();
            let one = Genesis::verify(&bytes)?;
            one.successor(&next)?;
            line.push(one);
            next = bytes;
        }
        Ok(line)
    }

    /// The file's text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("structs of strings and integers always serialize")
    }
}
