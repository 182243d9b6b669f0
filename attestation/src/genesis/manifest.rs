//! The genesis manifest: environment, officers, roots, allowed measurements.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::peers::{PeerEntry, WitnessPolicy};
use super::{GenesisError, SignedFile, require};
use crate::document::{AWS_NITRO_ROOT_G1, VendorRoot};
use crate::encode::{Digest32, from_hex};
use crate::jwk::EcP256Jwk;

const FILE: &str = "genesis manifest";
/// Shares are points with one-byte indices.
const OFFICERS_MAX: usize = 255;

/// Where evidence comes from; fixed at genesis, carried in every receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// A vendor's hardware signs.
    Hardware,
    /// A key in a file signs: development and tests.
    Emulated,
}

impl Environment {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Hardware => "hardware",
            Environment::Emulated => "emulated",
        }
    }
}

/// How well an image is protected from whoever runs the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A sandboxed process on the host.
    Process,
    /// Its own measured enclave.
    Enclave,
    /// A confidential machine with a confidential device.
    ConfidentialGpu,
}

impl Tier {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Process => "process",
            Tier::Enclave => "enclave",
            Tier::ConfidentialGpu => "confidential_gpu",
        }
    }
}

/// Which part a measurement is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredRole {
    /// The trusted base.
    Enclave,
    /// The sealed inference worker.
    Worker,
}

/// Whose root signs documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKind {
    /// AWS Nitro Enclaves, root G1.
    Nitro,
    /// A root made for development.
    NitroEmulated,
    /// Nobody's: the unsigned documents of QEMU's emulated security module, for
    /// booting real images where there is no such hardware.
    NitroUnsigned,
}

/// A vendor root of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorRootEntry {
    /// Whose.
    pub kind: RootKind,
    /// The root certificate. For `nitro` it may be empty: the fingerprint of AWS
    /// root G1 is known here, and documents carry the certificate. For
    /// `nitro_unsigned` it must be empty: there is none.
    pub pem: String,
}

/// An officer and the key that signs orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Officer {
    /// Name, the `kid` of signatures.
    pub id: String,
    /// Public key.
    pub key: EcP256Jwk,
}

/// An image the officers allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Of which part.
    pub role: MeasuredRole,
    /// At which tier.
    pub tier: Tier,
    /// PCR index to hexadecimal value; all listed must match.
    pub pcrs: BTreeMap<u8, String>,
}

/// Marks the only manifest format so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GenesisType {
    /// `redoubt/genesis/v1`
    #[serde(rename = "redoubt/genesis/v1")]
    V1,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Always [`GenesisType::V1`].
    #[serde(rename = "type")]
    pub kind: GenesisType,
    /// The appliance's name, for people.
    pub name: String,
    /// Hardware or emulated.
    pub environment: Environment,
    /// Grows with every new manifest of the same appliance.
    pub counter: u64,
    /// How many officers are needed.
    pub threshold: u8,
    /// Who they are.
    pub officers: Vec<Officer>,
    /// SHA-256("redoubt/secret-commitment/v1" || officers' secret).
    pub secret_commitment: Digest32,
    /// Whose documents are accepted.
    pub vendor_roots: Vec<VendorRootEntry>,
    /// Which images are accepted.
    pub measurements: Vec<Measurement>,
    /// Witnesses that cosign heads.
    pub witnesses: Vec<PeerEntry>,
    /// How many of them make a head fresh; there iff witnesses are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness_policy: Option<WitnessPolicy>,
    /// Custodians of the epoch secret, in the order of their shares.
    pub custodians: Vec<PeerEntry>,
    /// How many of them restore it; there iff custodians are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custodian_threshold: Option<u8>,
    /// Digest of the manifest this one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest32>,
    /// When it was made.
    pub created_ms: u64,
}

/// A manifest that its own officers signed; clients pin its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedGenesis {
    /// The manifest.
    pub manifest: Genesis,
    /// SHA-256 over the payload as received.
    pub digest: Digest32,
    /// The envelope, to be served to clients.
    pub envelope: SignedFile,
    roots: Vec<VendorRoot>,
}

impl VerifiedGenesis {
    /// The roots documents may chain to.
    pub fn roots(&self) -> &[VendorRoot] {
        &self.roots
    }
}

impl Genesis {
    /// Reads the signed file and checks it against its own officers.
    pub fn verify(bytes: &[u8]) -> Result<VerifiedGenesis, GenesisError> {
        let envelope = SignedFile::parse(bytes)?;
        let payload = envelope.payload()?;
        let manifest: Genesis = serde_json::from_slice(&payload)
            .map_err(|source| GenesisError::Json { file: FILE, source })?;
        manifest.validate()?;
        let threshold = manifest.threshold.into();
        match manifest.previous {
            None => envelope.verify(&manifest.officers, threshold)?,
            // The officers before these signed too; whoever pinned their
            // manifest checks that, see `VerifiedGenesis::successor`.
            Some(_) => envelope.verify_among(&manifest.officers, threshold)?,
        };
        Ok(VerifiedGenesis {
            roots: manifest.parse_roots()?,
            digest: envelope.digest()?,
            manifest,
            envelope,
        })
    }

    /// Checks every member, signed or not yet.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let Self {
            kind: GenesisType::V1,
            name,
            environment: _,
            counter,
            threshold,
            officers,
            secret_commitment: _,
            vendor_roots: _,
            measurements,
            witnesses: _,
            witness_policy: _,
            custodians: _,
            custodian_threshold: _,
            previous: _,
            created_ms: _,
        } = self;
        require(
            !name.is_empty() && name.len() <= 128,
            FILE,
            "name",
            "use 1 to 128 bytes",
        )?;
        require(*counter > 0, FILE, "counter", "start at 1")?;
        check_officers(officers, *threshold)?;
        self.check_peers()?;
        require(
            measurements.iter().any(|m| m.role == MeasuredRole::Enclave),
            FILE,
            "measurements",
            "list at least one image with role \"enclave\"",
        )?;
        for (at, measurement) in measurements.iter().enumerate() {
            self.check_measurement(at, measurement)?;
        }
        self.parse_roots().map(drop)
    }

    fn check_measurement(&self, at: usize, measurement: &Measurement) -> Result<(), GenesisError> {
        let field = |index: u8| format!("measurements[{at}].pcrs[{index}]");
        require(
            measurement.pcrs.contains_key(&0),
            FILE,
            field(0),
            "PCR 0 measures the image: list it",
        )?;
        for (index, value) in &measurement.pcrs {
            let bytes = from_hex(value).unwrap_or_default();
            require(
                *index < 32 && bytes.len() == 48,
                FILE,
                field(*index),
                "use an index below 32 and 96 lowercase hexadecimal digits",
            )?;
            // All zero is debug mode: its memory is readable from the host.
            let debug = *index < 3 && bytes.iter().all(|b| *b == 0);
            require(
                !debug || self.environment == Environment::Emulated,
                FILE,
                field(*index),
                "zero means debug mode, which no hardware manifest may allow",
            )?;
        }
        Ok(())
    }

    fn parse_roots(&self) -> Result<Vec<VendorRoot>, GenesisError> {
        require(
            !self.vendor_roots.is_empty(),
            FILE,
            "vendor_roots",
            "list at least one",
        )?;
        self.vendor_roots
            .iter()
            .enumerate()
            .map(|(at, entry)| self.parse_root(at, entry))
            .collect()
    }

    /// Emulated roots stand only in an emulated manifest, whatever else is said,
    /// and `nitro` is AWS's root and nobody else's.
    fn parse_root(&self, at: usize, entry: &VendorRootEntry) -> Result<VendorRoot, GenesisError> {
        let field = format!("vendor_roots[{at}]");
        let root = match (entry.kind, entry.pem.is_empty()) {
            (RootKind::Nitro, true) => VendorRoot::aws_nitro(),
            (RootKind::NitroUnsigned, true) => VendorRoot::unsigned(),
            (RootKind::NitroUnsigned, false) => {
                let problem = "kind \"nitro_unsigned\" has no certificate; leave pem empty";
                return Err(GenesisError::field(FILE, format!("{field}.pem"), problem));
            }
            (kind, false) | (kind @ RootKind::NitroEmulated, true) => {
                VendorRoot::from_pem(kind, &entry.pem).map_err(|error| {
                    GenesisError::field(FILE, format!("{field}.pem"), error.to_string())
                })?
            }
        };
        match entry.kind {
            RootKind::Nitro => require(
                root.digest() == Some(AWS_NITRO_ROOT_G1),
                FILE,
                format!("{field}.pem"),
                "kind \"nitro\" is AWS Nitro Enclaves root G1 (641a0321...); leave pem empty to mean it",
            )?,
            RootKind::NitroEmulated | RootKind::NitroUnsigned => require(
                self.environment == Environment::Emulated,
                FILE,
                field,
                "an emulated root may stand only where environment is \"emulated\"",
            )?,
        }
        Ok(root)
    }
}

fn check_officers(officers: &[Officer], threshold: u8) -> Result<(), GenesisError> {
    require(
        (1..=OFFICERS_MAX).contains(&officers.len()),
        FILE,
        "officers",
        "list 1 to 255",
    )?;
    require(
        threshold >= 1 && usize::from(threshold) <= officers.len(),
        FILE,
        "threshold",
        "use 1 to the number of officers",
    )?;
    let ids: BTreeSet<_> = officers.iter().map(|officer| &officer.id).collect();
    require(
        ids.len() == officers.len() && !ids.iter().any(|id| id.is_empty()),
        FILE,
        "officers",
        "every id must be there and differ from the others",
    )?;
    let keys: BTreeSet<_> = officers.iter().map(|o| o.key.thumbprint()).collect();
    require(
        keys.len() == officers.len(),
        FILE,
        "officers",
        "every key must differ from the others: one key, one voice",
    )
}
